"""The status port of a station, on loopback.

`/metrics` for Prometheus, `/healthz` (alive: it makes progress) and `/readyz` (it can do its work). What is answered
here is what the service manager is told, too (`service_manager.py`).
"""

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from aoii.core.errors import UnavailableError
from aoii.runtime.metrics import BY_STATION

Check = Callable[[], Mapping[str, bool]]

NOT_ALIVE = "makes no progress"
NOT_READY = "waits for"


def reason(words: str, checks: Mapping[str, bool]) -> str | None:
    """`words` and the names of what fails, for a person; None when nothing does."""
    failed = [name for name, is_well in checks.items() if not is_well]
    return f"{words}: {', '.join(failed)}" if failed else None


def answer(words: str, checks: Mapping[str, bool]) -> tuple[int, dict[str, object]]:
    """HTTP status and JSON content for checks: 200, or 503 with the reason."""
    why = reason(words, checks)
    return 200 if why is None else 503, {"ok": why is None, "checks": dict(checks), "reason": why}


def serve(station: str, port: int, alive: Check, ready: Check) -> ThreadingHTTPServer | None:
    """Serve the status page in the background; None when `port` is 0.

    Args:
        station: Whose metrics, as in `metrics.BY_STATION`.
        port: Loopback port.
        alive: Names what must make progress, and whether it does.
        ready: Names what must be there for work, and whether it is.

    Raises:
        UnavailableError: The port is taken.
    """
    if port == 0:
        return None

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest(BY_STATION[station]))
            elif self.path == "/healthz":
                self._judge(NOT_ALIVE, alive())
            elif self.path == "/readyz":
                self._judge(NOT_READY, ready())
            else:
                self._answer(404, "text/plain", b"/metrics, /healthz or /readyz\n")

        def _judge(self, words: str, checks: Mapping[str, bool]) -> None:
            code, content = answer(words, checks)
            self._answer(code, "application/json", json.dumps(content).encode())

        def _answer(self, code: int, kind: str, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Scrapes are not news."""

    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise UnavailableError(
            f"status port {port} cannot be used ({error}); set another one, or 0 for none"
        ) from error
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="status", daemon=True).start()
    return server
