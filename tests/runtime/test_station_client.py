"""What a station on this machine is asked, and what comes of answers that are none."""

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from aoii.runtime import status_port
from aoii.runtime.station_client import MetricSnapshot, fetch_failing_checks, fetch_metrics
from servers import free_port

TEXT = """\
# TYPE aoii_dead_letters gauge
aoii_dead_letters{reason="bad_row"} 2.0
aoii_dead_letters{reason="mismatch"} 3.0
# TYPE aoii_outbox_events gauge
aoii_outbox_events 7.0
"""

Answering = Callable[[int, bytes], AbstractContextManager[int]]


@pytest.fixture
def answering() -> Answering:
    """A server that gives one answer to everything; its port."""

    @contextmanager
    def answering(code: int, body: bytes) -> Iterator[int]:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(code)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            server.server_close()

    return answering


@contextmanager
def a_station(ready: dict[str, bool]) -> Iterator[int]:
    server = status_port.serve("server", port := free_port(), lambda: {"ingest": True}, lambda: ready)
    assert server is not None
    try:
        yield port
    finally:
        server.shutdown()
        server.server_close()


def test_samples_are_found_by_name_and_labels() -> None:
    snapshot = MetricSnapshot(TEXT)

    assert snapshot.values("aoii_dead_letters", reason="mismatch") == [3.0]
    assert snapshot.total("aoii_dead_letters") == 5.0
    assert snapshot.by_label("aoii_dead_letters", "reason") == {"bad_row": 2.0, "mismatch": 3.0}
    assert (snapshot.values("aoii_nothing"), snapshot.total("aoii_nothing")) == ([], 0)
    assert snapshot.by_label("aoii_outbox_events", "reason") == {}


def test_a_station_gives_its_metrics_and_the_names_of_failing_checks() -> None:
    with a_station({"broker": False, "database": True}) as port:
        snapshot = fetch_metrics(port)

        assert snapshot is not None
        assert snapshot.values("aoii_build_info")
        assert fetch_failing_checks(port, "/readyz") == ["broker"]
        assert fetch_failing_checks(port, "/healthz") == []


def test_where_no_station_answers_nothing_is_known(answering: Answering) -> None:
    closed = free_port()

    assert fetch_metrics(closed) is None
    assert fetch_failing_checks(closed, "/healthz") is None
    with answering(404, b"another program") as port:
        assert fetch_metrics(port) is None
        assert fetch_failing_checks(port, "/healthz") is None
    with answering(200, b"\xff{ no metrics") as port:
        assert fetch_metrics(port) is None


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"checks": 1}', b"\xff"])
def test_a_station_that_hides_its_checks_fails_in_something(answering: Answering, body: bytes) -> None:
    with answering(503, body) as port:
        assert fetch_failing_checks(port, "/readyz") == ["something"]
