"""The server's dead letters: adds what the database did not take, and chooses what the server replays.

They are in a local SQLite file, never in the database that failed. A letter with an identity is unique by
identity and digest: adding it again makes no second letter, but changes reason, detail and attempts of the first.

Readings are never dropped: at the cap `DeadLettersFull` is raised, and the server stops acknowledging. A malformed
payload whose identity is known is kept like a reading, because its gateway gets an acknowledgement and forgets it. Any
other goes to a ring of bounded size, whose oldest payloads are dropped and counted.

The server itself replays letters with the reason `database_away`; all others are replayed by hand.
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from aoii.broker.messages import DeliveryStatus, Identity, Reading, encode_reading, payload_digest
from aoii.runtime import sqlite_recovery
from aoii.runtime.sqlite_recovery import Recovery
from aoii.server.dead_letters.file import PAGE_BYTES, letter_checksum, open_file
from aoii.server.dead_letters.letters import DeadLetter, DeadLettersFull, Letters, unix_ms

__all__ = ["DeadLetters", "DeadLettersFull"]

Key = tuple[str | None, int | None, int | None, str | None]
"""Node, epoch, counter and digest."""

ANONYMOUS: Key = (None, None, None, None)
RING_LIMIT = 1000  # malformed payloads: enough to see what a peer does wrong
RING_SHARE = 4  # at most one page in four is for the ring; a payload is cut to one page
NEAR_CAP = 0.95  # of the cap: from here on the server is not ready, before it has to stop acknowledging

ADD = """
INSERT INTO letters
    (reason, detail, node, epoch, counter, digest, payload, first_unix_ms, last_unix_ms, attempts, checksum)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?)
ON CONFLICT (node, epoch, counter, digest) DO UPDATE SET
    reason = excluded.reason, detail = excluded.detail, last_unix_ms = excluded.last_unix_ms, attempts = attempts + 1
"""

IN_RING = "reason = 'malformed' AND node IS NULL"
COUNT_RING = f"SELECT count(*) FROM letters WHERE {IN_RING}"  # noqa: S608 - a constant
DROP_OLDEST = f"DELETE FROM letters WHERE id IN (SELECT id FROM letters WHERE {IN_RING} ORDER BY id LIMIT ?)"  # noqa: S608 - a constant


class DeadLetters(Letters):
    """The server's dead letters; safe to share between threads.

    Args:
        path: The file; made if it is missing, replaced if it is damaged.
        max_mb: Cap of its size, MiB.

    Attributes:
        recoveries: What became of damaged files, oldest first.

    Raises:
        UnavailableError: The file cannot be opened.
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
        """Add readings durably; one that is here already gets the new reason and one more attempt.

        Raises:
            DeadLettersFull: There is no room; none of them was stored.
            UnavailableError: The file cannot be written.
        """
        now = unix_ms()
        letters = []
        for reading in readings:
            who = reading.identity
            key = (who.node, who.epoch, who.counter, reading.digest()) if who else ANONYMOUS
            letters.append(_letter(reason, detail, key, encode_reading(reading, 1), now))
        with self._transaction() as connection:
            connection.executemany(ADD, letters)

    def add_malformed_readings(self, payloads: Sequence[tuple[Identity, bytes, str]]) -> None:
        """Add malformed payloads durably, each with its identity and what is wrong with it.

        Raises:
            DeadLettersFull: There is no room; none of them was stored.
            UnavailableError: The file cannot be written.
        """
        now = unix_ms()
        letters = [
            _letter("malformed", detail, (who.node, who.epoch, who.counter, payload_digest(payload)), payload, now)
            for who, payload, detail in payloads
        ]
        with self._transaction() as connection:
            connection.executemany(ADD, letters)

    def add_to_ring(self, payloads: Sequence[tuple[bytes, str]]) -> int:
        """Add malformed payloads without identity to the ring, each with what is wrong with it.

        Returns:
            How many payloads were dropped: the oldest, to make room; or all of these, if the file is full.

        Raises:
            UnavailableError: The file cannot be written.
        """
        now = unix_ms()
        letters = [_letter("malformed", detail, ANONYMOUS, payload[:PAGE_BYTES], now) for payload, detail in payloads]
        try:
            with self._transaction() as connection:
                connection.executemany(ADD, letters[-self._ring_limit :])
                held: int = connection.execute(COUNT_RING).fetchone()[0]
                over = max(0, held - self._ring_limit)
                connection.execute(DROP_OLDEST, (over,))
        except DeadLettersFull:  # the ring never takes the room of readings
            return len(letters)
        return over + len(letters[: -self._ring_limit])

    def waiting(self, limit: int) -> list[DeadLetter]:
        """The oldest letters that the server replays itself, at most `limit`: those with the reason `database_away`."""
        return self._read("WHERE reason = 'database_away' ORDER BY id LIMIT ?", limit)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        with super()._translated():
            if self._is_damaged:  # an earlier call found that; what can be read moves into a new file
                self._connection = self._open(self._path)
                self._is_damaged = False
            yield

    def _record_error(self, error: sqlite3.Error) -> None:
        if sqlite_recovery.is_damage(error) and not self._is_damaged:
            self._is_damaged = True
            self._connection.close()

    def has_room(self) -> bool:
        """Whether the file is below `NEAR_CAP` of its cap; removed letters do not count."""
        used, cap = self.used_and_cap()
        return used < NEAR_CAP * cap

    def used_and_cap(self) -> tuple[int, int]:
        """The room that letters occupy, and the room that they may occupy, bytes."""
        with self._translated():
            (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
            (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        return (pages - free) * PAGE_BYTES, self._max_pages * PAGE_BYTES


def _letter(reason: DeliveryStatus, detail: str, key: Key, payload: bytes, now_ms: int) -> tuple[object, ...]:
    """The values of ADD."""
    return reason, detail, *key, payload, now_ms, now_ms, letter_checksum(*key, payload, now_ms)
