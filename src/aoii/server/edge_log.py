"""The log reader, wired: what nodes print on their USB ports goes into `edge_log`.

    one thread for each port -> bounded buffer -> writer thread -> database

The log is for looking at, not a delivery: lines have no identity and nobody keeps them for us. While the database is
away they wait in memory; beyond `BUFFER_LIMIT` rows the oldest are lost, and counted. A commit whose answer was lost is
made again, so that rows may double then.
"""

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from aoii.core.errors import Fault, SettingsError, UnavailableError
from aoii.core.stream import Line, Reader
from aoii.runtime import metrics
from aoii.runtime.station import Part, Station, run_station
from aoii.server.database_errors import BadRow, DatabaseAway
from aoii.server.database_watch import DatabaseWatch
from aoii.server.db import Database
from aoii.server.edge_log_line import read_line
from aoii.server.edge_log_port import LogPort
from aoii.server.rows import EdgeLogRow
from aoii.settings import LogSource, Settings

log = logging.getLogger(__name__)

BUFFER_LIMIT = 50_000  # rows: a day of 30 nodes, about 20 MB
BATCH_LIMIT = 500
GATHER_S = 0.2
REOPEN_FIRST_S = 0.2
REOPEN_LAST_S = 5.0
PROBE_DELAYS = 5  # an absent database is asked every 5 x INSERT_BASE_DELAY seconds


class Buffer:
    """Rows on their way to the database; bounded, the oldest give way."""

    def __init__(self, limit: int = BUFFER_LIMIT) -> None:
        self._limit = limit
        self._rows: deque[EdgeLogRow] = deque()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, row: EdgeLogRow) -> None:
        """Take a row; when there is no room the oldest is lost, and counted."""
        with self._lock:
            if len(self._rows) == self._limit:
                self._rows.popleft()
                metrics.LOG_LINES.labels(outcome="lost").inc()
            self._rows.append(row)

    def take(self, limit: int) -> list[EdgeLogRow]:
        """The oldest rows."""
        with self._lock:
            return [self._rows.popleft() for _ in range(min(limit, len(self._rows)))]

    def put_back(self, rows: Sequence[EdgeLogRow]) -> None:
        """Return what was taken and not stored; what no longer fits is lost, and counted."""
        with self._lock:
            room = self._limit - len(self._rows)
            kept = list(rows)[max(0, len(rows) - room) :] if room else []
            metrics.LOG_LINES.labels(outcome="lost").inc(len(rows) - len(kept))
            self._rows.extendleft(reversed(kept))


class PortReader:
    """One port and its thread: opened again for ever, lines become rows, the rest is counted as noise."""

    def __init__(self, source: LogSource, buffer: Buffer, stop: threading.Event) -> None:
        self._path = source.port
        self._node = source.node
        self._buffer = buffer
        self._stop = stop
        self._told = False
        self._thread = threading.Thread(target=self._run, name=f"edge-log-{source.port}", daemon=True)
        self.is_open = False
        self.last_progress_s = time.monotonic()

    def start(self) -> None:
        """Begin reading; the port need not be there."""
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait for the end after the stop."""
        self._thread.join(timeout_s)

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        delay_s = REOPEN_FIRST_S
        while not self._stop.is_set():
            self.last_progress_s = time.monotonic()
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
        elif not self._told:
            log.error("log port away", extra={"event": "log_port_away", "reason": reason})
        self._told = not is_open

    def _read(self, port: LogPort) -> None:
        reader = Reader()
        is_first = True
        ending = False
        while not ending:
            self.last_progress_s = time.monotonic()
            ending = self._stop.is_set()  # then once more, for what has arrived already
            for found in reader.feed(port.read()):
                now = datetime.now()  # noqa: DTZ005 - `created_at` is local
                row = read_line(found.text, now, is_first=is_first) if isinstance(found, Line) else None
                is_first = False
                if row is not None:
                    self._buffer.put(row if row.node else replace(row, node=self._node))
                else:
                    metrics.LOG_LINES.labels(outcome="noise").inc()
                    log.debug("noise on the log port", extra={"event": "noise", "port": self._path, "what": found})


class LogReader(Station):
    """The station: its ports and the thread that stores."""

    def __init__(self, settings: Settings) -> None:
        self._stop = threading.Event()  # the ports first
        self._closing = threading.Event()  # then the writer, which stores what they read
        self._database = Database(settings.database, create=True)
        self._watch = DatabaseWatch(self._database, PROBE_DELAYS * settings.server.insert_base_delay_s)
        self._progress_s = time.monotonic()
        self.buffer = Buffer()
        self._ports = [PortReader(source, self.buffer, self._stop) for source in settings.server.edge_log_ports]
        self._writer = threading.Thread(target=self._write, name="edge-log-writer", daemon=True)

    def start(self) -> None:
        """Begin reading and storing."""
        self._watch.start()
        self._writer.start()
        for port in self._ports:
            port.start()

    def stop(self, timeout_s: float = 8.0) -> None:
        """Close the ports and store what was read, with one try."""
        self._stop.set()
        for port in self._ports:
            port.join(1.0)
        self._closing.set()
        self._writer.join(timeout_s)
        self._watch.stop()
        if len(self.buffer):
            metrics.LOG_LINES.labels(outcome="lost").inc(len(self.buffer))
            log.error("log lines lost at the end", extra={"event": "lines_lost", "lines": len(self.buffer)})

    def parts(self) -> Iterator[Part]:
        """Its threads."""
        for port in self._ports:
            yield Part("ports", port.is_alive, port.last_progress_s)
        yield Part("writer", self._writer.is_alive(), self._progress_s)
        yield Part("database_watch", not self._watch.has_ended, self._watch.last_progress_s)

    def is_ready(self) -> dict[str, bool]:
        """What must be there for work."""
        return {"ports": all(port.is_open for port in self._ports), "database": self._watch.is_up}

    def _write(self) -> None:
        ending = False
        while not ending:
            ending = self._closing.is_set()
            self._progress_s = time.monotonic()
            if self._watch.is_up:
                while len(self.buffer) and self._store():
                    self._progress_s = time.monotonic()
            self._closing.wait(GATHER_S)

    def _store(self) -> bool:
        """Store one batch, without the rows that never fit; False when the database is away."""
        parts = [self.buffer.take(BATCH_LIMIT)]
        while parts:
            rows = parts.pop()
            try:
                self._database.insert_edge_log(rows)
            except BadRow as error:
                if len(rows) > 1:
                    parts += [rows[len(rows) // 2 :], rows[: len(rows) // 2]]
                else:
                    metrics.LOG_LINES.labels(outcome="lost").inc()
                    log.warning("log line refused", extra={"event": "line_refused", "reason": str(error)})
            except DatabaseAway as error:
                self.buffer.put_back([*rows, *itertools.chain(*reversed(parts))])
                self._watch.report_away(str(error))
                return False
            else:
                metrics.LOG_LINES.labels(outcome="stored").inc(len(rows))
        self._watch.report_back()
        return True


def run(settings: Settings) -> int:
    """Run the log reader until SIGTERM or SIGINT; its exit code.

    Raises:
        SettingsError: EDGE_LOG_PORT names no port.
        UnavailableError: The status port is taken.
    """
    if not settings.server.edge_log_ports:
        raise SettingsError(
            [Fault("", "EDGE_LOG_PORT", "is not set", "name the port of a node's USB log, such as /dev/ttyUSB1")]
        )
    return run_station("edgelog", settings.server.edge_log_status_port, lambda: LogReader(settings))
