"""The status port of a station."""

import json
import logging
import socket
import struct
import threading
import urllib.error
import urllib.request

import pytest

from aoii.core.errors import UnavailableError
from aoii.runtime import metrics, status_port
from servers import free_port, until


def fetch(port: int, path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_a_check_that_fails_is_named_and_answers_503() -> None:
    port = free_port()
    checks = {"broker": False, "database": True}

    with status_port.served("gateway", port, alive=lambda: {"loop": True}, ready=lambda: checks):
        alive, _ = fetch(port, "/healthz")
        ready, reason = fetch(port, "/readyz")
        _, metrics_page = fetch(port, "/metrics")
        elsewhere, _ = fetch(port, "/elsewhere")

    assert (alive, ready, elsewhere) == (200, 503, 404)
    assert json.loads(reason) == {"ok": False, "checks": checks, "reason": "waits for: broker"}
    assert b"aoii_build_info" in metrics_page
    assert b"aoii_outbox_events" in metrics_page
    assert b"aoii_database_up" not in metrics_page  # a gateway has no database, and a 0 would look like a fault


def test_a_taken_port_is_an_error_that_says_what_to_do() -> None:
    port = free_port()

    another = status_port.served("gateway", port, dict, dict)

    with (
        status_port.served("gateway", port, dict, dict),
        pytest.raises(UnavailableError, match="set another one, or 0"),
        another,
    ):
        pass


def test_the_port_is_free_again_after_the_block() -> None:
    port = free_port()

    for _ in range(2):
        with status_port.served("gateway", port, dict, dict):
            assert fetch(port, "/healthz")[0] == 200


def test_port_zero_serves_nothing() -> None:
    before = threading.active_count()

    with status_port.served("gateway", 0, dict, dict):
        assert threading.active_count() == before


def test_a_metric_can_be_read_back() -> None:
    before = metrics.value(metrics.REJECTED, reason="mac")
    metrics.REJECTED.labels(reason="mac").inc()

    assert metrics.value(metrics.REJECTED, reason="mac") == before + 1


def hang_up(port: int, request: bytes) -> None:
    """Send a request, and reset the connection instead of reading the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.sendall(request)


@pytest.mark.parametrize("request_line", [b"GET /readyz HTTP/1.1\r\n\r\n", b"GET /rea", b""])
def test_a_scraper_that_hangs_up_is_no_event(
    request_line: bytes, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    is_gone = threading.Event()
    before = set(threading.enumerate())

    def ready() -> dict[str, bool]:
        assert is_gone.wait(30)
        return {}

    with status_port.served("gateway", port, dict, ready):
        hang_up(port, request_line)
        is_gone.set()
        assert fetch(port, "/healthz")[0] == 200
        until(lambda: not [one for one in set(threading.enumerate()) - before if one.name.startswith("Thread-")])

    assert "Traceback" not in capfd.readouterr().err
    assert caplog.records == []


def test_half_a_request_is_given_up(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(status_port, "REQUEST_TIMEOUT_S", 0.2)
    port = free_port()

    with status_port.served("gateway", port, dict, dict), socket.create_connection(("127.0.0.1", port)) as peer:
        peer.settimeout(20)
        peer.sendall(b"GET /rea")
        assert peer.recv(1) == b""  # it has closed the connection, and its thread has ended

    assert caplog.records == []


def test_an_answer_that_fails_for_another_reason_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()

    def broken() -> dict[str, bool]:
        raise ZeroDivisionError

    with status_port.served("gateway", port, dict, broken), pytest.raises(OSError, match="closed connection"):
        fetch(port, "/readyz")

    until(lambda: caplog.records)
    assert (caplog.records[0].levelno, caplog.records[0].message) == (logging.ERROR, "status port failed to answer")
