"""Dead letters: what the server took over and could not store, kept where a person can see it.

A local SQLite file, never the database that failed. A letter is unique by identity and digest, so adding it twice
changes only its counts. Readings are never dropped: at the cap `DeadLettersFull` is raised, and the server stops
acknowledging.
Payloads that are no messages go to a ring of bounded size, the oldest dropped and counted; but one whose identity can
be read is kept like a reading, because its gateway is told that we have it, and forgets it.

Letters of a database that was away are replayed by the server itself; the others only by hand. The command
line does that in a process of its own (`visit`) while the server runs: every act is one short transaction, and no
number is ever given to a second letter.
"""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aoii.broker.messages import DeliveryStatus, Identity, Reading, encode_reading, payload_digest
from aoii.core.errors import UnavailableError
from aoii.runtime import sqlite_recovery
from aoii.runtime.sqlite_recovery import Recovery
from aoii.server.dead_letters.file import (
    COLUMNS,
    PAGE_BYTES,
    REASONS,
    VERSION,
    check_version,
    letter_checksum,
    open_file,
)

__all__ = ["PAGE_BYTES", "REASONS", "DeadLetter", "DeadLetters", "DeadLettersFull", "Letters", "visit"]

RING_LIMIT = 1000  # malformed payloads: enough to see what a peer does wrong
RING_SHARE = 4  # the ring takes at most one part in four of the cap (a payload is cut to one page)
NEAR_CAP = 0.95

ADD = """
INSERT INTO letters
    (reason, detail, node, epoch, counter, digest, payload, first_unix_ms, last_unix_ms, attempts, checksum)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?)
ON CONFLICT (node, epoch, counter, digest) DO UPDATE SET
    reason = excluded.reason, detail = excluded.detail, last_unix_ms = excluded.last_unix_ms, attempts = attempts + 1
"""

IN_RING = "reason = 'malformed' AND node IS NULL"


class DeadLettersFull(UnavailableError):  # noqa: N818 - a state, named like one
    """The dead letters are at their cap, or their disk is full; nothing of the call was kept."""


@dataclass(frozen=True)
class DeadLetter:
    """One letter; times are Unix milliseconds of this machine's clock, `node` to `digest` None without identity."""

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
        """Whether it is what was added."""
        content = self.node, self.epoch, self.counter, self.digest, self.payload, self.first_unix_ms
        return self.checksum == letter_checksum(*content)


class Letters:
    """The letters of an open file: look at them, change them, remove them; safe to share between threads.

    Args:
        path: The file, for messages.
        connection: To it.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._lock = threading.Lock()

    @property
    def folder(self) -> Path:
        """Where the file lies."""
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
        """The letter of this number; None when there is none."""
        return next(iter(self._read("WHERE id = ?", id_)), None)

    def change_reasons(self, changes: Iterable[tuple[int, DeliveryStatus, str]]) -> None:
        """Give letters, by number, another reason and detail, after a replay that failed; counts as an attempt.

        Raises:
            UnavailableError: The file cannot be written.
        """
        now = _unix_ms()
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE letters SET reason = ?, detail = ?, last_unix_ms = ?, attempts = attempts + 1 WHERE id = ?",
                [(reason, detail, now, id_) for id_, reason, detail in changes],
            )

    def remove(self, ids: Iterable[int]) -> None:
        """Forget letters, by number: they are in the database.

        Raises:
            UnavailableError: The file cannot be written.
        """
        with self._transaction() as connection:
            connection.executemany("DELETE FROM letters WHERE id = ?", [(id_,) for id_ in ids])

    def drop(self, letters: Iterable[DeadLetter]) -> list[DeadLetter]:
        """Forget letters because a person who has seen them says so; those that have changed since are kept.

        Returns:
            What was forgotten.

        Raises:
            UnavailableError: The file cannot be written; nothing was forgotten.
        """
        with self._transaction() as connection:
            forget = "DELETE FROM letters WHERE id = ? AND reason = ? AND attempts = ?"
            return [one for one in letters if connection.execute(forget, (one.id, one.reason, one.attempts)).rowcount]

    def counts(self) -> dict[DeliveryStatus, int]:
        """Number of letters by reason; every reason is there."""
        with self._translated():
            rows = self._connection.execute("SELECT reason, count(*) FROM letters GROUP BY reason").fetchall()
        return dict.fromkeys(REASONS, 0) | dict(rows)

    def identities(self) -> Iterator[Identity]:
        """The identity of every letter that has one."""
        last_id = 0
        while page := self.letters(1000, last_id):
            for letter in page:
                if letter.node is not None and letter.epoch is not None and letter.counter is not None:
                    yield Identity(letter.node, letter.epoch, letter.counter)
            last_id = page[-1].id

    def _read(self, condition: str, *values: object) -> list[DeadLetter]:
        with self._translated():
            rows = self._connection.execute(f"SELECT {COLUMNS} FROM letters {condition}", values)  # noqa: S608 - constants
            return [DeadLetter(*row) for row in rows]

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk has rolled it back already
                    self._connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                self._failed(error)
                if sqlite_recovery.is_full(error):
                    raise DeadLettersFull(
                        f"dead letters {self._path} are full; make room on the disk or raise DEAD_LETTER_MAX_MB "
                        f"until the database is back"
                    ) from error
                if sqlite_recovery.is_damage(error):
                    raise UnavailableError(
                        f"dead letters {self._path}: {error}; the server saves what it can when it opens the file next"
                    ) from error
                raise UnavailableError(f"dead letters {self._path}: {error}; check the disk and the rights") from error

    def _failed(self, error: sqlite3.Error) -> None:
        """Called with every error, before it is translated."""


def visit(path: Path, writes: bool = False) -> Letters:
    """The letters of a file that a server owns, and may be using.

    Args:
        path: The file; it is not made.
        writes: Whether letters are to be changed or removed.

    Raises:
        UnavailableError: It is not there, cannot be read or written, is damaged, or another version of aoii made it.
    """
    try:
        connection = sqlite_recovery.connect_as_guest(path, writes)
        version = check_version(path, connection)
    except sqlite3.Error as error:
        remedy = (
            "it is damaged; the server saves what it can when it starts next"
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


class DeadLetters(Letters):
    """The file of dead letters; safe to share between threads.

    Args:
        path: The file; made when it does not exist.
        max_mb: Cap of its size, in MiB.

    Raises:
        UnavailableError: The file cannot be opened. A damaged one is replaced: see `recoveries`.
    """

    def __init__(self, path: Path, max_mb: int) -> None:
        self._max_pages = max_mb * 2**20 // PAGE_BYTES
        self._ring_limit = min(RING_LIMIT, self._max_pages // RING_SHARE)
        self._is_damaged = False
        self.recoveries: list[Recovery] = []
        super().__init__(path, self._open(path))

    def _open(self, path: Path) -> sqlite3.Connection:
        connection, recovery = open_file(path, self._max_pages, self._is_damaged)
        if recovery is not None:
            self.recoveries.append(recovery)
        return connection

    def add(self, readings: Sequence[Reading], reason: DeliveryStatus, detail: str) -> None:
        """Keep readings for `reason`, durably; one that is here already gets the new reason and one attempt more.

        Raises:
            DeadLettersFull: There is no room; none of them was kept.
            UnavailableError: The file cannot be written.
        """
        now = _unix_ms()
        letters = []
        for reading in readings:
            who = reading.identity
            key = (who.node, who.epoch, who.counter, reading.digest()) if who else (None, None, None, None)
            letters.append(_letter(reason, detail, key, encode_reading(reading, 1), now))
        with self._transaction() as connection:
            connection.executemany(ADD, letters)

    def add_unreadable(self, payloads: Sequence[tuple[Identity, bytes, str]]) -> None:
        """Keep malformed payloads whose identity can be read, each with what is wrong with it, durably.

        Raises:
            DeadLettersFull: There is no room; none of them was kept.
            UnavailableError: The file cannot be written.
        """
        now = _unix_ms()
        with self._transaction() as connection:
            connection.executemany(
                ADD,
                [
                    _letter(
                        "malformed", detail, (who.node, who.epoch, who.counter, payload_digest(payload)), payload, now
                    )
                    for who, payload, detail in payloads
                ],
            )

    def add_malformed(self, payloads: Sequence[tuple[bytes, str]]) -> int:
        """Keep payloads that nobody is known to have sent, each with its fault; how many payloads had to be dropped.

        Raises:
            UnavailableError: The file cannot be written.
        """
        now = _unix_ms()
        nobody = (None, None, None, None)
        letters = [_letter("malformed", detail, nobody, payload[:PAGE_BYTES], now) for payload, detail in payloads]
        try:
            with self._transaction() as connection:
                connection.executemany(ADD, letters[-self._ring_limit :])
                held: int = connection.execute(f"SELECT count(*) FROM letters WHERE {IN_RING}").fetchone()[0]  # noqa: S608 - a constant
                over = max(0, held - self._ring_limit)
                _drop_malformed(connection, over)
        except DeadLettersFull:  # of readings: they have the room
            return len(letters)
        return over + len(letters[: -self._ring_limit])

    def waiting(self, limit: int) -> list[DeadLetter]:
        """The oldest letters of a database that was away, to be replayed."""
        return self._read("WHERE reason = 'database_away' ORDER BY id LIMIT ?", limit)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        with super()._translated():
            if self._is_damaged:  # so the last act found; what can be read moves into a new file
                self._connection = self._open(self._path)
                self._is_damaged = False
            yield

    def _failed(self, error: sqlite3.Error) -> None:
        if sqlite_recovery.is_damage(error) and not self._is_damaged:
            self._is_damaged = True
            self._connection.close()

    def has_room(self) -> bool:
        """Whether the file is clearly below its cap."""
        with self._translated():
            (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
            (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        return bool(pages - free < NEAR_CAP * self._max_pages)


def _letter(
    reason: DeliveryStatus,
    detail: str,
    key: tuple[str | None, int | None, int | None, str | None],
    payload: bytes,
    now_ms: int,
) -> tuple[object, ...]:
    """The values of ADD."""
    return reason, detail, *key, payload, now_ms, now_ms, letter_checksum(*key, payload, now_ms)


def _drop_malformed(connection: sqlite3.Connection, count: int) -> None:
    oldest = f"SELECT id FROM letters WHERE {IN_RING} ORDER BY id LIMIT ?"  # noqa: S608 - a constant
    connection.execute(f"DELETE FROM letters WHERE id IN ({oldest})", (count,))  # noqa: S608 - constants


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000
