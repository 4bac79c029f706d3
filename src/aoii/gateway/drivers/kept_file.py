"""The file of kept readings: those that the database has acknowledged, as long as there is room for them.

A second copy for the case that the database loses some of them. It lies beside the outbox, and only the outbox file's
thread uses it. No failure of this file is one of the outbox: what cannot be kept is counted, and the reading leaves the
outbox nevertheless, because the database has it. Rows are committed here before they are removed there, so that a
process that is killed in between leaves a reading in both files, and never in none.

Readings make room by size only, the oldest first, and never by a clock. Their numbers stay, as ranges.
"""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from aoii.core.errors import UnavailableError
from aoii.gateway.drivers import kept_rows, outbox_rows
from aoii.gateway.drivers.kept_rows import KEPT_COLUMNS, Origin
from aoii.gateway.drivers.outbox_rows import EventRow
from aoii.runtime import failpoints, sqlite_recovery
from aoii.runtime.sqlite_recovery import Recovery

R = TypeVar("R")

PRUNE_STEP = 500  # readings deleted at a time: 5 ms
READ_STEP = 10_000  # numbers read at a time
RETRY_S = 60.0  # between two tries to open a file that could not be opened
FREE_PAGES = 4000  # deleted pages that the file may hold for its next rows; more go back to the disk


class KeptUnavailableError(UnavailableError):
    """The kept readings cannot be read now."""


