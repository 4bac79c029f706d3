"""Whether a gateway says in time when its outbox will be full, and how far back its kept readings will go."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from aoii.broker.messages import Identity
from aoii.commands import doctor_buffers
from aoii.core.errors import UnavailableError
from aoii.gateway.drivers.kept_file import PRUNE_STEP
from aoii.gateway.drivers.outbox_file import OutboxFile
from aoii.gateway.outbox_metrics import OutboxMetrics
from aoii.runtime import metrics, time_to_full
from aoii.runtime.metric_snapshot import MetricSnapshot
from aoii.runtime.metrics import KEPT_REACH_S, OUTBOX_TIME_TO_FULL_S
from aoii.runtime.station_client import StationClient
from aoii.runtime.status_port import served
from aoii.web import pipeline_health
from aoii.web.station_report import StationReport
from gateway.station import OwnNode, configured, running, wait_connected
from servers import Mosquitto, free_port, until

MINUTE_S = 60.0
DAY_S = 86_400.0


class Watched:
    """An outbox file with its metrics, on a clock that the test moves."""

    def __init__(self, file: OutboxFile, folder: Path) -> None:
        self.file = file
        self.at_s = 0.0
        self.counter = 0
        self.metrics = OutboxMetrics(file, folder, lambda: self.at_s)

    def pass_minutes(self, minutes: int, each: Callable[[], object] = lambda: None) -> None:
        """Let time pass; `each` happens in every minute of it."""
        for _ in range(minutes):
            each()
            self.measure()
            self.at_s += MINUTE_S
            self.metrics.update()

    def measure(self) -> None:
        """Wait until the file's thread has measured what is in it."""
        before = self.file._measured_s
        until(lambda: self.file._measured_s > before, what="a measurement")

    def accept(self, count: int) -> list[Identity]:
        """Accept so many readings of 400 bytes; those that have room."""
        found: list[tuple[Identity, Future[object]]] = []
        for _ in range(count):
            self.counter += 1
            who = Identity("7", 1, self.counter)
            found.append((who, self.file.submit(lambda tx, who=who: tx.insert(who, "d", 1, bytes(400), 0))))  # type: ignore[misc]
        taken = []
        for who, future in found:
            with contextlib.suppress(UnavailableError):
                future.result()
                taken.append(who)
        return taken

    def acknowledge(self, readings: list[Identity]) -> None:
        """Let the server acknowledge them."""
        self.file.submit(lambda tx: tx.delete(readings)).result()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aoii.gateway.drivers.outbox_file.IDLE_S", 0.01)  # between two measurements


@contextlib.contextmanager
def watched(folder: Path, keep_bytes: int = 0) -> Iterator[Watched]:
    """An outbox of one megabyte."""
    with contextlib.closing(OutboxFile(folder / "outbox.db", 1 << 20, keep_bytes=keep_bytes)) as file:
        yield Watched(file, folder)


def said() -> float:
    return metrics.value(OUTBOX_TIME_TO_FULL_S)


def test_an_outbox_that_nobody_acknowledges_says_when_it_is_full_and_is_full_then(tmp_path: Path) -> None:
    with watched(tmp_path) as outbox:
        outbox.metrics.update()
        at_start = said()
        outbox.pass_minutes(11, lambda: outbox.accept(40))
        promised_s, at_s = said(), outbox.at_s
        while len(outbox.accept(40)) == 40:
            outbox.pass_minutes(1)

        assert math.isnan(at_start)
        assert outbox.at_s - at_s == pytest.approx(promised_s, rel=0.1)
        outbox.pass_minutes(20)
        assert said() == 0  # it does not grow any more, and is no less full
        name = metrics.name_of(OUTBOX_TIME_TO_FULL_S)
        (found,) = doctor_buffers.examine(MetricSnapshot(samples={name: {frozenset(): said()}}))
        assert (found.state, bool(found.remedy)) == ("full", True)


