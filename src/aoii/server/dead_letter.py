"""Dead letters: what the server took over and could not store, kept where a person can see it.

A local SQLite file, never the database that failed. A letter is unique by identity and digest, so parking twice changes
only its counts. Readings are never dropped: at the cap `DeadLettersFull` is raised, and the server stops acknowledging.
Payloads that are no messages go to a ring of bounded size, the oldest dropped and counted; but one whose identity can
be read is kept like a reading, because its gateway is told that we have it, and forgets it.

Letters parked because the database was away are replayed by the server itself; the others only by hand.
"""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from aoii.broker.messages import Identity, Reading, encode_reading, payload_digest
from aoii.core.errors import WorldError

Reason = Literal["database_away", "bad_row", "mismatch", "malformed"]
REASONS: tuple[Reason, ...] = get_args(Reason)

PAGE_BYTES = 4096
RING_LIMIT = 1000  # malformed payloads: enough to see what a peer does wrong
RING_SHARE = 4  # the ring takes at most one part in four of the cap (a payload is cut to one page)
LOCK_TIMEOUT_S = 5.0  # the command line may be looking at the file
NEAR_CAP = 0.95

SCHEMA = """
CREATE TABLE IF NOT EXISTS letters (
    id INTEGER PRIMARY KEY,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    node TEXT,
    epoch INTEGER,
    counter INTEGER,
    digest TEXT,
    payload BLOB NOT NULL,
    first_unix_ms INTEGER NOT NULL,
    last_unix_ms INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    UNIQUE (node, epoch, counter, digest)
) STRICT;
CREATE INDEX IF NOT EXISTS letters_reason ON letters (reason, id);
"""
PARK = """
INSERT INTO letters (reason, detail, node, epoch, counter, digest, payload, first_unix_ms, last_unix_ms, attempts)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1)
ON CONFLICT (node, epoch, counter, digest) DO UPDATE SET
    reason = excluded.reason, detail = excluded.detail, last_unix_ms = excluded.last_unix_ms, attempts = attempts + 1
"""

IN_RING = "reason = 'malformed' AND node IS NULL"


class DeadLettersFull(WorldError):  # noqa: N818 - a state, named like one
    """The dead letters are at their cap, or their disk is full; nothing of the call was kept."""


@dataclass(frozen=True)
class DeadLetter:
    """One letter; times are Unix milliseconds of this machine's clock, `node` to `digest` None without identity."""

    id: int
    reason: Reason
    detail: str
    node: str | None
    epoch: int | None
    counter: int | None
    digest: str | None
    payload: bytes
    first_unix_ms: int
    last_unix_ms: int
    attempts: int


