"""The database watch: asks the database at intervals, in a thread of its own, whether it would take a row.

When the database comes back, the watch also brings its tables up to date: they may be older, restored from a backup.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from aoii.core.errors import UnavailableError
from aoii.runtime import metrics
from aoii.runtime.failure_log import FailureLog
from aoii.runtime.station import Part, PartThread
from aoii.server.db import Database

log = logging.getLogger(__name__)

HEALTHY_PROBE_S = 10.0  # between two probes while the database is up
PROBE_DELAYS = 5  # while the database is away, it is probed every 5 x INSERT_BASE_DELAY seconds


class DatabaseWatch:
    """Probes the database in its own thread, so that nothing else waits for an answer.

    Args:
        database: The database; it need not be reachable or have tables.
        probe_s: Seconds between two probes while it is away.
        on_answer: Called in the watch's thread after each successful probe; must return at once.

    Attributes:
        is_up: Whether the last probe succeeded, and no insert has failed since.
        absences: How often it was up and then away.
    """

    def __init__(self, database: Database, probe_s: float, on_answer: Callable[[], None] = lambda: None) -> None:
        self._database = database
        self._probe_s = probe_s
        self._on_answer = on_answer
        self._migrated = False
        self._stopping = False
        self._away = FailureLog(  # only an insert ends it: a full table answers a probe
            log,
            "database away",
            "database_away",
            ("database takes rows again", "database_back"),
            0,
            level=logging.ERROR,
        )
        self._wake = threading.Event()
        self._answered = threading.Event()
        self._thread = PartThread("database_watch", self._work)
        self._probe_began_s: float | None = None  # None while no probe is under way
        self.is_up = False
        self.absences = 0

    def start(self) -> None:
        """Begin probing."""
        self._thread.start()

    @property
    def part(self) -> Part:
        """The thread, as a part of its station. A probe without an answer makes no progress; a migration does."""
        began_s = self._probe_began_s
        return replace(self._thread.part, last_progress_s=time.monotonic() if began_s is None else began_s)

    def stop(self) -> None:
        """Probe no more; does not wait for a probe under way."""
        self._stopping = True
        self._wake.set()

    def wait_answer(self, timeout_s: float) -> bool:
        """Wait for the first successful probe; False after `timeout_s`."""
        return self._answered.wait(timeout_s)

    def record_failure(self, reason: str) -> None:
        """Note that an insert failed: probe every `probe_s` from now on, until the database answers."""
        self._set_down(reason)
        self._wake.set()

    def record_success(self) -> None:
        """Note that an insert succeeded; the first one after the database was away is logged."""
        self._away.record_success()

    def _work(self) -> None:
        while not self._stopping:
            self._probe()
            while self._wake.wait(HEALTHY_PROBE_S if self.is_up else self._probe_s) and not self._stopping:
                self._wake.clear()  # an insert has just failed: wait again before the next probe

    def _probe(self) -> None:
        try:
            if not self._migrated:
                self._database.migrate()
                self._migrated = True
            self._probe_began_s = time.monotonic()
            self._database.check_writable()
        except UnavailableError as error:
            self._set_down(str(error))
            return
        finally:
            self._probe_began_s = None
        self.is_up = True
        metrics.DATABASE_UP.set(1)
        if not self._answered.is_set():
            log.info("database ready", extra={"event": "database_ready"})
        self._answered.set()
        self._on_answer()

    def _set_down(self, reason: str) -> None:
        self._away.record_failure(reason)
        self._migrated = False
        self.absences += self.is_up
        self.is_up = False
        metrics.DATABASE_UP.set(0)
