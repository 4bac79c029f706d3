"""Reads the ledger for the page: one count at a time, kept for a while, however many pages are open."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aoii.broker.messages import Identity
from aoii.core.errors import UnavailableError
from aoii.server.db import Database
from aoii.server.dead_letters.letters import read_identities
from aoii.server.ledger import Account
from aoii.server.ledger_facts import read_accounts
from aoii.web.source import Source

MAX_AGE_S = 60.0
AGE_SHARE = 100  # a count is kept at least so many times the time that it took: ten million rows take 15 to 30 s


@dataclass(frozen=True)
class CountedLedger:
    """The ledger as it was counted.

    Attributes:
        counted_s: When, in monotonic seconds.
        took_s: How long it took.
        has_letters: Whether the dead letters could be read; otherwise they count as waiting.
    """

    accounts: Sequence[Account]
    counted_s: float
    took_s: float
    has_letters: bool

    @property
    def age_s(self) -> float:
        """Its age in seconds."""
        return time.monotonic() - self.counted_s


class LedgerReader:
    """The ledger, counted when somebody asks and the last count is old; safe to share between threads.

    Args:
        source: The database.
        letters_path: The file of the server's dead letters, which may be on another machine.
    """

    def __init__(self, source: Source, letters_path: Path) -> None:
        self._source = source
        self._letters_path = letters_path
        self._counting = threading.Lock()
        self._last: CountedLedger | None = None

    def read(self) -> CountedLedger:
        """The ledger; while a new count is under way, the last one.

        Raises:
            UnavailableError: The database is away, or there is no count yet and one is under way.
        """
        last = self._last
        if last is not None and (self._counting.locked() or self._is_fresh(last)):
            return last
        if self._counting.locked():
            raise UnavailableError("the ledger is being counted for the first time", "try again in a minute")
        found = self._source.query(self._count)
        if isinstance(found, UnavailableError):
            raise found
        return found

    def _count(self, database: Database) -> CountedLedger | UnavailableError:
        """A new count, kept for others; it goes on when nobody waits for it any more.

        An error is returned: tables of an older version lack the ledger's, and the database is not away for that.
        """
        with self._counting:
            if self._last is not None and self._is_fresh(self._last):
                return self._last  # counted by another thread since it was asked for
            began_s = time.monotonic()
            letters = self._letters()
            try:
                accounts = read_accounts(database.pool, letters or ())
            except UnavailableError as error:
                return error
            now_s = time.monotonic()
            self._last = CountedLedger(accounts, now_s, now_s - began_s, letters is not None)
            return self._last

    def _letters(self) -> list[Identity] | None:
        """The identities of the dead letters; None if they cannot be read here."""
        try:
            return read_identities(self._letters_path)
        except UnavailableError:
            return None

    @staticmethod
    def _is_fresh(counted: CountedLedger) -> bool:
        return counted.age_s < max(MAX_AGE_S, AGE_SHARE * counted.took_s)
