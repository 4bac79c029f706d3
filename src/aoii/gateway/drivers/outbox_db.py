"""The store: one thread, one SQLite file, many requests in one commit.

A request is a function that gets a `Transaction` and decides and writes in it. It runs in the store's thread in a
savepoint of its own, and its future ends only after the commit that holds it (`synchronous=FULL`: on the disk). One
that fails leaves nothing behind and does not touch its neighbours. Requests must be repeatable: when a commit fails,
each is run again alone. The file is the only truth about a node: its state is read in the transaction that changes it.
"""

import contextlib
import fcntl
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Generic, NamedTuple, TypeVar

from aoii.broker.messages import Committed, Identity, payload_digest
from aoii.core.errors import ProtocolError, UnavailableError
from aoii.gateway.drivers.disk_reserve import DiskReserve
from aoii.gateway.drivers.outbox_file import (
    EVENT_COLUMNS,
    STATE_COLUMNS,
    OutboxBrokenError,
    Recovery,
    drawn_epoch,
    event_checksum,
    open_file,
    set_meta,
    sound_event,
    sound_state,
    state_checksum,
)
from aoii.gateway.outbox import Fetch, Item
from aoii.runtime import failpoints, sqlite_recovery

__all__ = ["OutboxBrokenError", "OutboxFullError", "Recovery", "Settlement", "Stats", "Store", "Transaction"]

T = TypeVar("T")

GROUP_LIMIT = 256  # requests in one commit; one fsync costs as much as about twenty of them
QUEUE_LIMIT = 1000  # requests that wait; whoever submits more waits itself
SUBMIT_LIMIT_S = 2.0  # but no longer: one commit makes room, and one that takes 2 s is a disk that hangs
CLOSE_LIMIT_S = 5.0
IDLE_S = 1.0


class OutboxFullError(UnavailableError):
    """There is no room for this reading, under the cap or on the disk; nothing of it was kept."""


@dataclass(frozen=True)
class Stats:
    """How the file is.

    Attributes:
        events: Readings in it.
        oldest_ms: When the oldest of them was accepted, Unix milliseconds; None when there is none.
        used_bytes: What rows occupy.
        limit_bytes: What they may.
        is_writable: The latest write succeeded, and the disk has room.
    """

    events: int
    oldest_ms: int | None
    used_bytes: int
    limit_bytes: int
    is_writable: bool


class Settlement(NamedTuple):
    """What commit acknowledgements led to."""

    accepted_ms: list[int]  # when the readings now forgotten had been accepted, Unix milliseconds
    settled: list[Identity]  # off our hands
    kept: list[Identity]  # the server speaks of another payload


