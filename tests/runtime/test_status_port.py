"""The status port of a station."""

import json
import urllib.error
import urllib.request

import pytest

from aoii.core.errors import UnavailableError
from aoii.runtime import metrics, status_port
from servers import free_port


def fetch(port: int, path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_a_check_that_fails_is_named_and_answers_503() -> None:
    port = free_port()
    server = status_port.serve(
        "gateway", port, alive=lambda: {"loop": True}, ready=lambda: {"broker": False, "database": True}
    )
    assert server is not None

    assert fetch(port, "/healthz")[0] == 200
    code, body = fetch(port, "/readyz")

    assert code == 503
    checks = {"broker": False, "database": True}
    assert json.loads(body) == {"ok": False, "checks": checks, "reason": "waits for: broker"}
    served = fetch(port, "/metrics")[1]
    assert b"aoii_build_info" in served
    assert b"aoii_outbox_events" in served
    assert b"aoii_database_up" not in served  # a gateway has no database, and a 0 would look like a fault
    assert fetch(port, "/elsewhere")[0] == 404
    server.shutdown()
    server.server_close()


def test_a_taken_port_is_an_error_that_says_what_to_do() -> None:
    port = free_port()
    first = status_port.serve("gateway", port, dict, dict)
    assert first is not None

    with pytest.raises(UnavailableError, match="set another one, or 0"):
        status_port.serve("gateway", port, dict, dict)
    first.shutdown()
    first.server_close()


def test_port_zero_serves_nothing() -> None:
    assert status_port.serve("gateway", 0, dict, dict) is None


def test_a_metric_can_be_read_back() -> None:
    before = metrics.value(metrics.REJECTED, reason="mac")
    metrics.REJECTED.labels(reason="mac").inc()

    assert metrics.value(metrics.REJECTED, reason="mac") == before + 1
