"""The status port of a station, on loopback: `/metrics`, `/healthz` (alive) and `/readyz` (ready).

Prometheus, `aoii doctor` and the web page ask there. The systemd notifier (`systemd.py`) uses the same checks.
"""

import contextlib
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from aoii.core.errors import UnavailableError
from aoii.runtime.metrics import BY_STATION

Check = Callable[[], Mapping[str, bool]]
"""Returns the names of checks, and whether each passes."""

log = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = 10.0  # for a peer that sends half a request, or takes no answer; each holds a thread meanwhile
NOT_ALIVE = "makes no progress"
NOT_READY = "waits for"


def failure_reason(words: str, checks: Mapping[str, bool]) -> str | None:
    """A reason for people: `words`, then the names of the checks that fail; None if all pass."""
    failed = [name for name, passes in checks.items() if not passes]
    return f"{words}: {', '.join(failed)}" if failed else None


def health_response(words: str, checks: Mapping[str, bool]) -> tuple[int, dict[str, object]]:
    """The answer that tells the checks, as HTTP status and JSON: 200, or 503 with `failure_reason` if one fails."""
    reason = failure_reason(words, checks)
    return 200 if reason is None else 503, {"ok": reason is None, "checks": dict(checks), "reason": reason}


@contextlib.contextmanager
def served(station: str, port: int, alive: Check, ready: Check) -> Iterator[None]:
    """Serve the status port in the background while the `with` block runs.

    Args:
        station: Whose metrics to serve, a key of `metrics.BY_STATION`.
        port: Loopback port; 0: serve nothing.
        alive: Each part of the station, and whether it makes progress.
        ready: Each thing that the station needs for its work, and whether it is there.

    Raises:
        UnavailableError: The port is taken.
    """
    if port == 0:
        yield
        return

    class Handler(_StatusHandler):
        timeout = REQUEST_TIMEOUT_S
        registry = BY_STATION[station]
        checks: ClassVar = {"/healthz": (NOT_ALIVE, alive), "/readyz": (NOT_READY, ready)}

    try:
        server = _Server(("127.0.0.1", port), Handler)
    except OSError as error:
        raise UnavailableError(
            f"status port {port} cannot be used ({error}); set another one, or 0 for none"
        ) from error
    threading.Thread(target=server.serve_forever, name="status", daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    """A server for which a peer that hangs up is no event: its library would print a traceback."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Log what failed while a request was answered, unless the peer went away."""
        if not isinstance(sys.exception(), ConnectionError):
            log.exception("status port failed to answer", extra={"event": "status_failed"})


class _StatusHandler(BaseHTTPRequestHandler):
    """Answers requests for the three paths of one station."""

    registry: CollectorRegistry
    checks: ClassVar[Mapping[str, tuple[str, Check]]]

    def do_GET(self) -> None:
        if self.path == "/metrics":
            self._respond(200, CONTENT_TYPE_LATEST, generate_latest(self.registry))
        elif self.path in self.checks:
            words, check = self.checks[self.path]
            code, content = health_response(words, check())
            self._respond(code, "application/json", json.dumps(content).encode())
        else:
            self._respond(404, "text/plain", b"/metrics, /healthz or /readyz\n")

    def _respond(self, code: int, kind: str, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Log nothing: a scrape every few seconds would fill the log."""
