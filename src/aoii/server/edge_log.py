"""The log reader, wired: stores in `edge_log` what nodes print on their USB ports.

    one thread for each port -> bounded buffers -> writer thread -> database, and the CSV file if there is one

Unlike readings, log lines are not delivered reliably: they have no identity, and nothing keeps a copy. While the
database is away they wait in memory; when the buffer is full, the oldest are dropped and counted. If the answer to a
commit is lost, the batch is inserted again, and its rows may then be stored twice.
"""

import logging
import threading
from collections import deque
from collections.abc import Iterator

from aoii.runtime import metrics
from aoii.runtime.station import Part, PartThread, Station, run_station
from aoii.runtime.written_bytes import WrittenBytes
from aoii.server.database_errors import DatabaseAway
from aoii.server.database_watch import PROBE_DELAYS, DatabaseWatch
from aoii.server.db import Database
from aoii.server.edge_log_csv import EdgeLogCsv
from aoii.server.edge_log_reader import LogPortReader
from aoii.server.insertion import insert_in_parts
from aoii.server.rows import EdgeLogRow
from aoii.settings import Settings
from aoii.settings.faults import Fault, SettingsError

log = logging.getLogger(__name__)

BUFFER_LIMIT = 50_000  # rows: a day of 30 nodes, about 20 MB
BATCH_LIMIT = 500
GATHER_S = 0.2  # between two batches, so that rows gather
STOP_S = 8.0  # of the 10 s that a graceful stop may take


class LogBuffer:
    """Rows on their way to the database, oldest first; safe to share between threads.

    Args:
        limit: Most rows that it keeps. One more pushes out the oldest, which is counted as lost.
    """

    def __init__(self, limit: int = BUFFER_LIMIT) -> None:
        self._rows: deque[EdgeLogRow] = deque(maxlen=limit)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, row: EdgeLogRow) -> None:
        """Add a row."""
        with self._lock:
            if len(self._rows) == self._rows.maxlen:
                metrics.LOG_LINES.labels(outcome="lost").inc()
            self._rows.append(row)

    def take(self, limit: int) -> list[EdgeLogRow]:
        """Remove the oldest rows, at most `limit`."""
        with self._lock:
            return [self._rows.popleft() for _ in range(min(limit, len(self._rows)))]


class LogReader(Station):
    """The station: a reader for each port, and the writer."""

    def __init__(self, settings: Settings) -> None:
        self._stop = threading.Event()  # stops the ports first
        self._closing = threading.Event()  # then stops the writer, which stores what they have read
        self._database = Database(settings.database, create=True)
        log.info("rows go to a database", extra={"event": "rows_go_to", "database": settings.database.description})
        self._watch = DatabaseWatch(self._database, PROBE_DELAYS * settings.server.insert_base_delay_s)
        self._buffer = LogBuffer()
        self._batch: list[EdgeLogRow] = []  # taken from the buffer and not stored yet
        csv_file = settings.server.edge_log_csv
        self._csv = None if csv_file is None else EdgeLogCsv(csv_file, settings.gateway.old_zone)
        self._ports = [LogPortReader(source, self._put, self._stop) for source in settings.server.edge_log_ports]
        self._writer = PartThread("writer", self._write)

    def start(self) -> None:
        """Begin reading and storing."""
        self._watch.start()
        self._writer.start()
        for port in self._ports:
            port.start()

    def _put(self, row: EdgeLogRow, is_old: bool) -> None:
        """Take a row from a port."""
        if self._csv is not None:
            self._csv.put(row, is_old=is_old)
        self._buffer.put(row)

    def stop(self) -> None:
        """Close the ports and store what was read, with one try."""
        self._stop.set()
        for port in self._ports:
            port.join(1.0)
        self._closing.set()
        self._writer.join(STOP_S)
        self._watch.stop()
        if self._csv is not None and not self._writer.is_alive():
            self._csv.close()
        if lost := self.waiting():
            metrics.LOG_LINES.labels(outcome="lost").inc(lost)
            log.error("log lines lost at the end", extra={"event": "lines_lost", "lines": lost})

    def parts(self) -> Iterator[Part]:
        """Its threads."""
        for port in self._ports:
            yield port.part
        yield self._writer.part
        yield self._watch.part

    def readiness(self) -> dict[str, bool]:
        """Whether every port is open, and the database up."""
        found = {"ports": all(port.is_open for port in self._ports), "database": self._watch.is_up}
        return found if self._csv is None else found | {"csv": self._csv.is_writable}

    def waiting(self) -> int:
        """Number of rows that are not in the database yet."""
        return len(self._buffer) + len(self._batch)

    def _write(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._closing.is_set()
            self._writer.record_progress()
            if self._csv is not None:
                self._csv.flush()
            while self._watch.is_up and self.waiting() and self._store():
                self._writer.record_progress()
            self._closing.wait(GATHER_S)

    def _store(self) -> bool:
        """Store one batch, without rows that never fit; False if the database is away: the rest waits in `_batch`."""
        self._batch = self._batch or self._buffer.take(BATCH_LIMIT)
        done = 0
        try:
            for part, problem in insert_in_parts(self._batch, self._database.insert_edge_log):
                if problem is not None:
                    log.warning("log line rejected", extra={"event": "line_rejected", "reason": str(problem)})
                metrics.LOG_LINES.labels(outcome="lost" if problem else "stored").inc(part.stop - part.start)
                done = part.stop
        except DatabaseAway as error:
            self._watch.record_failure(str(error))
            return False
        finally:
            self._batch = self._batch[done:]
        self._watch.record_success()
        return True


def run(settings: Settings) -> int:
    """Run the log reader until SIGTERM or SIGINT; return its exit code.

    Raises:
        SettingsError: EDGE_LOG_PORT names no port.
        UnavailableError: The status port is taken.
    """
    if not settings.server.edge_log_ports:
        raise SettingsError(
            [Fault("", "EDGE_LOG_PORT", "is not set", "name the port of a node's USB log, such as /dev/ttyUSB1")]
        )
    written = WrittenBytes(settings.data_dir, settings.write_budget_mb)
    return run_station(
        "edgelog", settings.server.edge_log_status_port, lambda: LogReader(settings), meter=written.update
    )