class KeptFile:
    """The file of kept readings, open from the constructor to `close`; off if it may hold nothing.

    Args:
        path: The file; its folder is there.
        max_bytes: Room that its rows may occupy; 0: nothing is kept, and the file is not touched.

    Attributes:
        readings: Kept readings.
        oldest_ms: When the one that has been kept for longest was accepted, Unix milliseconds; None if there is none.
        has_forgotten: Whether older ones have made room; if not, all that were ever acknowledged are there.
        used_bytes: Room that rows occupy.
        limit_bytes: Room that they may occupy.
        failures: Readings without this second copy: they could not be kept, or were kept and are damaged.
        failure: What does not work; None since it has worked again.
        is_full: Whether the last failure was that there is no room on the disk.
        recoveries: What became of damaged files, oldest first.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self.limit_bytes = max_bytes
        self.readings, self.used_bytes, self.failures = 0, 0, 0
        self.oldest_ms: int | None = None
        self.has_forgotten = False
        self.failure: str | None = None
        self.recoveries: list[Recovery] = []
        self._connection: sqlite3.Connection | None = None
        self._retry_s = 0.0
        self.is_full = False
        self._moving: list[EventRow] = []  # to be kept with the present commit of the outbox
        self._written = 0  # so many of them are in this file's open transaction
        self._change = 0  # of `readings`, by this transaction
        self.measure()

    @property
    def is_on(self) -> bool:
        """Whether readings are kept."""
        return self.limit_bytes > 0

    def oldest_s(self) -> float:
        """Age of the reading that has been kept for longest, by the machine's clock, seconds; 0 if there is none."""
        return 0.0 if self.oldest_ms is None else max(0.0, time.time() - self.oldest_ms / 1000)

    def close(self) -> None:
        """Close the file; what is not committed is not kept."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # For requests. What the earlier requests of the same commit have moved counts as kept.

    def digest(self, node: str, epoch: int, counter: int) -> bytes | None:
        """The digest of a kept reading's content; None if it is not kept, or the file cannot be read."""
        query = "SELECT digest FROM kept WHERE node = ? AND epoch = ? AND counter = ?"
        try:
            row = self._read(lambda connection: connection.execute(query, (node, epoch, counter)).fetchone())
        except KeptUnavailableError:
            return None
        return row[0] if row is not None and isinstance(row[0], bytes) else None

    def counters(self, node: str, epoch: int, first: int, last: int) -> Iterator[int]:
        """The kept numbers of a range, rising.

        Raises:
            KeptUnavailableError: The file cannot be read.
        """
        query = (
            "SELECT counter FROM kept WHERE node = ? AND epoch = ? AND counter BETWEEN ? AND ? ORDER BY counter LIMIT ?"
        )
        while first <= last:
            key = (node, epoch, first, last, READ_STEP)
            rows = self._read(lambda connection, key=key: connection.execute(query, key).fetchall())  # type: ignore[misc]
            yield from (row[0] for row in rows)
            if len(rows) < READ_STEP:
                return
            first = rows[-1][0] + 1

    def forgotten(self, node: str, epoch: int, first: int, last: int, limit: int) -> list[tuple[int, int]]:
        """The forgotten ranges that have a number in a range, rising and disjoint; the lowest, at most `limit`.

        Raises:
            KeptUnavailableError: The file cannot be read.
        """
        query = (
            f"SELECT {kept_rows.FORGOTTEN_COLUMNS} FROM forgotten "  # noqa: S608 - constants
            "WHERE node = ? AND epoch = ? AND first <= ? AND last >= ? ORDER BY first LIMIT ?"
        )
        rows = self._read(lambda connection: connection.execute(query, (node, epoch, last, first, limit)).fetchall())
        return [(row.first, row.last) for row in map(kept_rows.decode_forgotten, rows) if row is not None]

    def numbers(self) -> Iterator[tuple[str, int, int, int]]:
        """Node, epoch, lowest and highest number, of kept readings and of forgotten ranges; a node may come often.

        Raises:
            KeptUnavailableError: The file cannot be read.
        """
        query = "SELECT node, epoch, min(counter), max(counter) FROM kept GROUP BY node, epoch"
        for name, epoch, low, high in self._read(lambda connection: connection.execute(query).fetchall()):
            yield name.decode(errors="replace"), epoch, low, high
        query = f"SELECT {kept_rows.FORGOTTEN_COLUMNS} FROM forgotten"  # noqa: S608 - constants
        rows = self._read(lambda connection: connection.execute(query).fetchall())
        yield from (row for row in map(kept_rows.decode_forgotten, rows) if row is not None)

    def rows(self, node: str, epoch: int, first: int, last: int, limit: int) -> list[tuple[int, EventRow | None]]:
        """Kept readings of a range, with their numbers, which rise; at most `limit`.

        One that fails its checksum is None; it is deleted, and its number counts as forgotten.

        Raises:
            KeptUnavailableError: The file cannot be read.
        """
        query = (
            f"SELECT {KEPT_COLUMNS} FROM kept WHERE node = ? AND epoch = ? AND counter BETWEEN ? AND ? "  # noqa: S608 - constants
            "ORDER BY counter LIMIT ?"
        )
        rows = self._read(lambda connection: connection.execute(query, (node, epoch, first, last, limit)).fetchall())
        found = [(row[3], outbox_rows.decode_event(row)) for row in rows]
        for row, (counter, event) in zip(rows, found, strict=True):
            if event is None:
                self._drop_damaged(row[0], (node.encode(), epoch, counter))
        return found

    def _drop_damaged(self, row_id: int, number: tuple[bytes, int, int]) -> None:
        def work(connection: sqlite3.Connection) -> None:
            self._begin(connection)
            connection.execute("DELETE FROM kept WHERE id = ?", (row_id,))
            kept_rows.note_forgotten(connection, [number])
            self._change -= 1

        self._attempt(work)
        self.failures += 1

    # For the owner of the outbox file.

    def origin(self) -> Origin | None:
        """The outbox file that the newest kept readings came from; None if unknown."""
        try:
            return self._read(kept_rows.origin)
        except KeptUnavailableError:
            return None

    def set_origin(self, origin: Origin) -> None:
        """Replace what `origin` returns, because the outbox file was put back."""
        with contextlib.suppress(KeptUnavailableError):  # then it is noticed again at the next start
            self._attempt(lambda connection: kept_rows.set_origin(connection, origin))

    def move(self, rows: Sequence[EventRow]) -> None:
        """Keep readings that a request has removed from the outbox, with the next `commit`."""
        if self.is_on:
            self._moving += rows

    def commit(self, file: str) -> bool:
        """Commit what was moved here, and let the oldest readings make room; return whether that succeeded.

        If not, it can be tried again, until `end`.

        Args:
            file: The name of the outbox file.
        """
        if not self._moving and not self._is_in_transaction():
            return True

        def work(connection: sqlite3.Connection) -> None:
            self._write_moving(connection)
            self._begin(connection)
            if self._moving:
                self._note_origin(connection, Origin(file, max(row.seq for row in self._moving)))
            self._make_room(connection, 2 * len(self._moving) + PRUNE_STEP)
            connection.execute("COMMIT")

        failpoints.reach("before_kept_commit")
        try:
            self._attempt(work)
        except KeptUnavailableError:
            return False
        failpoints.reach("after_kept_commit")
        self.failure = None
        self.readings += self._change
        self._moving, self._written, self._change = [], 0, 0
        return True

    def end(self, is_committed: bool) -> None:
        """The outbox's commit is over; what was moved here and not committed is not kept.

        Args:
            is_committed: Whether the outbox has removed these readings.
        """
        if is_committed:
            self.failures += len(self._moving)
        self._moving = []
        self._roll_back()

    def give_room(self) -> bool:
        """Let some of the oldest readings make room on the disk; return whether there were any.

        For a full disk: one call writes less than half a megabyte, and gives back about 200 kB.
        """

        def work(connection: sqlite3.Connection) -> int:
            self._begin(connection)
            deleted = kept_rows.forget_oldest(connection, PRUNE_STEP)
            connection.execute("COMMIT")
            connection.executescript("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)")
            return deleted

        if not self.is_on:
            return False
        self._roll_back()
        try:
            deleted = self._attempt(work)
        except KeptUnavailableError:
            return False
        self.readings -= deleted
        return deleted > 0

    def measure(self) -> None:
        """Measure the file, open it if that is due, and delete what lies above the limit, a step at a time."""
        if not self.is_on:
            return

        def work(connection: sqlite3.Connection) -> None:
            if kept_rows.used_bytes(connection) > self.limit_bytes:
                self._begin(connection)
                self._make_room(connection, PRUNE_STEP)
                connection.execute("COMMIT")
            if connection.execute("PRAGMA freelist_count").fetchone()[0] > FREE_PAGES:
                connection.executescript(f"PRAGMA incremental_vacuum({FREE_PAGES // 5})")
            row = connection.execute("SELECT accepted_ms FROM kept ORDER BY id LIMIT 1").fetchone()
            self.oldest_ms = row[0] if row and isinstance(row[0], int) else None
            self.has_forgotten = connection.execute("SELECT 1 FROM forgotten LIMIT 1").fetchone() is not None
            self.used_bytes = kept_rows.used_bytes(connection)

        try:
            self._attempt(work)
        except KeptUnavailableError:
            return
        self.readings += self._change
        self._change = 0

    def _make_room(self, connection: sqlite3.Connection, limit: int) -> None:
        """Delete the oldest readings until the file is below its limit, at most about so many."""
        deleted = 0
        while deleted < limit and kept_rows.used_bytes(connection) > self.limit_bytes:
            step = kept_rows.forget_oldest(connection, PRUNE_STEP)
            if step == 0:
                break
            deleted += step
        self._change -= deleted

    def _note_origin(self, connection: sqlite3.Connection, new: Origin) -> None:
        before = kept_rows.origin(connection)
        if before is None or before.file != new.file or before.seq < new.seq:
            kept_rows.set_origin(connection, new)

    # The connection, and its transaction, which is open from the first write to `commit`.

    def _read(self, work: Callable[[sqlite3.Connection], R]) -> R:
        def after_writing(connection: sqlite3.Connection) -> R:
            self._write_moving(connection)
            return work(connection)

        return self._attempt(after_writing)

    def _write_moving(self, connection: sqlite3.Connection) -> None:
        if self._written < len(self._moving):
            self._begin(connection)
            self._change += kept_rows.insert(connection, self._moving[self._written :])
            self._written = len(self._moving)

    def _begin(self, connection: sqlite3.Connection) -> None:
        if not connection.in_transaction:
            connection.execute("BEGIN IMMEDIATE")

    def _is_in_transaction(self) -> bool:
        return self._connection is not None and self._connection.in_transaction

    def _roll_back(self) -> None:
        self._written, self._change = 0, 0
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.rollback()  # nothing happens if SQLite has rolled back by itself

    def _attempt(self, work: Callable[[sqlite3.Connection], R]) -> R:
        """Work with the open file, a second time if it was damaged and is replaced.

        Raises:
            KeptUnavailableError: It failed; the transaction is rolled back, and `move` is not forgotten.
        """
        try:
            try:
                return work(self._opened())
            except sqlite3.Error as error:
                self._roll_back()
                if not sqlite_recovery.is_damage(error):
                    raise
                self._discard()
                return work(self._opened(is_damaged=True))
        except (sqlite3.Error, OSError) as error:
            self._roll_back()
            if self._connection is None:
                self._retry_s = time.monotonic() + RETRY_S
            self.failure = str(error)
            self.is_full = isinstance(error, sqlite3.Error) and sqlite_recovery.is_full(error)
            raise KeptUnavailableError(f"{self._path}: kept readings cannot be used ({error})") from error

    def _opened(self, is_damaged: bool = False) -> sqlite3.Connection:
        if not self.is_on or (self._connection is None and time.monotonic() < self._retry_s and not is_damaged):
            raise KeptUnavailableError(f"{self._path}: kept readings cannot be used", "see the gateway's log")
        if self._connection is None:
            self._connection, recovery = kept_rows.open_file(self._path, is_damaged)
            self.failure = None
            if recovery is not None:
                self.recoveries.append(recovery)
                self.failures += recovery.corrupt + recovery.lost
            self.readings = self._connection.execute("SELECT count(*) FROM kept").fetchone()[0]
        return self._connection

    def _discard(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None
