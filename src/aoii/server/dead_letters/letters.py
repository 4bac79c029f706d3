"""Dead letters as values, and the letters of an open file.

`open_letters` is for the command line, in a process of its own, while the server runs: every call is one short
transaction, and the number of a removed letter is never given to another one.
"""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from aoii.broker.messages import DeliveryStatus, Identity
from aoii.core.errors import UnavailableError
from aoii.runtime import sqlite_recovery
from aoii.server.dead_letters.file import COLUMNS, REASONS, VERSION, check_version, letter_checksum

PAGE_LETTERS = 10_000  # letters that `identities` reads at once


class DeadLettersFull(UnavailableError):  # noqa: N818 - a state, named like one
    """The dead letters are at their cap, or their disk is full; nothing of the call was stored."""


@dataclass(frozen=True)
class DeadLetter:
    """One dead letter; without identity, `node` to `digest` are None.

    Attributes:
        id: Number of the letter; never used again.
        detail: Why it is here, for people.
        payload: The message, or its beginning if it is malformed.
        first_unix_ms: When it was added, by this machine's clock.
        last_unix_ms: When it was added or replayed last.
        attempts: How often it was added or replayed.
    """

    id: int
    reason: DeliveryStatus
    detail: str
    node: str | None
    epoch: int | None
    counter: int | None
    digest: str | None
    payload: bytes
    first_unix_ms: int
    last_unix_ms: int
    attempts: int
    checksum: int

    @property
    def is_sound(self) -> bool:
        """Whether it passes its checksum."""
        content = self.node, self.epoch, self.counter, self.digest, self.payload, self.first_unix_ms
        return self.checksum == letter_checksum(*content)


class Letters:
    """The letters of an open file, to read, change and remove; safe to share between threads.

    Every method but `close` raises `UnavailableError` when the file cannot be used; then nothing has changed.

    Args:
        path: The file, for messages.
        connection: An open connection to the file; closed by `close`.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._lock = threading.Lock()

    @property
    def folder(self) -> Path:
        """The folder of the file."""
        return self._path.parent

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def letters(self, limit: int, after_id: int = 0, reason: DeliveryStatus | None = None) -> list[DeadLetter]:
        """At most `limit` letters with an id above `after_id`, ascending, of one reason or of all."""
        if reason is None:
            return self._read("WHERE id > ? ORDER BY id LIMIT ?", after_id, limit)
        return self._read("WHERE reason = ? AND id > ? ORDER BY id LIMIT ?", reason, after_id, limit)

    def letter(self, id_: int) -> DeadLetter | None:
        """The letter with this number; None if there is none."""
        return next(iter(self._read("WHERE id = ?", id_)), None)

    def change_reasons(self, changes: Iterable[tuple[int, DeliveryStatus, str]]) -> None:
        """Set reason and detail of letters, by number, after a replay that failed; it counts as an attempt."""
        now = unix_ms()
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE letters SET reason = ?, detail = ?, last_unix_ms = ?, attempts = attempts + 1 WHERE id = ?",
                [(reason, detail, now, id_) for id_, reason, detail in changes],
            )

    def remove(self, ids: Iterable[int]) -> None:
        """Remove letters, by number, because the database has them."""
        with self._transaction() as connection:
            connection.executemany("DELETE FROM letters WHERE id = ?", [(id_,) for id_ in ids])

    def drop(self, letters: Iterable[DeadLetter]) -> list[DeadLetter]:
        """Remove letters because a person decided so; one that has changed since that person saw it is kept.

        Returns:
            The letters that were removed.
        """
        with self._transaction() as connection:
            sql = "DELETE FROM letters WHERE id = ? AND reason = ? AND attempts = ?"
            return [one for one in letters if connection.execute(sql, (one.id, one.reason, one.attempts)).rowcount]

    def counts(self) -> dict[DeliveryStatus, int]:
        """Number of letters by reason, including those with 0."""
        with self._translated():
            rows = self._connection.execute("SELECT reason, count(*) FROM letters GROUP BY reason").fetchall()
        return dict.fromkeys(REASONS, 0) | dict(rows)

    def identities(self) -> Iterator[Identity]:
        """The identity of every letter that has one."""
        return (who for who, _ in self._identified())

    def accounted(self) -> Iterator[Identity]:
        """The identities of the letters that account for their numbers, for audit and ledger.

        A `mismatch` does not: its number belonged to a row with another content. If that row is lost, it is missing.
        """
        return (who for who, reason in self._identified() if reason != "mismatch")

    def _identified(self) -> Iterator[tuple[Identity, DeliveryStatus]]:
        """Identity and reason of every letter that has an identity."""
        last_id = 0
        while page := self._numbers(last_id):
            for _, node, epoch, counter, reason in page:
                yield Identity(node, epoch, counter), reason
            last_id = page[-1][0]

    def _numbers(self, after_id: int) -> list[tuple[int, str, int, int, DeliveryStatus]]:
        """Id, identity and reason of a page of letters with an identity; without payloads, which may be long."""
        sql = (
            "SELECT id, node, epoch, counter, reason FROM letters WHERE id > ? AND node IS NOT NULL "
            "AND epoch IS NOT NULL AND counter IS NOT NULL ORDER BY id LIMIT ?"
        )
        with self._translated():
            return self._connection.execute(sql, (after_id, PAGE_LETTERS)).fetchall()

    def _read(self, condition: str, *values: object) -> list[DeadLetter]:
        with self._translated():
            rows = self._connection.execute(f"SELECT {COLUMNS} FROM letters {condition}", values)  # noqa: S608 - constants
            return [DeadLetter(*row) for row in rows]

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._translated(), self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                self._record_error(error)
                if sqlite_recovery.is_full(error):
                    raise DeadLettersFull(
                        f"dead letters {self._path} are full; make room on the disk or raise DEAD_LETTER_MAX_MB "
                        f"until the database is back"
                    ) from error
                if sqlite_recovery.is_damage(error):
                    raise UnavailableError(
                        f"dead letters {self._path}: {error}; the server salvages what it can at its next access"
                    ) from error
                raise UnavailableError(f"dead letters {self._path}: {error}; check the disk and the rights") from error

    def _record_error(self, error: sqlite3.Error) -> None:
        """For a subclass: called with every error, before it is translated."""


def open_letters(path: Path, writes: bool = False) -> Letters:
    """The letters of a file that a server owns and may be using.

    Args:
        path: The file; it is not made.
        writes: Whether letters will be changed or removed.

    Raises:
        UnavailableError: The file is missing, cannot be read or written, is damaged, or has another version.
    """
    try:
        connection = sqlite_recovery.connect_as_guest(path, writes)
        version = check_version(path, connection)
    except sqlite3.Error as error:
        remedy = (
            "it is damaged; the server salvages what it can when it starts next"
            if sqlite_recovery.is_damage(error)
            else "run this as the user of the server, who may read and write it"
        )
        raise UnavailableError(f"dead letters {path}: {error}; {remedy}") from error
    if version < VERSION:
        connection.close()
        raise UnavailableError(
            f"dead letters {path}: made by an older aoii; start the server once, which brings it up to date"
        )
    return Letters(path, connection)


def read_identities(path: Path) -> list[Identity]:
    """What `accounted` gives, of a file that a server owns and may be using; errors as for `open_letters`."""
    with contextlib.closing(open_letters(path)) as letters:
        return list(letters.accounted())


def unix_ms() -> int:
    """Unix time by this machine's clock, ms."""
    return time.time_ns() // 1_000_000
