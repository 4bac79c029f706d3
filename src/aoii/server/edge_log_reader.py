"""Reads the USB log of one port in a thread: bytes become lines, and lines become rows in the buffer."""

import logging
import threading
import time
from dataclasses import replace
from datetime import datetime

from aoii.core.errors import UnavailableError
from aoii.core.stream import Line, Reader
from aoii.runtime import metrics
from aoii.runtime.station import Part
from aoii.server.edge_log_buffer import EdgeLogBuffer
from aoii.server.edge_log_line import decode_line
from aoii.server.edge_log_port import LogPort
from aoii.settings import LogSource

log = logging.getLogger(__name__)

REOPEN_FIRST_S = 0.2
REOPEN_LAST_S = 5.0


class EdgeLogReader:
    """The thread of one port. It opens the port again whenever it is gone; anything but a line is counted as noise.

    Args:
        source: The port, and the node whose lines do not name it.
        buffer: Where rows go.
        stop: Ends the thread.

    Attributes:
        is_open: Whether the port is open.
    """

    def __init__(self, source: LogSource, buffer: EdgeLogBuffer, stop: threading.Event) -> None:
        self._path = source.port
        self._node = source.node
        self._buffer = buffer
        self._stop = stop
        self._is_away_logged = False
        self._thread = threading.Thread(target=self._run, name=f"edge-log-{source.port}", daemon=True)
        self.is_open = False
        self._last_progress_s = time.monotonic()

    def start(self) -> None:
        """Begin reading; the port need not be there."""
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait until the thread has ended, after the stop."""
        self._thread.join(timeout_s)

    @property
    def part(self) -> Part:
        """The thread, as a part of its station."""
        return Part("ports", self._thread.is_alive(), self._last_progress_s)

    def _run(self) -> None:
        delay_s = REOPEN_FIRST_S
        while not self._stop.is_set():
            self._last_progress_s = time.monotonic()
            try:
                with LogPort(self._path) as port:
                    self._set_open(True)
                    delay_s = REOPEN_FIRST_S
                    self._read(port)
            except UnavailableError as error:
                self._set_open(False, str(error))
                self._stop.wait(delay_s)
                delay_s = min(2 * delay_s, REOPEN_LAST_S)

    def _set_open(self, is_open: bool, reason: str = "") -> None:
        metrics.SERIAL_UP.labels(port=self._path).set(is_open)
        self.is_open = is_open
        if is_open:
            log.info("log port open", extra={"event": "log_port_open", "port": self._path})
        elif not self._is_away_logged:
            log.error("log port away", extra={"event": "log_port_away", "reason": reason})
        self._is_away_logged = not is_open

    def _read(self, port: LogPort) -> None:
        reader = Reader()
        is_first = True
        is_last = False
        while not is_last:
            self._last_progress_s = time.monotonic()
            is_last = self._stop.is_set()  # read once more after the stop, for what has arrived already
            for found in reader.feed(port.read()):
                now = datetime.now()  # noqa: DTZ005 - `created_at` is local
                row = decode_line(found.text, now, is_first=is_first) if isinstance(found, Line) else None
                is_first = False
                if row is not None:
                    self._buffer.put(row if row.node else replace(row, node=self._node))
                else:
                    metrics.LOG_LINES.labels(outcome="noise").inc()
                    log.debug("noise on the log port", extra={"event": "noise", "port": self._path, "what": found})
