"""The database as the web page reads it: while it is away, only the database poller waits for it.

All other queries then fail at once instead of waiting for a time-out: a frozen database must not freeze the page. Each
runs in a thread of its own that may be left behind, so that a frozen database does not keep the station from stopping.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, InvalidStateError, wait
from typing import Any, TypeVar

from aoii.core.errors import UnavailableError
from aoii.server.db import Database, open_database
from aoii.server.rows import Stats
from aoii.settings import Database as DatabaseSettings

log = logging.getLogger(__name__)

T = TypeVar("T")

STATS_MAX_AGE_S = 1.0  # totals read every row, so ten pages and a scraper together must cost one query
QUERY_TIMEOUT_S = 30.0  # longer than every time-out of the database itself
QUERIES_LIMIT = 16  # that run at once


class Source:
    """The database, opened at the first query that finds it.

    Attributes:
        away: Why the database could not be read at the last try; None if it could.
        last_stats: The totals as last read; None if they never were.
        openings: How often a database was opened. It rises when another file takes the place of the SQLite file.
    """

    def __init__(self, settings: DatabaseSettings) -> None:
        self._settings = settings
        self._database: Database | None = None
        self._file: tuple[int, int] | None = None
        self._opening = threading.Lock()
        self._reading_stats = threading.Lock()
        self._stats_read_s = 0.0
        self._free_queries = threading.Semaphore(QUERIES_LIMIT)
        self._stopped: Future[Any] = Future()  # done once the station stops
        self.away: str | None = None
        self.last_stats: Stats | None = None
        self.openings = 0

    def query_in_this_thread(self, ask: Callable[[Database], T]) -> T:
        """Run `ask` in the calling thread, even while the database is away, and record whether it is away.

        Only the database poller calls this: a frozen database blocks the caller.

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

    def query(self, ask: Callable[[Database], T], timeout_s: float = QUERY_TIMEOUT_S) -> T:
        """Run `ask` in a thread of its own; return its result within `timeout_s` seconds.

        Raises:
            UnavailableError: The database is away or slow, too many queries wait, or the station stops.
        """
        if self.away is not None:
            raise UnavailableError(self.away)
        if not self._free_queries.acquire(blocking=False):
            raise UnavailableError(
                f"{QUERIES_LIMIT} requests wait for the database already", "try again in a few seconds"
            )
        answer: Future[T] = Future()

        def work() -> None:
            try:
                answer.set_result(self.query_in_this_thread(ask))
            except BaseException as error:  # raised again in the thread that waits
                answer.set_exception(error)
            finally:
                self._free_queries.release()

        threading.Thread(target=work, name="query", daemon=True).start()
        wait([answer, self._stopped], timeout_s, FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        if self._stopped.done():
            raise UnavailableError("the web page is being stopped", "try again when it has started")
        raise UnavailableError(f"the database has not answered within {timeout_s:g} s", "see its log")

    def stats(self) -> Stats:
        """Totals over all readings, at most `STATS_MAX_AGE_S` old.

        Raises:
            UnavailableError: As for `query`.
        """
        with self._reading_stats:
            is_old = time.monotonic() - self._stats_read_s >= STATS_MAX_AGE_S
            if self.last_stats is None or is_old or self.away is not None:
                self._stats_read_s, self.last_stats = time.monotonic(), self.query(Database.stats)
            return self.last_stats

    def stop(self) -> None:
        """End all waiting of `query` at once; may be called again."""
        with contextlib.suppress(InvalidStateError):
            self._stopped.set_result(None)

    def close(self) -> None:
        """Close the database if it is open."""
        with self._opening:
            if self._database is not None:
                self._database.close()
                self._database = None

    def _open(self) -> Database:
        """The open database; opened again if another SQLite file has taken its place."""
        with self._opening:
            file = self._present_file()
            if self._database is not None and file != self._file:
                self._database.close()  # its connections would go on reading the deleted file
                self._database = None
            if self._database is None:
                self._database, self._file = open_database(self._settings), file
                self.openings += 1
            return self._database

    def _present_file(self) -> tuple[int, int] | None:
        """Device and inode of the SQLite file; None if there is no file or the database is a server."""
        if self._settings.host is not None:
            return None
        try:
            found = self._settings.sqlite_path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino
