"""Polling stations: what they report, and how those appear that do not answer, hang, or are something else."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from aoii.runtime import metrics, station_client, status_port
from aoii.settings import Settings
from aoii.web import station_poller
from aoii.web.station_poller import StationPoller
from aoii.web.station_report import StationReport
from servers import free_port, until

Load = Callable[..., Settings]


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(station_poller, "POLL_INTERVAL_S", 0.05)
    monkeypatch.setattr(station_client, "STEP_TIMEOUT_S", 0.5)
    monkeypatch.setattr(station_client, "ANSWER_TIMEOUT_S", 1.0)


@contextmanager
def asking(values: Settings) -> Iterator[Callable[[str], StationReport]]:
    asked = StationPoller(values)
    asked.start()
    try:
        yield lambda name: next(report for report in asked.reports() if report.station == name)
    finally:
        asked.stop()


@contextmanager
def peer(answer: bytes, hold: bool = False) -> Iterator[int]:
    """A listener that gives each connection this answer, and with `hold` never ends it."""
    held = []
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve() -> None:
            while True:
                try:
                    link, _ = listener.accept()
                except OSError:
                    return
                link.recv(65536)  # a close with something unread would be a reset
                link.sendall(answer)
                if hold:
                    held.append(link)
                else:
                    link.close()

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    for link in held:
        link.close()


@pytest.mark.parametrize("is_named", [True, False])
def test_a_station_that_never_answered_is_said_once_at_warning_if_it_is_named(
    load: Load, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, is_named: bool
) -> None:
    caplog.set_level("INFO")
    port = free_port()
    named = {"WEB_STATIONS": f"gateway=127.0.0.1:{port}"} if is_named else {"GATEWAY_STATUS_PORT": port}

    def said() -> list[str]:
        return [one.levelname for one in caplog.records if vars(one).get("station") == "gateway"]

    with asking(load(**named)):
        until(said)
        time.sleep(0.5)  # ten more polls

    assert said() == ["WARNING" if is_named else "INFO"]


def test_the_report_has_metrics_and_checks_also_while_it_is_not_ready(load: Load) -> None:
    port = free_port()
    metrics.OUTBOX_EVENTS.set(3)
    try:
        with (
            status_port.served("gateway", port, lambda: {"clock": True}, lambda: {"broker": False}),
            asking(load(GATEWAY_STATUS_PORT=port, SERVER_STATUS_PORT=0)) as report,
        ):
            found = report("gateway")

            def has_answered() -> bool:
                nonlocal found
                found = report("gateway")
                return found.contact == "answers" and len(found.outbox_track) > 2

            until(has_answered)

            assert (found.contact, found.address, dict(found.checks)) == (
                "answers", f"127.0.0.1:{port}", {"clock": True, "broker": False},
            )  # fmt: skip
            assert found.now.total(metrics.OUTBOX_EVENTS) == 3
            assert found.now.at_s > found.before.at_s
            assert (report("server").contact, report("server").address) == ("not_polled", None)
    finally:
        metrics.OUTBOX_EVENTS.set(0)


def test_a_station_that_ends_is_unreachable_and_its_last_values_stay(load: Load) -> None:
    port = free_port()

    with asking(load(WEB_STATIONS=f"server=127.0.0.1:{port}")) as report:
        with status_port.served("server", port, dict, dict):
            until(lambda: report("server").contact == "answers")
        until(lambda: report("server").reason == "Connection refused")

        assert report("server").contact == "unreachable"
        assert report("server").now.total(metrics.DATABASE_UP) is not None
        assert (report("server").age_s or 0) > 0


@pytest.mark.parametrize(
    ("answer", "hold", "reason"),
    [
        (b"", True, "no answer within 0.5 s"),
        (b"HTTP/1.1 200 OK\r\n\r\n", False, "/metrics is not that of a station"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", False, "/metrics answers with status 404"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", False, "status 302"),
        (b"SSH-2.0-OpenSSH\r\n", False, "SSH"),
        (b"", False, "Remote end closed connection"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n1234", False, "/metrics is not that of a station"),
    ],
)
def test_anything_else_on_the_port_is_no_station(load: Load, answer: bytes, hold: bool, reason: str) -> None:
    with peer(answer, hold) as port, asking(load(WEB_STATIONS=f"gateway=127.0.0.1:{port}")) as report:
        until(lambda: any(part in (report("gateway").reason or "") for part in reason.split("|")), what=reason)

        assert report("gateway").contact == "unreachable"


def test_a_station_that_hangs_delays_no_other_and_not_the_end(load: Load) -> None:
    port = free_port()

    with peer(b"HTTP/1.1 200 OK\r\n", hold=True) as hung, status_port.served("server", port, dict, dict):
        asked = StationPoller(load(WEB_STATIONS=f"gateway=127.0.0.1:{hung},server=127.0.0.1:{port}"))
        asked.start()
        until(lambda: asked.reports()[1].contact == "answers")
        until(lambda: asked.reports()[0].contact == "unreachable")
        asked.stop()
