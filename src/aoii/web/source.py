"""The database as the page reads it: opened when it can be, and asked by one thread only while it is away.

While the database is away the poller alone keeps trying. Everybody else is told so at once instead of waiting for a
time-out of their own: a frozen database must not freeze the page. Nor may it keep the station from ending: a question
is asked in a thread that may be left behind.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from aoii.core.errors import UnavailableError
from aoii.server.db import Database, open_database
from aoii.server.rows import Stats
from aoii.settings import Database as DatabaseSettings

log = logging.getLogger(__name__)

T = TypeVar("T")

STATS_MAX_AGE_S = 1.0  # totals read every row: ten pages and a scraper ask together, the database answers once
PATIENCE_S = 30.0  # beyond every time-out of the database itself
WAKE_S = 0.1  # how often a waiting question looks whether the station ends
QUESTIONS_LIMIT = 16  # at once


class Source:
    """Answers questions about the database, or raises `UnavailableError` with what to do.

    Attributes:
        away: Why the database cannot be read; None when it can.
        openings: Rises when another database stands in the place of the one before.
    """

    def __init__(self, settings: DatabaseSettings) -> None:
        self._settings = settings
        self._database: Database | None = None
        self._file: tuple[int, int] | None = None
        self._opening = threading.Lock()
        self._counting = threading.Lock()
        self._stats: tuple[float, Stats] | None = None
        self._places = threading.Semaphore(QUESTIONS_LIMIT)
        self._stopping = threading.Event()
        self.away: str | None = None
        self.openings = 0

    @property
    def last_stats(self) -> Stats | None:
        """The totals as they were last read; None before the first time."""
        return self._stats[1] if self._stats else None

    def try_read(self, ask: Callable[[Database], T]) -> T:
        """The answer of `ask`, asked in this thread and also while the database is away; for the poller.

        Raises:
            UnavailableError: The database is away.
        """
        try:
            answer = ask(self._open())
        except UnavailableError as error:
            if self.away != str(error):
                log.warning("database cannot be read", extra={"event": "database_away", "reason": str(error)})
            self.away = str(error)
            raise
        if self.away is not None:
            log.info("database is read", extra={"event": "database_read"})
            self.away = None
        return answer

    def read(self, ask: Callable[[Database], T], patience_s: float = PATIENCE_S) -> T:
        """The answer of `ask`, within `patience_s` seconds.

        Raises:
            UnavailableError: The database is away or slow, too many ask at once, or the station ends.
        """
        if self.away is not None:
            raise UnavailableError(self.away)
        if not self._places.acquire(blocking=False):
            raise UnavailableError(
                f"{QUESTIONS_LIMIT} requests wait for the database already; ask again in a few seconds"
            )
        answer: Future[T] = Future()

        def work() -> None:
            try:
                answer.set_result(self.try_read(ask))
            except BaseException as error:  # whatever it is, it belongs to who asked
                answer.set_exception(error)
            finally:
                self._places.release()

        threading.Thread(target=work, name="question", daemon=True).start()
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if self._stopping.is_set():
                raise UnavailableError("the web page is being stopped; ask again when it has started")
            try:
                return answer.result(WAKE_S)
            except TimeoutError:
                continue
        raise UnavailableError(f"the database has not answered within {patience_s:g} s; see its own log")

    def stats(self) -> Stats:
        """Totals over all readings, at most `STATS_MAX_AGE_S` old.

        Raises:
            UnavailableError: As for `read`.
        """
        with self._counting:
            fresh = self._stats is not None and time.monotonic() - self._stats[0] < STATS_MAX_AGE_S
            if self._stats is None or self.away is not None or not fresh:
                self._stats = (time.monotonic(), self.read(Database.stats))
            return self._stats[1]

    def stop(self) -> None:
        """Let nobody wait any longer; may be called by a signal handler."""
        self._stopping.set()

    def close(self) -> None:
        """Close the database, if it was opened."""
        with self._opening:
            if self._database is not None:
                self._database.close()
                self._database = None

    def _open(self) -> Database:
        with self._opening:
            file = self._present_file()
            if self._database is not None and file != self._file:
                self._database.close()  # or its pool would read a file that was deleted, for ever
                self._database = None
            if self._database is None:
                self._database, self._file = open_database(self._settings), file
                self.openings += 1
            return self._database

    def _present_file(self) -> tuple[int, int] | None:
        """Which file SQLite's path leads to now; None for none, and for a database server."""
        if self._settings.host is not None:
            return None
        try:
            found = self._settings.sqlite_path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino
