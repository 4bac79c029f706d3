"""The outbox file, and the one thread that owns it and commits many requests at once.

A request is a function that gets a `Transaction`, and decides and writes in it. It runs in the file's thread, in a
savepoint of its own. Its future ends only after its commit, when the data is on the disk (`synchronous=FULL`). A
request that fails leaves nothing behind, and the others in the same commit are not affected. Requests must be
repeatable: when a commit fails, each of its requests is run again in a commit of its own. The file is the only truth
about a node: a request that changes a node's state reads it first.
"""

import contextlib
import fcntl
import functools
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Generic, TypeVar

from aoii.gateway.drivers import kept_rows, outbox_rows
from aoii.gateway.drivers.disk_reserve import DiskReserve
from aoii.gateway.drivers.kept_file import KeptFile
from aoii.gateway.drivers.kept_rows import Origin
from aoii.gateway.drivers.outbox_recovery import OutboxBrokenError, Recovery, open_file
from aoii.gateway.drivers.outbox_transaction import Changes, OutboxFullError, Transaction
from aoii.runtime import failpoints, sqlite_recovery
from aoii.runtime.station import PartThread

T = TypeVar("T")

GROUP_LIMIT = 256  # requests in one commit; one fsync costs as much as about twenty of them
QUEUE_LIMIT = 1000  # requests that wait; whoever submits one more waits too
SUBMIT_LIMIT_S = 2.0  # the longest such wait: one commit makes room, and a disk that takes 2 s for it hangs
CLOSE_LIMIT_S = 5.0
IDLE_S = 1.0  # between two measurements of the file, and the longest wait for a request


class OutboxFile:
    """The outbox file, open from the constructor to `close`.

    Args:
        path: The file; its folder is created.
        max_bytes: Limit on its size.
        group: Requests in one commit; 1 for the benchmark's comparison.
        keep_bytes: Room for kept readings, in a file beside this one; 0: none are kept.

    Attributes:
        thread: The file's thread.
        kept: The file of kept readings; from other threads, only its attributes may be read.
        events: Readings in the file.
        oldest_seq: Sequence number of the oldest of them; None if there is none. Measured each second.
        oldest_ms: When it was accepted, Unix milliseconds; None if there is none. Measured with it.
        used_bytes: Room that rows occupy. Measured each second.
        limit_bytes: Room that they may occupy.
        spare_bytes: Room of deleted rows in the file, which the next rows take.
        accepted: Readings accepted since the file was opened.
        corrupt_found: Readings quarantined while running.
        states_lost: States of nodes deleted while running.
        recoveries: What became of damaged files, oldest first.
        is_older_copy: Whether the file was put back: readings were kept that came to it later. Then it was opened
            without forecasts, and with a new epoch for old nodes.

    Raises:
        OutboxBrokenError: The file cannot be opened, or another gateway uses it.
    """

    def __init__(self, path: Path, max_bytes: int, group: int = GROUP_LIMIT, keep_bytes: int = 0) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._group = group
        self._queue: queue.Queue[_Request[object] | None] = queue.Queue(QUEUE_LIMIT)
        self._closing = threading.Event()
        self._measured_s = 0.0
        self.events, self.corrupt_found, self.states_lost = 0, 0, 0
        self.oldest_seq: int | None = None
        self.oldest_ms: int | None = None
        self.used_bytes, self.limit_bytes, self.spare_bytes = 0, 1, 0
        self.accepted = 0
        self.recoveries: list[Recovery] = []
        self.thread = PartThread("outbox", self._run)
        self._reserve = DiskReserve(path.with_name(path.name + ".reserve"))
        self._connection: sqlite3.Connection | None = None
        self._last_write_succeeded = True
        self._lock_file = self._lock()
        with contextlib.ExitStack() as unless_opened:
            unless_opened.callback(self._lock_file.close)
            self._connected(is_damaged=False)
            self.kept = KeptFile(path.with_name(kept_rows.FILE), keep_bytes)
            unless_opened.callback(self.kept.close)
            self.is_older_copy = self._is_older_copy()
            self._measure()
            unless_opened.pop_all()
        self.thread.start()

    @property
    def is_writable(self) -> bool:
        """Whether the latest write succeeded, and the disk has room."""
        return self._last_write_succeeded and self._reserve.is_held

    def oldest_s(self) -> float:
        """Age of the oldest reading by the machine's clock, seconds; 0 if there is none."""
        return 0.0 if self.oldest_ms is None else max(0.0, time.time() - self.oldest_ms / 1000)

    def submit(self, work: Callable[[Transaction], T], *done: "Callable[[Future[T]], None]") -> "Future[T]":
        """Run `work` in the next commit.

        Args:
            work: The request.
            done: Called after the commit in the file's thread, in the order of submission; must not wait. (A callback
                that is added to the future later may run out of this order.)

        Returns:
            A future that ends after the commit, with the result of `work`; if nothing was stored, with
            `OutboxFullError`, `OutboxBrokenError` or whatever `work` raised. In two cases it ends with
            `OutboxBrokenError` here, and `done` is called in the caller's thread: at once when the outbox is closed,
            and after SUBMIT_LIMIT_S when the disk does not keep up.
        """
        request = _Request(work)
        for callback in done:
            request.future.add_done_callback(callback)
        if self._closing.is_set():
            request.future.set_exception(_closed())
        else:
            try:
                self._queue.put(request, timeout=SUBMIT_LIMIT_S)  # type: ignore[arg-type]  # the result's type plays no role here
            except queue.Full:
                request.future.set_exception(OutboxBrokenError("the outbox does not keep up", "check the disk"))
        return request.future

    def close(self, limit_s: float = CLOSE_LIMIT_S) -> None:
        """Finish the requests that were submitted, and close the file.

        Args:
            limit_s: After so long, because the disk hangs, the thread and the lock are left behind; `thread` then stays
                alive.
        """
        deadline_s = time.monotonic() + limit_s
        if not self._closing.is_set():
            self._closing.set()
            with contextlib.suppress(queue.Full):  # it only wakes the thread
                self._queue.put(None, timeout=limit_s)
        self.thread.join(max(0.0, deadline_s - time.monotonic()))
        if not self.thread.is_alive():
            self._lock_file.close()

    def _lock(self) -> IO[bytes]:
        path = self._path.with_name(self._path.name + ".lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("ab")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutboxBrokenError(
                f"{self._path}: another gateway uses this outbox", "stop it, or give each its own AOII_DATA_DIR"
            ) from error
        except OSError as error:
            raise OutboxBrokenError(f"{path}: cannot be written ({error})", "check the folder's permissions") from error
        return file

    # The file's thread.

    def _run(self) -> None:
        last = False
        while not last:
            batch, last = self._collect()
            self.thread.record_progress()
            if batch:
                self._commit(batch)
            if not batch or time.monotonic() - self._measured_s > IDLE_S:
                self._measure()
        if self._connection is not None:
            self._connection.close()
        self.kept.close()
        while not self._queue.empty():
            request = self._queue.get_nowait()
            if request is not None:
                request.future.set_exception(_closed())

    def _collect(self) -> tuple[list["_Request[object]"], bool]:
        """The requests that wait, at most one group, and whether they are the last ones."""
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

    def _commit(self, batch: list["_Request[object]"]) -> None:
        self.thread.record_progress()  # each request of a failed group may wait for the lock of another process
        try:
            connection = self._connected()
            connection.execute("BEGIN IMMEDIATE")
            for request in batch:
                request.run(connection, self._reserve.is_held, self.kept)
                self.kept.move(request.changes.removed)
            self._commit_kept(connection)
            failpoints.reach("before_outbox_commit")
            connection.execute("COMMIT")
            failpoints.reach("after_outbox_commit")
            self.kept.end(is_committed=True)
        except (sqlite3.Error, OutboxBrokenError) as error:
            self._undo(error)
            if len(batch) > 1 or self._has_made_room(error):
                for request in batch:
                    self._commit([request])
            else:
                self._last_write_succeeded = False
                batch[0].future.set_exception(_translated(error))
            return
        self._last_write_succeeded = True
        for request in batch:
            self.events += request.changes.events_added
            self.accepted += request.changes.accepted
            self.corrupt_found += request.changes.events_corrupt
            self.states_lost += request.changes.states_lost
            request.complete()

    def _commit_kept(self, connection: sqlite3.Connection) -> None:
        """Keep what leaves the outbox with the present commit, before it leaves; a failure changes nothing else."""
        file = outbox_rows.file_id(connection)
        if not self.kept.commit(file) and self.kept.is_full and self._reserve.is_held and self._reserve.is_needed():
            self._make_room()
            self.kept.commit(file)

    def _undo(self, error: Exception) -> None:
        """Roll back the failed transaction; close a damaged file, which is replaced when it is opened again."""
        self.kept.end(is_committed=False)
        if self._connection is None:
            return
        with contextlib.suppress(sqlite3.Error):
            self._connection.rollback()  # nothing happens if SQLite has rolled back by itself
        if isinstance(error, sqlite3.Error) and sqlite_recovery.is_damage(error):
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _connected(self, is_damaged: bool = True) -> sqlite3.Connection:
        """The connection; a new one at the start, and when damage has ended the one before.

        Args:
            is_damaged: Why a new one is needed: using the file has shown damage. False only at the start.

        Raises:
            OutboxBrokenError: The file cannot be opened.
        """
        if self._connection is None:
            connection, recovery = open_file(self._path, self._max_bytes, is_damaged)
            if recovery is not None:
                self.recoveries.append(recovery)
            self.events = connection.execute("SELECT count(*) FROM events").fetchone()[0]
            self._reserve.acquire()
            self._connection = connection
        return self._connection

    def _is_older_copy(self) -> bool:
        """Whether readings are kept that came from a later state of this file; then forget what it says of nodes.

        Old nodes would otherwise get numbers again that are kept with other contents, and would be refused for ever.
        """
        connection = self._connected()
        now = Origin(outbox_rows.file_id(connection), outbox_rows.last_seq(connection))
        before = self.kept.origin()
        if before is None or before.file != now.file or before.seq <= now.seq:
            return False
        connection.execute("BEGIN IMMEDIATE")
        Transaction(connection, may_grow=False, kept=self.kept).forget_states()
        connection.execute("COMMIT")
        self.kept.set_origin(now)
        return True

    def _has_made_room(self, error: Exception) -> bool:
        """If the disk is full, release the reserve; return whether that was done and a request can be run again."""
        if self._connection is None or not (self._reserve.is_held and _is_full(error) and self._reserve.is_needed()):
            return False
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._make_room()
        return True

    def _make_room(self) -> None:
        """Release the reserve; if kept readings can make room for it, take it back at once."""
        self._reserve.release()
        while not self._reserve.is_held and self.kept.give_room():
            self.thread.record_progress()
            self._reserve.acquire()

    def _acquire_reserve(self, connection: sqlite3.Connection) -> None:
        """After a full disk: give it the file's deleted pages, in slices, until the reserve fits or no page is left."""
        free, before = -1, -2
        while not self._reserve.is_held and free != before:
            connection.executescript("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA incremental_vacuum(800)")
            free, before = connection.execute("PRAGMA freelist_count").fetchone()[0], free
            self._reserve.acquire()
        if not self._reserve.is_held:
            self._make_room()

    def _measure(self) -> None:
        """Measure the file, and take back the reserve; after a failed write, also try one that changes nothing."""
        self._measured_s = time.monotonic()
        try:
            connection = self._connected()
            self._acquire_reserve(connection)
            if not self._last_write_succeeded:
                connection.execute("UPDATE meta SET value = value WHERE name = 'total_tx'")
                self._last_write_succeeded = True
            pages, free, limit, size = (
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "max_page_count", "page_size")
            )
            row = connection.execute("SELECT seq, accepted_ms FROM events ORDER BY seq LIMIT 1").fetchone()
        except (sqlite3.Error, OutboxBrokenError) as error:
            self._undo(error)
            self._last_write_succeeded = False
            return
        self.oldest_seq = row[0] if row else None
        self.oldest_ms = row[1] if row and isinstance(row[1], int) else None
        self.used_bytes, self.limit_bytes, self.spare_bytes = (pages - free) * size, limit * size, free * size
        self.kept.measure()


class _Request(Generic[T]):
    """Work to be done in the file, the future of its result, and what it has changed."""

    def __init__(self, work: Callable[[Transaction], T]) -> None:
        self._work = work
        self.future: Future[T] = Future()
        self.changes = Changes()

    def run(self, connection: sqlite3.Connection, may_grow: bool, kept: KeptFile) -> None:
        """Do the work in a savepoint, so that an error undoes this work alone; `complete` then ends the future.

        Raises:
            sqlite3.Error: The error ended the whole transaction, or the file is damaged.
        """
        transaction = Transaction(connection, may_grow, kept)
        connection.execute("SAVEPOINT request")
        try:
            self.complete = functools.partial(self.future.set_result, self._work(transaction))
            self.changes = transaction.changes
        except Exception as error:
            if isinstance(error, sqlite3.Error) and (sqlite_recovery.is_damage(error) or not connection.in_transaction):
                raise
            connection.execute("ROLLBACK TO request")
            self.complete = functools.partial(self.future.set_exception, _translated(error))
            self.changes = Changes()
        connection.execute("RELEASE request")


def _closed() -> OutboxBrokenError:
    return OutboxBrokenError("the outbox is closed")


def _is_full(error: Exception) -> bool:
    """Whether SQLite found no room, under the size limit or on the disk."""
    return isinstance(error, sqlite3.Error) and sqlite_recovery.is_full(error)


def _translated(error: Exception) -> Exception:
    """SQLite's errors as ours; any other error unchanged."""
    if not isinstance(error, sqlite3.Error):
        return error
    if _is_full(error):
        return OutboxFullError("the outbox is full", "see why the server does not acknowledge, or raise OUTBOX_MAX_MB")
    return OutboxBrokenError(f"the outbox cannot be used ({error})", "check the disk")
