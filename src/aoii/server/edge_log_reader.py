"""Reads the USB log of one node's port in a thread: bytes become lines, and lines become rows.

It writes to a port only what a node with the firmware 0.3 or 0.7 waits for: the time, when it asks.
"""

import logging
import os
import select
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from aoii.core.errors import UnavailableError
from aoii.core.stream import Damaged, Frame, Line, Reader
from aoii.runtime import metrics
from aoii.runtime.failure_log import FailureLog
from aoii.runtime.serial_line import open_serial
from aoii.runtime.station import PartThread
from aoii.server.edge_log_line import TIME_REQUEST, decode_line
from aoii.server.rows import EdgeLogRow
from aoii.settings import LogSource

log = logging.getLogger(__name__)

READ_S = 0.2  # a read returns after this long even without a byte, so that a stop is noticed
CHUNK_BYTES = 4096
CHECK_S = 1.0  # how often an idle port is checked: some adapters vanish without a hang-up
REOPEN_FIRST_S = 0.2  # before a port that is gone is opened again; doubled after each failure
REOPEN_LAST_S = 5.0


class LogPort:
    """An open port; as a context manager it is closed at the end.

    Args:
        path: The device, such as /dev/ttyUSB1, or a link to it.

    Raises:
        UnavailableError: It cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            self._port = open_serial(path)
        except (OSError, ValueError) as error:
            raise UnavailableError(
                f"{path}: {error}; check the cable, EDGE_LOG_PORT and the rights of the device"
            ) from error
        self._checked_s = time.monotonic()

    def __enter__(self) -> "LogPort":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._port)

    def read(self) -> bytes:
        """The bytes that have arrived, maybe none.

        Raises:
            UnavailableError: The port is gone, or its name belongs to another device now.
        """
        try:
            if select.select([self._port], [], [], READ_S)[0]:
                if chunk := os.read(self._port, CHUNK_BYTES):
                    return chunk
                raise UnavailableError(f"{self._path}: it is gone; plug it in again")
            if time.monotonic() - self._checked_s >= CHECK_S:
                self._checked_s = time.monotonic()
                if not os.path.samestat(os.fstat(self._port), os.stat(self._path)):  # noqa: PTH116 - beside fstat
                    raise UnavailableError(f"{self._path}: now another device has this name; it is opened again")
        except OSError as error:
            raise UnavailableError(f"{self._path}: {error}; plug it in again") from error
        return b""

    def write(self, data: bytes) -> None:
        """Send to the node; dropped if the port takes nothing now.

        Raises:
            UnavailableError: The port is gone.
        """
        try:
            os.write(self._port, data)
        except BlockingIOError:
            log.warning("log port takes nothing", extra={"event": "log_port_blocked", "port": self._path})
        except OSError as error:
            raise UnavailableError(f"{self._path}: {error}; plug it in again") from error


class LogPortReader(PartThread):
    """The thread of one port. It opens the port again whenever that is gone.

    A node that asks for the time gets it. Other lines without a row are counted as noise.

    Args:
        source: The port, and the name of its node for lines without one.
        put: Called with each row, in this thread, and with whether its line has the form of an old node.
        stop: Ends the thread.

    Attributes:
        is_open: Whether the port is open.
    """

    def __init__(self, source: LogSource, put: Callable[[EdgeLogRow, bool], None], stop: threading.Event) -> None:
        super().__init__("ports", self._work)
        self._path = source.port
        self._node = source.node
        self._put = put
        self._stopping = stop
        self._away = FailureLog(log, "log port away", "log_port_away", lasts_s=0, fields={"port": self._path})
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
            self._away.record_success()
            log.info("log port open", extra={"event": "log_port_open", "port": self._path})
        else:
            self._away.record_failure(reason)

    def _read(self, port: LogPort) -> None:
        reader = Reader()
        is_first = True
        is_last = False
        while not is_last:
            self.record_progress()
            is_last = self._stopping.is_set()  # read once more after the stop, for what has arrived already
            for found in reader.feed(port.read()):
                if isinstance(found, Line) and found.text.strip() == TIME_REQUEST:
                    self._tell_time(port)
                else:
                    self._take(found, is_first)
                is_first = False

    def _tell_time(self, port: LogPort) -> None:
        """Answer the firmware that waits for the time; a wrong clock is better than a node that never begins.

        The node corrects its clock at the next reply of the gateway.
        """
        port.write(b"TIME:%d\n" % time.time())
        metrics.LOG_LINES.labels(outcome="time").inc()
        log.info("a node asked for the time and has it", extra={"event": "time_told", "port": self._path})

    def _take(self, found: "Line | Frame | Damaged", is_first: bool) -> None:
        now = datetime.fromtimestamp(time.time())  # noqa: DTZ006 - `created_at` is local, and knows which repeated hour
        row = decode_line(found.text, now, is_first=is_first) if isinstance(found, Line) else None
        if row is not None:
            self._put(row if row.node else replace(row, node=self._node), row.node is None)
        else:
            metrics.LOG_LINES.labels(outcome="noise").inc()
            log.debug("noise on the log port", extra={"event": "noise", "port": self._path, "what": found})
