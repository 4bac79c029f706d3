"""The log reader, wired: stores in `edge_log` what nodes print on their USB ports.

    one thread for each port -> bounded buffer -> writer thread -> database

Unlike readings, log lines are not delivered reliably: they have no identity, and nothing keeps a copy. While the
database is away they wait in memory; beyond the limit of the buffer the oldest are dropped, and counted. A commit whose
answer was lost is repeated, so rows may then be stored twice.
"""

import logging
import threading
from collections.abc import Iterator

from aoii.runtime import metrics
from aoii.runtime.station import Part, PartThread, Station, run_station
from aoii.server.database_errors import DatabaseAway
from aoii.server.database_watch import DatabaseWatch
from aoii.server.db import Database
from aoii.server.edge_log_buffer import EdgeLogBuffer
from aoii.server.edge_log_reader import EdgeLogReader
from aoii.server.insertion import halving
from aoii.settings import Settings
from aoii.settings.faults import Fault, SettingsError

log = logging.getLogger(__name__)

BATCH_LIMIT = 500
GATHER_S = 0.2
STOP_S = 8.0  # of the 10 s that a graceful stop may take
PROBE_DELAYS = 5  # an absent database is probed every 5 x INSERT_BASE_DELAY seconds


class LogReader(Station):
    """The station: a reader for each port, and the writer."""

    def __init__(self, settings: Settings) -> None:
        self._stop = threading.Event()  # stops the ports first
        self._closing = threading.Event()  # stops the writer after it has stored what they read
        self._database = Database(settings.database, create=True)
        self._watch = DatabaseWatch(self._database, PROBE_DELAYS * settings.server.insert_base_delay_s)
        self.buffer = EdgeLogBuffer()
        self._ports = [EdgeLogReader(source, self.buffer, self._stop) for source in settings.server.edge_log_ports]
        self._writer = PartThread("writer", self._write)

    def start(self) -> None:
        """Begin reading and storing."""
        self._watch.start()
        self._writer.start()
        for port in self._ports:
            port.start()

    def stop(self) -> None:
        """Close the ports and store what was read, with one try."""
        self._stop.set()
        for port in self._ports:
            port.join(1.0)
        self._closing.set()
        self._writer.join(STOP_S)
        self._watch.stop()
        if len(self.buffer):
            metrics.LOG_LINES.labels(outcome="lost").inc(len(self.buffer))
            log.error("log lines lost at the end", extra={"event": "lines_lost", "lines": len(self.buffer)})

    def parts(self) -> Iterator[Part]:
        """Its threads."""
        for port in self._ports:
            yield port.part
        yield self._writer.part
        yield self._watch.part

    def is_ready(self) -> dict[str, bool]:
        """Whether every port is open, and the database up."""
        return {"ports": all(port.is_open for port in self._ports), "database": self._watch.is_up}

    def _write(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._closing.is_set()
            self._writer.record_progress()
            if self._watch.is_up:
                while len(self.buffer) and self._store():
                    self._writer.record_progress()
            self._closing.wait(GATHER_S)

    def _store(self) -> bool:
        """Store one batch, without the rows that never fit; False if the database is away."""
        rows = self.buffer.take(BATCH_LIMIT)
        done = 0
        try:
            for part, problem in halving(rows, self._database.insert_edge_log):
                if problem is not None:
                    log.warning("log line rejected", extra={"event": "line_rejected", "reason": str(problem)})
                metrics.LOG_LINES.labels(outcome="lost" if problem else "stored").inc(part.stop - part.start)
                done = part.stop
        except DatabaseAway as error:
            self.buffer.put_back(rows[done:])
            self._watch.record_failure(str(error))
            return False
        self._watch.record_success()
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
