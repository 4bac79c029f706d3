"""Asks the database at intervals whether it would take a row; in a thread of its own, so that nobody else waits for it.

It also brings the tables up to date whenever the database comes back: it may be another one, from a backup.
"""

import logging
import threading
import time
from collections.abc import Callable

from aoii.core.errors import UnavailableError
from aoii.runtime import metrics
from aoii.server.db import Database

log = logging.getLogger(__name__)

HEALTHY_PROBE_S = 10.0


class DatabaseWatch:
    """Whether the database is up, as last heard.

    Args:
        database: Need not be reachable, and need not have tables.
        probe_s: Seconds between two probes while it is away.
        on_answer: Called in the watch's thread after every probe that got through; must return at once.
    """

    def __init__(self, database: Database, probe_s: float, on_answer: Callable[[], None] = lambda: None) -> None:
        self._database = database
        self._probe_s = probe_s
        self._on_answer = on_answer
        self._migrated = False
        self._ending = False
        self._told = ""  # why it is away, empty when it is not; an answer does not end that, a full table answers, too
        self._wake = threading.Event()
        self._answered = threading.Event()
        self._thread = threading.Thread(target=self._run, name="database-watch", daemon=True)
        self._asked_s: float | None = None  # since when a question waits for its answer
        self.is_up = False

    def start(self) -> None:
        """Begin asking."""
        self._thread.start()

    @property
    def has_ended(self) -> bool:
        """Whether the thread is gone, which must not happen before `stop`."""
        return not self._thread.is_alive()

    @property
    def last_progress_s(self) -> float:
        """When it moved last, monotonic seconds: now, unless it waits for an answer. Migrating takes what it takes."""
        asked_s = self._asked_s
        return time.monotonic() if asked_s is None else asked_s

    def stop(self) -> None:
        """Ask no more; does not wait for a probe under way."""
        self._ending = True
        self._wake.set()

    def wait_answer(self, timeout_s: float) -> bool:
        """Wait for the first answer; whether it came."""
        return self._answered.wait(timeout_s)

    def report_away(self, reason: str) -> None:
        """An insert failed: from now on ask every `probe_s`, until it answers."""
        self._down(reason)
        self._wake.set()

    def report_back(self) -> None:
        """An insert succeeded; said once after it had been away."""
        if self._told:
            log.info("database takes rows again", extra={"event": "database_back"})
        self._told = ""

    def _run(self) -> None:
        try:
            while not self._ending:
                self._probe()
                while self._wake.wait(HEALTHY_PROBE_S if self.is_up else self._probe_s) and not self._ending:
                    self._wake.clear()  # by a report: it has only just failed, so wait again
        except Exception:  # a fault of ours: the process ends, for nobody else would ever call the database back
            log.exception("database watch ended by an error", extra={"event": "watch_error"})

    def _probe(self) -> None:
        try:
            if not self._migrated:
                self._database.migrate()
                self._migrated = True
            self._asked_s = time.monotonic()
            self._database.check_writable()
        except UnavailableError as error:
            self._down(str(error))
            return
        finally:
            self._asked_s = None
        self.is_up = True
        metrics.DATABASE_UP.set(1)
        if not self._answered.is_set():
            log.info("database ready", extra={"event": "database_ready"})
        self._answered.set()
        self._on_answer()

    def _down(self, reason: str) -> None:
        if self._told != reason:
            log.error("database away", extra={"event": "database_away", "reason": reason})
        self._told = reason
        self._migrated = False
        self.is_up = False
        metrics.DATABASE_UP.set(0)