class Transaction:
    """What a request may do; valid only while it runs."""

    def __init__(self, connection: sqlite3.Connection, may_grow: bool) -> None:
        self._connection = connection
        self._may_grow = may_grow
        self.events_added = 0
        self.corrupt_found = 0
        self.states_lost = 0

    def state(self, node: str) -> bytes | None:
        """The node's state as it was kept last; None for a stranger, or when it was damaged: see `states`."""
        query = f"SELECT {STATE_COLUMNS} FROM nodes WHERE node = ?"  # noqa: S608 - our own constant
        row = self._connection.execute(query, (node,)).fetchone()
        sound = None if row is None else sound_state(row)
        if sound is None:  # or its name was damaged; a stranger comes once, so all may be looked at
            return dict(self.states()).get(node)
        return sound[1]

    def states(self) -> list[tuple[str, bytes]]:
        """Name and state of every node.

        One that fails its checksum is forgotten, and old-firmware nodes get a new epoch: whose it was cannot be
        believed, and a node that counts from 0 again in the same epoch would use its identities twice.
        """
        rows = self._connection.execute(f"SELECT {STATE_COLUMNS} FROM nodes ORDER BY rowid")  # noqa: S608 - our own constant
        found = []
        for row in rows.fetchall():
            sound = sound_state(row)
            if sound is not None:
                found.append(sound)
                continue
            self._connection.execute("DELETE FROM nodes WHERE rowid = ?", row[:1])
            set_meta(self._connection, "old_epoch", drawn_epoch())
            self.states_lost += 1
        return found

    def keep_state(self, node: str, state: bytes) -> None:
        """Replace the node's state."""
        self._connection.execute(
            "INSERT INTO nodes VALUES (?, ?, ?) "
            "ON CONFLICT (node) DO UPDATE SET state = excluded.state, checksum = excluded.checksum",
            (node, state, state_checksum(node, state)),
        )

    def old_epoch(self) -> int:
        """The epoch of all old-firmware nodes as long as this file lives and no state in it is damaged."""
        return self._meta("SELECT value FROM meta WHERE name = 'old_epoch'")

    def total_tx(self) -> int:
        """Readings accepted since this file began."""
        return self._meta("SELECT value FROM meta WHERE name = 'total_tx'")

    def count_reading(self) -> int:
        """Count one more; the new `total_tx`."""
        total_tx = self.total_tx() + 1
        set_meta(self._connection, "total_tx", total_tx)
        return total_tx

    def insert(self, who: Identity, digest: str, qos: int, payload: bytes, now_ms: int) -> Item | None:
        """Add a reading; None when the very same one is already there.

        Raises:
            ProtocolError: With reason `conflict`: the same identity is there with another content.
            OutboxFullError: The disk is full; what room is left is for deleting.
        """
        if not self._may_grow:
            raise OutboxFullError("the disk under the outbox is full; make room there")
        key = (who.node, who.epoch, who.counter)
        row = self._connection.execute(
            "SELECT digest FROM events WHERE node = ? AND epoch = ? AND counter = ?", key
        ).fetchone()
        if row is not None:
            if row[0] != digest.encode():
                raise ProtocolError(
                    "conflict", f"node {who.node}: event {who.counter} of epoch {who.epoch} with two contents"
                )
            return None
        values = (*key, digest, qos, payload, now_ms, event_checksum(*key, digest, qos, payload, now_ms))
        cursor = self._connection.execute(
            "INSERT INTO events (node, epoch, counter, digest, qos, payload, accepted_ms, checksum) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )
        self.events_added += 1
        return Item(cursor.lastrowid or 0, who, qos, payload, now_ms)

    def delete(self, identities: Iterable[Identity]) -> list[int]:
        """Forget readings that the database has; when those that were here had been accepted, Unix milliseconds."""
        accepted_ms: list[int] = []
        for who in identities:
            rows = self._connection.execute(
                "DELETE FROM events WHERE node = ? AND epoch = ? AND counter = ? RETURNING accepted_ms",
                (who.node, who.epoch, who.counter),
            ).fetchall()
            accepted_ms += [at_ms for (at_ms,) in rows if isinstance(at_ms, int)]  # otherwise damaged, and over
            self.events_added -= len(rows)
        return accepted_ms

    def settle(self, committed: Iterable[Committed]) -> Settlement:
        """Forget the readings that a commit acknowledgement is about.

        One that names another payload than ours is about what somebody else published under our identity: the reading
        stays. But if it stays because ours is damaged here, which the server has as it was, it is set aside.
        """
        found = Settlement([], [], [])
        for item in committed:
            if item.digest is not None and self._is_other(item.identity, item.digest):
                found.kept.append(item.identity)
            else:
                found.accepted_ms.extend(self.delete([item.identity]))
                found.settled.append(item.identity)
        return found

    def _is_other(self, who: Identity, digest: str) -> bool:
        """Whether the reading is here, unharmed, with another payload."""
        row = self._connection.execute(
            f"SELECT {EVENT_COLUMNS} FROM events WHERE node = ? AND epoch = ? AND counter = ?",  # noqa: S608 - our own constant
            (who.node, who.epoch, who.counter),
        ).fetchone()
        if row is None:
            return False
        sound = sound_event(row)
        if sound is None:
            self._set_aside(row[0])
            return False
        return payload_digest(sound[6]) != digest

    def fetch(self, fetch: Fetch) -> tuple[list[Item], int, bool]:
        """The rows asked for, the sequence number up to which the file was read, and whether nothing lies above.

        A row that fails its checksum is moved to the table `corrupt` and is not among them.
        """
        rows = self._connection.execute(
            f"SELECT {EVENT_COLUMNS} FROM events WHERE seq > ? ORDER BY seq LIMIT ?",  # noqa: S608 - our own constant
            (fetch.after, fetch.limit),
        ).fetchall()
        items = []
        for row in rows:
            sound = sound_event(row)
            if sound is None:
                self._set_aside(row[0])
            else:
                seq, node, epoch, counter, _, qos, payload, accepted_ms, _ = sound
                items.append(Item(seq, Identity(node, epoch, counter), qos, payload, accepted_ms))
        return items, rows[-1][0] if rows else fetch.after, len(rows) < fetch.limit

    def _set_aside(self, seq: int) -> None:
        self._connection.execute(
            "INSERT INTO corrupt SELECT NULL, seq, node, epoch, counter, payload, ? FROM events WHERE seq = ?",
            (time.time_ns() // 1_000_000, seq),
        )
        self._connection.execute("DELETE FROM events WHERE seq = ?", (seq,))
        self.events_added -= 1
        self.corrupt_found += 1

    def _meta(self, query: str) -> int:
        return int(self._connection.execute(query).fetchall()[0][0])


class _Request(Generic[T]):
    def __init__(self, work: Callable[[Transaction], T]) -> None:
        self._work = work
        self.future: Future[T] = Future()
        self._value: T | None = None
        self._error: Exception | None = None
        self.events_added = 0
        self.corrupt_found = 0
        self.states_lost = 0

    def run(self, connection: sqlite3.Connection, may_grow: bool) -> None:
        """Do the work in a savepoint; an error undoes it alone.

        Raises:
            sqlite3.Error: The error ended the whole transaction, or the file is damaged.
        """
        transaction = Transaction(connection, may_grow)
        self._value, self._error = None, None
        self.events_added = self.corrupt_found = self.states_lost = 0
        connection.execute("SAVEPOINT request")
        try:
            self._value = self._work(transaction)
            self.events_added, self.corrupt_found = transaction.events_added, transaction.corrupt_found
            self.states_lost = transaction.states_lost
        except Exception as error:
            if isinstance(error, sqlite3.Error) and (sqlite_recovery.is_damage(error) or not connection.in_transaction):
                raise
            connection.execute("ROLLBACK TO request")
            self._error = translated(error)
        connection.execute("RELEASE request")

    def complete(self) -> None:
        if self._error is not None:
            self.future.set_exception(self._error)
        else:
            self.future.set_result(self._value)  # type: ignore[arg-type]  # set by run, or T is None


class Store:
    """The outbox file and its thread.

    Args:
        path: The file; the folder is made.
        max_bytes: Cap of its size.
        group: Requests in one commit; 1 for the benchmark's comparison.

    Raises:
        OutboxBrokenError: The file cannot be opened, or another gateway uses it.
    """

    def __init__(self, path: Path, max_bytes: int, group: int = GROUP_LIMIT) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._group = group
        self._queue: queue.Queue[_Request[object] | None] = queue.Queue(QUEUE_LIMIT)
        self._closing = threading.Event()
        self._measured_s = 0.0
        self.last_progress_s = time.monotonic()
        self.corrupt_found = 0  # rows set aside while running
        self.states_lost = 0  # of nodes, forgotten while running
        self.recoveries: list[Recovery] = []
        self._lock_file = self._lock()
        self._reserve = DiskReserve(path.with_name(path.name + ".reserve"))
        self._events = 0
        self._oldest_ms: int | None = None
        self._used_bytes, self._limit_bytes = 0, 1
        self._connection: sqlite3.Connection | None = self._open(is_damaged=False)
        self._is_writable = True
        self._measure()
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def stats(self) -> Stats:
        """How the file is; ages and sizes as of the last second."""
        is_writable = self._is_writable and self._reserve.is_held
        return Stats(self._events, self._oldest_ms, self._used_bytes, self._limit_bytes, is_writable)

    def submit(self, work: Callable[[Transaction], T], *done: "Callable[[Future[T]], None]") -> "Future[T]":
        """Have `work` done in the next commit.

        The future ends after the commit, and `done` is called then in the store's thread, in the order of submission;
        it must not wait. (A callback added later may run out of this order.) The future ends with `OutboxFullError`,
        `OutboxBrokenError` or whatever `work` raised when nothing of it was kept; at once, and with `done` called
        here, when the outbox is closed, and after SUBMIT_LIMIT_S when it does not keep up.
        """
        request = _Request(work)
        for callback in done:
            request.future.add_done_callback(callback)
        if self._closing.is_set():
            request.future.set_exception(OutboxBrokenError("the outbox is closed"))
        else:
            try:
                self._queue.put(request, timeout=SUBMIT_LIMIT_S)  # type: ignore[arg-type]  # it does not look at the result's type
            except queue.Full:
                request.future.set_exception(OutboxBrokenError("the outbox does not keep up; check the disk"))
        return request.future

    def close(self, limit_s: float = CLOSE_LIMIT_S) -> None:
        """Finish what was submitted, and close the file.

        Args:
            limit_s: A disk that hangs is left alone after so long, and with it the thread and the lock: `is_alive`.
        """
        deadline_s = time.monotonic() + limit_s
        if not self._closing.is_set():
            self._closing.set()
            with contextlib.suppress(queue.Full):  # it only wakes the thread
                self._queue.put(None, timeout=limit_s)
        self._thread.join(max(0.0, deadline_s - time.monotonic()))
        if not self.is_alive:
            self._lock_file.close()

    def _lock(self) -> IO[bytes]:
        path = self._path.with_name(self._path.name + ".lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("ab")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutboxBrokenError(
                f"{self._path}: another gateway uses this outbox; stop it, or give each its own AOII_DATA_DIR"
            ) from error
        except OSError as error:
            raise OutboxBrokenError(f"{path}: cannot be written ({error}); check the folder and its rights") from error
        return file

    def _open(self, is_damaged: bool) -> sqlite3.Connection:
        connection, recovery = open_file(self._path, self._max_bytes, is_damaged)
        if recovery is not None:
            self.recoveries.append(recovery)
        self._events = connection.execute("SELECT count(*) FROM events").fetchone()[0]
        self._reserve.take()
        return connection

    def _run(self) -> None:
        last = False
        while not last:
            batch, last = self._collect()
            self.last_progress_s = time.monotonic()
            if batch:
                self._commit(batch)
            if not batch or self.last_progress_s - self._measured_s > IDLE_S:
                self._measure()
        if self._connection is not None:
            self._connection.close()
        while not self._queue.empty():
            request = self._queue.get_nowait()
            if request is not None:
                request.future.set_exception(OutboxBrokenError("the outbox is closed"))

    def _collect(self) -> tuple[list[_Request[object]], bool]:
        """What waits, at most one group; and whether that was the last."""
        batch: list[_Request[object]] = []
        try:
            request = self._queue.get(timeout=IDLE_S)
            while request is not None:
                batch.append(request)
                if len(batch) == self._group:
                    return batch, False
                request = self._queue.get_nowait()
        except queue.Empty:
            return batch, self._closing.is_set()
        return batch, True

    def _commit(self, batch: list[_Request[object]]) -> None:
        self.last_progress_s = time.monotonic()  # somebody else's lock is waited for here, for each of a group
        try:
            connection = self._opened()
            connection.execute("BEGIN IMMEDIATE")
            for request in batch:
                request.run(connection, self._reserve.is_held)
            failpoints.reach("before_outbox_commit")
            connection.execute("COMMIT")
            failpoints.reach("after_outbox_commit")
        except (sqlite3.Error, OutboxBrokenError) as error:
            self._undo(error)
            if len(batch) > 1 or self._has_made_room(error):
                for request in batch:
                    self._commit([request])
            else:
                self._is_writable = False
                batch[0].future.set_exception(translated(error))
            return
        self._is_writable = True
        for request in batch:
            self._events += request.events_added
            self.corrupt_found += request.corrupt_found
            self.states_lost += request.states_lost
            request.complete()

    def _opened(self) -> sqlite3.Connection:
        """The connection, made anew when damage has ended the one before.

        Raises:
            OutboxBrokenError: The file cannot be opened.
        """
        if self._connection is None:
            self._connection = self._open(is_damaged=True)
        return self._connection

    def _make_room(self, connection: sqlite3.Connection) -> None:
        """After the disk was full: give it back what was deleted, in slices, until the reserve is ours again."""
        free, before = -1, -2
        while not self._reserve.is_held and free != before:
            connection.executescript("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA incremental_vacuum(200)")
            free, before = connection.execute("PRAGMA freelist_count").fetchone()[0], free
            self._reserve.take()

    def _has_made_room(self, error: Exception) -> bool:
        """Whether the disk was full and the reserve has been given up for it."""
        if self._connection is None or not self._reserve.is_held:
            return False
        if not (_is_full(error) and self._reserve.is_needed()):
            return False
        self._reserve.give()
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return True

    def _undo(self, error: Exception) -> None:
        """Leave the failed transaction; a damaged file is closed, and is replaced when it is opened next."""
        if self._connection is None:
            return
        with contextlib.suppress(sqlite3.Error):  # SQLite may have rolled back by itself
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        if isinstance(error, sqlite3.Error) and sqlite_recovery.is_damage(error):
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _measure(self) -> None:
        self._measured_s = time.monotonic()
        try:
            connection = self._opened()
            self._make_room(connection)
            if not self._is_writable:
                connection.execute("UPDATE meta SET value = value WHERE name = 'total_tx'")
                self._is_writable = True
            pages, free, limit, size = (
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "max_page_count", "page_size")
            )
            row = connection.execute("SELECT accepted_ms FROM events ORDER BY seq LIMIT 1").fetchone()
        except (sqlite3.Error, OutboxBrokenError) as error:
            self._undo(error)
            self._is_writable = False
            return
        self._oldest_ms = row[0] if row and isinstance(row[0], int) else None
        self._used_bytes, self._limit_bytes = (pages - free) * size, limit * size


def translated(error: Exception) -> Exception:
    """SQLite's errors as ours, others as they are."""
    if not isinstance(error, sqlite3.Error):
        return error
    if _is_full(error):
        return OutboxFullError("the outbox is full; see why the server does not acknowledge, or raise OUTBOX_MAX_MB")
    return OutboxBrokenError(f"the outbox cannot be used ({error}); check the disk")


def _is_full(error: Exception) -> bool:
    return isinstance(error, sqlite3.Error) and sqlite_recovery.is_full(error)
