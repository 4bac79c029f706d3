"""The station client: what a station answers as values, and one error for everything else that may listen there."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from aoii.core.errors import UnavailableError
from aoii.runtime import metrics, station_client, status_port
from aoii.runtime.metric_snapshot import MetricSnapshot
from aoii.runtime.station_client import UNNAMED_CHECK, StationClient
from servers import free_port


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(station_client, "STEP_TIMEOUT_S", 0.5)


@contextmanager
def answering(status: int, body: bytes) -> Iterator[StationClient]:
    """A client of a server that gives this answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield StationClient("127.0.0.1", server.server_port)
    finally:
        server.shutdown()
        server.server_close()


def test_a_station_gives_its_metrics_and_its_checks() -> None:
    port = free_port()
    client = StationClient("127.0.0.1", port)

    with status_port.served("gateway", port, lambda: {"clock": True}, lambda: {"broker": False}):
        assert MetricSnapshot(samples=client.metrics()).total(metrics.OUTBOX_EVENTS) is not None
        assert metrics.name_of(metrics.OUTBOX_EVENTS) not in client.metrics(skip=[metrics.OUTBOX_EVENTS])
        assert client.checks("/healthz") == {"clock": True}
        assert client.checks("/readyz") == {"broker": False}


@pytest.mark.parametrize("ok", [True, False])
def test_a_page_that_tells_strangers_no_details_has_one_check(ok: bool) -> None:
    with answering(200 if ok else 503, json.dumps({"ok": ok}).encode()) as client:
        assert client.checks("/healthz") == {UNNAMED_CHECK: ok}


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"1", b'"checks"', b"{}", b'{"checks": 1}', b"null", b'{"checks": {"broker": "false"}}',
     b'{"checks": {"broker": 0}}', b'{"ok": 1}'],
)  # fmt: skip
def test_an_answer_without_checks_is_not_that_of_a_station(body: bytes) -> None:
    with answering(200, body) as client, pytest.raises(UnavailableError, match="/readyz is not that of a station"):
        client.checks("/readyz")


@pytest.mark.parametrize("body", [b"", b"<html>", b"python_info 1\n", b"aoii_outbox_events many\n"])
def test_an_answer_without_metrics_of_ours_is_not_that_of_a_station(body: bytes) -> None:
    with answering(200, body) as client, pytest.raises(UnavailableError, match="/metrics is not that of a station"):
        client.metrics()


@pytest.mark.parametrize("status", [302, 401, 404, 500])
def test_another_status_is_named(status: int) -> None:
    with answering(status, b"") as client, pytest.raises(UnavailableError, match=f"answers with status {status}"):
        client.checks("/healthz")


def test_an_endless_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(station_client, "BODY_LIMIT_BYTES", 1000)

    with answering(200, bytes(2000)) as client, pytest.raises(UnavailableError, match="too long or too slow"):
        client.metrics()


def test_a_port_where_nobody_listens_is_unavailable() -> None:
    with pytest.raises(UnavailableError, match="Connection refused"):
        StationClient("127.0.0.1", free_port()).metrics()


def test_a_station_that_hangs_is_unavailable() -> None:
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as silent,
        pytest.raises(UnavailableError, match=r"no answer within 0\.5 s"),
    ):
        StationClient("127.0.0.1", silent.getsockname()[1]).checks("/healthz")


def test_a_server_without_tls_does_not_pass_for_an_encrypted_page() -> None:
    with answering(200, b'{"ok": true}') as client, pytest.raises(UnavailableError):
        StationClient("127.0.0.1", client._port, is_encrypted=True).checks("/healthz")