class DeadLetters:
    """The file of dead letters; safe to share between threads.

    Args:
        path: The file; made when it does not exist.
        max_mb: Cap of its size, in MiB.

    Raises:
        WorldError: The file cannot be opened, or is no such file.
    """

    def __init__(self, path: Path, max_mb: int) -> None:
        self._path = path
        self._max_mb = max_mb
        self._max_pages = max_mb * 2**20 // PAGE_BYTES
        self._ring_limit = min(RING_LIMIT, self._max_pages // RING_SHARE)
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                path, timeout=LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            for pragma in (
                f"page_size = {PAGE_BYTES}",
                "journal_mode = WAL",
                "synchronous = FULL",  # parked means done: it has to survive a power cut
                f"max_page_count = {self._max_pages}",
            ):
                self._connection.execute(f"PRAGMA {pragma}")
            self._connection.executescript(SCHEMA)
        except (sqlite3.Error, OSError) as error:
            raise WorldError(
                f"dead letters {path}: {error}; if the file is damaged, move it away (it holds readings), start again"
            ) from error

    @property
    def folder(self) -> Path:
        """Where the file lies."""
        return self._path.parent

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def park(self, readings: Sequence[Reading], reason: Reason, detail: str) -> None:
        """Keep readings for `reason`, durably; one that is here already gets the new reason and one attempt more.

        Raises:
            DeadLettersFull: There is no room; none of them was kept.
            WorldError: The file cannot be written.
        """
        now = _unix_ms()
        letters = []
        for reading in readings:
            who = reading.identity
            key = (who.node, who.epoch, who.counter, reading.digest()) if who else (None, None, None, None)
            letters.append((reason, detail, *key, encode_reading(reading, 1), now, now))
        with self._transaction() as connection:
            connection.executemany(PARK, letters)

    def park_unreadable(self, payloads: Sequence[tuple[Identity, bytes, str]]) -> None:
        """Keep malformed payloads whose identity can be read, each with what is wrong with it, durably.

        Raises:
            DeadLettersFull: There is no room; none of them was kept.
            WorldError: The file cannot be written.
        """
        now = _unix_ms()
        with self._transaction() as connection:
            connection.executemany(
                PARK,
                [
                    ("malformed", detail, who.node, who.epoch, who.counter, payload_digest(payload), payload, now, now)
                    for who, payload, detail in payloads
                ],
            )

    def park_malformed(self, payloads: Sequence[tuple[bytes, str]]) -> int:
        """Keep payloads that nobody is known to have sent, each with its fault; how many payloads had to be dropped.

        Raises:
            WorldError: The file cannot be written.
        """
        now = _unix_ms()
        nobody = (None, None, None, None)
        letters = [("malformed", detail, *nobody, payload[:PAGE_BYTES], now, now) for payload, detail in payloads]
        try:
            with self._transaction() as connection:
                connection.executemany(PARK, letters[-self._ring_limit :])
                held: int = connection.execute(f"SELECT count(*) FROM letters WHERE {IN_RING}").fetchone()[0]  # noqa: S608 - a constant
                over = max(0, held - self._ring_limit)
                _drop_malformed(connection, over)
        except DeadLettersFull:  # of readings: they have the room
            return len(letters)
        return over + len(letters[: -self._ring_limit])

    def waiting(self, limit: int) -> list[DeadLetter]:
        """The oldest letters that were parked because the database was away, to be replayed."""
        return self._read("WHERE reason = 'database_away' ORDER BY id LIMIT ?", limit)

    def letters(self, limit: int, after_id: int = 0, reason: Reason | None = None) -> list[DeadLetter]:
        """At most `limit` letters with an id above `after_id`, ascending, of one reason or of all."""
        if reason is None:
            return self._read("WHERE id > ? ORDER BY id LIMIT ?", after_id, limit)
        return self._read("WHERE reason = ? AND id > ? ORDER BY id LIMIT ?", reason, after_id, limit)

    def change_reason(self, ids: Iterable[int], reason: Reason, detail: str) -> None:
        """Give letters another reason, after a replay that failed; counts as an attempt.

        Raises:
            WorldError: The file cannot be written.
        """
        now = _unix_ms()
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE letters SET reason = ?, detail = ?, last_unix_ms = ?, attempts = attempts + 1 WHERE id = ?",
                [(reason, detail, now, id_) for id_ in ids],
            )

    def remove(self, ids: Iterable[int]) -> None:
        """Forget letters: they are in the database, or a person said so.

        Raises:
            WorldError: The file cannot be written.
        """
        with self._transaction() as connection:
            connection.executemany("DELETE FROM letters WHERE id = ?", [(id_,) for id_ in ids])

    def counts(self) -> dict[Reason, int]:
        """Number of letters by reason; every reason is there."""
        with self._translated():
            rows = self._connection.execute("SELECT reason, count(*) FROM letters GROUP BY reason").fetchall()
        return dict.fromkeys(REASONS, 0) | dict(rows)

    def identities(self) -> Iterator[tuple[str, int, int]]:
        """(node, epoch, counter) of every letter that has one."""
        last_id = 0
        while page := self.letters(1000, last_id):
            for letter in page:
                if letter.node is not None and letter.epoch is not None and letter.counter is not None:
                    yield letter.node, letter.epoch, letter.counter
            last_id = page[-1].id

    def has_room(self) -> bool:
        """Whether the file is clearly below its cap."""
        with self._translated():
            (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
            (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        return bool(pages - free < NEAR_CAP * self._max_pages)

    def _read(self, condition: str, *values: object) -> list[DeadLetter]:
        columns = "id, reason, detail, node, epoch, counter, digest, payload, first_unix_ms, last_unix_ms, attempts"
        with self._translated():
            rows = self._connection.execute(f"SELECT {columns} FROM letters {condition}", values)  # noqa: S608 - constants
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
                if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                    raise DeadLettersFull(
                        f"dead letters {self._path} are full; make room on the disk or raise DEAD_LETTER_MAX_MB "
                        f"(now {self._max_mb}) until the database is back"
                    ) from error
                raise WorldError(f"dead letters {self._path}: {error}; check the disk and the rights") from error


def _drop_malformed(connection: sqlite3.Connection, count: int) -> None:
    oldest = f"SELECT id FROM letters WHERE {IN_RING} ORDER BY id LIMIT ?"  # noqa: S608 - a constant
    connection.execute(f"DELETE FROM letters WHERE id IN ({oldest})", (count,))  # noqa: S608 - constants


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000
