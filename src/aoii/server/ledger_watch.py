"""The ledger watch: counts the ledger at intervals, in a thread of its own, for the metrics.

Counting reads the whole index of the identities, so the pause grows with the time that it takes.
"""

import logging
import threading
import time

from aoii.core.errors import UnavailableError
from aoii.runtime import metrics
from aoii.runtime.failure_log import FailureLog
from aoii.runtime.station import Part, PartThread
from aoii.server.connection import ConnectionPool
from aoii.server.dead_letters.letters import Letters
from aoii.server.ledger import PARTS
from aoii.server.ledger_facts import read_accounts

log = logging.getLogger(__name__)

FIRST_S = 20.0  # after the start: the database has its tables by then, and readings that waited are stored
PAUSE_S = 600.0
PAUSE_SHARE = 100  # a pause is at least so many times the time of the count: ten million rows take 15 to 30 s
STEP_S = 1.0  # in which the thread waits, so that it is known to be alive


class LedgerWatch:
    """Sets the metrics of the ledger again and again; they keep their values while the database is away.

    Args:
        pool: Connections to the database; it need not be reachable or have tables.
        letters: The server's dead letters.
        first_s: Seconds before the first count.
        pause_s: Seconds between two counts, at least.
    """

    def __init__(
        self, pool: ConnectionPool, letters: Letters, first_s: float = FIRST_S, pause_s: float = PAUSE_S
    ) -> None:
        self._pool = pool
        self._letters = letters
        self._first_s = first_s
        self._pause_s = pause_s
        self._stopping = threading.Event()
        self._thread = PartThread("ledger_watch", self._work)
        self._failures = FailureLog(
            log, "ledger cannot be counted", "ledger_not_counted", ("ledger is counted again", "ledger_counted"), 0
        )

    def start(self) -> None:
        """Begin counting."""
        self._thread.start()

    @property
    def part(self) -> Part:
        """The thread, as a part of its station."""
        return self._thread.part

    def stop(self) -> None:
        """Count no more; does not wait for a count under way."""
        self._stopping.set()

    def _work(self) -> None:
        pause_s = self._first_s
        while not self._is_stopped_within(pause_s):
            began_s = time.monotonic()
            self._count()
            pause_s = max(self._pause_s, PAUSE_SHARE * (time.monotonic() - began_s))

    def _is_stopped_within(self, seconds: float) -> bool:
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0 and not self._stopping.wait(min(STEP_S, left_s)):
            self._thread.record_progress()
        return self._stopping.is_set()

    def _count(self) -> None:
        try:
            accounts = read_accounts(self._pool, self._letters.accounted(), self._record_page)
        except _Stopped:
            return
        except UnavailableError as error:
            if self._stopping.is_set():
                return  # the station has closed what it counts
            self._failures.record_failure(str(error))
            return
        self._failures.record_success()
        for part in PARTS:
            metrics.LEDGER_NUMBERS.labels(part=part).set(sum(getattr(account, part) for account in accounts))
        metrics.LEDGER_UNBALANCED.set(sum(not account.is_balanced for account in accounts))
        metrics.LEDGER_COUNTED_S.set(time.time())

    def _record_page(self, rows: int) -> None:
        self._thread.record_progress()
        if self._stopping.is_set():
            raise _Stopped


class _Stopped(Exception):  # noqa: N818 - no error
    """The station stops in the middle of a count."""
