"""Reads the USB log of one port in a thread: bytes become lines, and lines become rows in the buffer."""

import logging
import threading
from dataclasses import replace
from datetime import datetime

from aoii.core.errors import UnavailableError
from aoii.core.stream import Line, Reader
from aoii.runtime import metrics
from aoii.runtime.station import PartThread
from aoii.server.edge_log_buffer import EdgeLogBuffer
from aoii.server.edge_log_line import decode_line
from aoii.server.edge_log_port import LogPort
from aoii.settings import LogSource

log = logging.getLogger(__name__)

REOPEN_FIRST_S = 0.2
REOPEN_LAST_S = 5.0


class EdgeLogReader(PartThread):
    """The thread of one port. It opens the port again whenever it is gone; anything but a line is counted as noise.

    Args:
        source: The port, and the node whose lines do not name it.
        buffer: Where rows go.
        stop: Ends the thread.

    Attributes:
        is_open: Whether the port is open.
    """

    def __init__(self, source: LogSource, buffer: EdgeLogBuffer, stop: threading.Event) -> None:
        super().__init__("ports", self._work)
        self._path = source.port
        self._node = source.node
        self._buffer = buffer
        self._stopping = stop
        self._is_away_logged = False
        self.is_open = False

    def _work(self) -> None:
        delay_s = REOPEN_FIRST_S
        while not self._stopping.is_set():
            self.record_progress()
            try:
                with LogPort(self._path) as port:
                    self._set_open(True)
                    delay_s = REOPEN_FIRST_S
                    self._read(port)
            except UnavailableError as error:
                self._set_open(False, str(error))
                self._stopping.wait(delay_s)
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
            self.record_progress()
            is_last = self._stopping.is_set()  # read once more after the stop, for what has arrived already
            for found in reader.feed(port.read()):
                now = datetime.now()  # noqa: DTZ005 - `created_at` is local
                row = decode_line(found.text, now, is_first=is_first) if isinstance(found, Line) else None
                is_first = False
                if row is not None:
                    self._buffer.put(row if row.node else replace(row, node=self._node))
                else:
                    metrics.LOG_LINES.labels(outcome="noise").inc()
                    log.debug("noise on the log port", extra={"event": "noise", "port": self._path, "what": found})
