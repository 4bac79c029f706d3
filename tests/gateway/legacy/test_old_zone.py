"""Old nodes compute the time of day in a zone of their own, whatever the zone of the gateway's machine."""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from aoii.broker.messages import Estimate
from aoii.broker.node_liveness import UNKNOWN
from aoii.core.forecast import HOLD
from aoii.core.frames import EVENT, Uplink
from aoii.gateway.drivers.outbox_file import OutboxFile
from aoii.gateway.intake import Intake
from aoii.gateway.legacy.old_node import Payload
from aoii.gateway.legacy.weights import extract_weights
from aoii.gateway.readings import Instant, Item
from gateway.reference_mlp import ReferenceNode, old_time_n, random_model, source
from gateway.station import EPOCH, KEYS, NODE, configured

OLD = "gateway/ttyUSB0"
START_S = 1_783_814_400  # 2026-07-12 00:00 UTC: summer time where there is one
ZONES = ["UTC", "Asia/Seoul", "America/Los_Angeles", "Asia/Kathmandu", "Pacific/Kiritimati"]


@pytest.fixture(params=ZONES)
def zone(request: pytest.FixtureRequest) -> Iterator[str]:
    """The zone of this machine, for one test."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield request.param
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@contextlib.contextmanager
def opened(folder: Path, **others: str) -> Iterator[Intake]:
    (folder / "weights.py").write_text(source(random_model(9), "list"))
    values = configured(folder / "data", 1883, "gateway", folder / "absent", **others)
    weights = extract_weights(folder / "weights.py")
    with contextlib.closing(OutboxFile(values.gateway.outbox_path, 1 << 24)) as file:
        yield Intake(values.gateway, values.clock, weights, file, lambda _: None, lambda _: True)


def at(minute: int) -> Instant:
    second = START_S + 60 * minute
    return Instant(1000 * second + 420, True, 1000 * second + 420, 1)


def message(ended: "Future[Any]") -> dict[str, Any]:
    item: Item = ended.result(20)[1]
    found: dict[str, Any] = json.loads(item.payload)
    return found


def say(intake: Intake, payload: Payload, when: Instant) -> dict[str, Any]:
    ended: Future[Any] = Future()
    intake.submit_line(OLD, payload, when, lambda future: ended.set_result(future.result()))
    return message(ended)


def send(intake: Intake, when: Instant) -> dict[str, Any]:
    """A reading of a node of ours."""
    ended: Future[Any] = Future()
    uplink = Uplink(NODE, EPOCH, 1, 1, 0, 2150, 4000, HOLD, EVENT, 1, 0, 0)
    intake.submit_frame(uplink, b"1234", KEYS[NODE], when, lambda future: ended.set_result(future.result()))
    return message(ended)


@pytest.mark.usefixtures("zone")
def test_the_mirrored_model_is_that_of_the_node_in_every_zone_of_the_machine(tmp_path: Path) -> None:
    node = ReferenceNode(random_model(9))
    sent = {0: (24.0, 55.0), 1: (24.5, 54.0), 9: (26.0, 51.0), 400: (19.0, 62.0), 1000: (30.0, 35.0)}
    with opened(tmp_path) as intake:
        for minute in range(1001):
            reading = sent.get(minute)
            predicted = node.sample(old_time_n(at(minute).unix_ms), reading)
            if reading is None:
                continue
            found = say(intake, Payload(*reading, at(minute).unix_ms % 2**32), at(minute))
            assert (found["pred_t"], found["pred_h"]) == pytest.approx(predicted, abs=1e-9)


@pytest.mark.usefixtures("zone")
def test_messages_of_old_nodes_have_their_zone_and_those_of_ours_have_the_machines(tmp_path: Path) -> None:
    with opened(tmp_path) as intake:
        old = say(intake, Payload(21.5, 40.0, None), at(0))
        ours = send(intake, at(0))

        assert (old["timestamp"], old["time_n"]) == ("2026-07-11 16:00:00", round(16 / 24, 6))
        assert ours["timestamp"] == time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(START_S))
        here = time.localtime(START_S)
        seconds = here.tm_hour * 3600 + here.tm_min * 60 + here.tm_sec + 0.42
        assert ours["time_n"] == pytest.approx(seconds / 86400, abs=1e-6)
        assert old["event_unix_ms"] == ours["event_unix_ms"] == at(0).unix_ms

        estimates: dict[str | None, Estimate] = {one.node: one for one in intake.estimates(lambda _: UNKNOWN)}
        unix_ms = estimates[OLD].unix_ms or 0
        assert estimates[OLD].time_n == pytest.approx(old_time_n(unix_ms), abs=1e-9)
        text = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(unix_ms // 1000 - 28_800))
        assert estimates[OLD].timestamp == text
        there = estimates[str(NODE)]
        assert there.timestamp == time.strftime("%Y-%m-%d %H:%M:%S", time.localtime((there.unix_ms or 0) // 1000))


def test_the_zone_of_old_nodes_can_be_set(tmp_path: Path) -> None:
    with opened(tmp_path, OLD_NODE_UTC_OFFSET_H="5.5") as intake:
        found = say(intake, Payload(21.5, 40.0, None), at(0))

    assert (found["timestamp"], found["time_n"]) == ("2026-07-12 05:30:00", round(5.5 / 24, 6))