def test_readings_that_are_acknowledged_fill_nothing_however_many_there_are(tmp_path: Path) -> None:
    with watched(tmp_path) as outbox:
        outbox.pass_minutes(15, lambda: outbox.acknowledge(outbox.accept(100)))

        assert said() == math.inf


def test_one_burst_while_the_server_is_away_is_no_rate(tmp_path: Path) -> None:
    with watched(tmp_path) as outbox:
        outbox.pass_minutes(11)
        outbox.accept(1000)
        found = set()
        for _ in range(11):
            outbox.pass_minutes(1)
            found.add(said())

        assert found == {math.inf}


def test_an_outbox_whose_disk_has_less_room_than_its_limit_is_full_when_the_disk_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with watched(tmp_path) as outbox:
        outbox.pass_minutes(11, lambda: outbox.accept(20))
        by_limit_s = said()
        free = 100_000
        monkeypatch.setattr("aoii.runtime.disk_metrics.shutil.disk_usage", lambda _: _Usage(free))
        outbox.metrics.update()

        room = 0.99 * outbox.file.limit_bytes - outbox.file.used_bytes
        assert said() == pytest.approx(by_limit_s * (free + outbox.file.spare_bytes) / room, rel=0.05)


class _Usage:
    total = 1_000_000_000

    def __init__(self, free: int) -> None:
        self.free = free


def test_kept_readings_say_how_far_back_they_will_go_also_when_they_have_filled_their_room(tmp_path: Path) -> None:
    with watched(tmp_path, keep_bytes=1 << 20) as outbox:
        outbox.pass_minutes(30, lambda: outbox.acknowledge(outbox.accept(45)))
        young = metrics.value(KEPT_REACH_S)
        outbox.pass_minutes(35, lambda: outbox.acknowledge(outbox.accept(45)))

        kept = outbox.file.kept
        assert math.isnan(young)  # half an hour says nothing of a day
        assert kept.has_forgotten
        least, most = (count / 45 * MINUTE_S for count in (kept.readings, kept.readings + PRUNE_STEP))
        assert 0.95 * least <= metrics.value(KEPT_REACH_S) <= 1.05 * most


def test_a_gateway_whose_server_is_away_says_in_time_that_its_outbox_will_be_full(
    tmp_path: Path, mosquitto: Mosquitto, link: Path, far: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_to_full, "OUTBOX_SPAN_S", 4.0)  # ten minutes in a hurry
    port = free_port()
    values = configured(tmp_path / "data", mosquitto.port, name, link, OUTBOX_MAX_MB="1", GATEWAY_STATUS_PORT=str(port))
    client = StationClient("127.0.0.1", port)
    with running(values) as gateway, served("gateway", port, gateway.liveness, gateway.readiness):
        wait_connected(gateway)
        node, counter = OwnNode(far), 0
        before = MetricSnapshot(samples=client.metrics())
        now, deadline_s = before, time.monotonic() + 100
        while not (now.total(OUTBOX_TIME_TO_FULL_S) or math.inf) < DAY_S and time.monotonic() < deadline_s:
            for _ in range(20):
                counter += 1
                node.send(counter, counter)
            now = MetricSnapshot(samples=client.metrics())

    used, limit = now.total(metrics.OUTBOX_BYTES), now.total(metrics.OUTBOX_LIMIT_BYTES)
    assert used is not None
    assert limit is not None
    assert used < 0.8 * limit  # before OutboxFull
    assert before.total(OUTBOX_TIME_TO_FULL_S) != before.total(OUTBOX_TIME_TO_FULL_S)  # NaN: it had just started
    (found,) = [one for one in doctor_buffers.examine(now) if one.subject == "outbox"]
    assert found.state.startswith("full in ")
    assert "OUTBOX_MAX_MB" in (found.remedy or "")
    station = StationReport("gateway", f"127.0.0.1:{port}", "answers", age_s=0.0, now=now, before=before)
    (outbox,) = next(hop for hop in pipeline_health.assess([station], None, None).hops if hop.name == "outbox").reports
    assert outbox.ahead_s["outboxFull"] < DAY_S
    assert "outboxFullSoon" in [code for code, _ in outbox.notes]
