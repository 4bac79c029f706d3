"""The outbox file and its thread: durable before the future ends, one failure at a time, capped, closed in time."""

import contextlib
import functools
import gc
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from aoii.gateway.drivers import outbox_file
from aoii.gateway.drivers.outbox_file import OutboxFile
from aoii.gateway.drivers.outbox_recovery import OutboxBrokenError
from aoii.gateway.drivers.outbox_transaction import OutboxFullError, Transaction
from aoii.gateway.readings import Item
from aoii.runtime import sqlite_recovery
from gateway.drivers.outbox_files import MEGABYTE, add, counters, disk, filled, held, opened, who
from servers import until


def test_when_the_future_ends_the_reading_is_in_the_file(store: OutboxFile, path: Path) -> None:
    seen: list[int] = []

    def look(_: "Future[Item | None]") -> None:
        with contextlib.closing(sqlite3.connect(path)) as other:
            seen.append(other.execute("SELECT count(*) FROM events").fetchone()[0])

    future = add(store, 1)
    future.add_done_callback(look)
    until(lambda: seen)

    assert seen == [1]
    item = future.result()
    assert item is not None
    assert (item.seq, item.identity, item.payload) == (1, who(1), b"payload")


def test_everything_is_there_after_closing_and_opening_again(path: Path) -> None:
    with opened(path) as store:
        futures = [add(store, counter) for counter in range(10)]
        store.submit(lambda transaction: transaction.set_state("7", b"state"))
        epoch = store.submit(Transaction.old_epoch).result()
    assert all(future.done() for future in futures)

    with opened(path) as store:
        assert counters(store) == list(range(10))
        assert store.submit(Transaction.states).result() == [("7", b"state")]
        assert store.submit(Transaction.old_epoch).result() == epoch
        assert store.submit(Transaction.total_tx).result() == 10
        assert store.events == 10
        assert store.oldest_ms == 1000


def test_a_request_that_fails_leaves_nothing_behind_and_its_neighbours_stay(store: OutboxFile) -> None:
    def half(transaction: Transaction) -> None:
        transaction.set_state("7", b"half")
        transaction.insert(who(2), "d", 1, b"", 0)
        raise ZeroDivisionError

    with held(store):
        before, failing, after = add(store, 1), store.submit(half), add(store, 3)

    assert before.result() is not None
    with pytest.raises(ZeroDivisionError):
        failing.result()
    assert after.result() is not None
    assert counters(store) == [1, 3]
    assert store.submit(lambda transaction: transaction.state("7")).result() is None
    until(lambda: store.events == 2)


def test_a_full_file_takes_no_more_readings_but_removes_them(path: Path) -> None:
    with opened(path, MEGABYTE) as store:
        accepted = 0
        while (error := add(store, accepted, bytes(1000)).exception()) is None:
            accepted += 1
        assert accepted > 500
        assert isinstance(error, OutboxFullError)
        assert "OUTBOX_MAX_MB" in str(error)
        until(lambda: store.used_bytes > 0.9 * store.limit_bytes)

        assert store.submit(lambda transaction: transaction.delete(map(who, range(100)))).result() != []
        assert add(store, accepted, bytes(1000)).result() is not None
        assert counters(store) == list(range(100, accepted + 1))
    assert path.stat().st_size <= MEGABYTE


def test_a_full_file_refuses_only_what_does_not_fit(path: Path) -> None:
    with opened(path, MEGABYTE) as store:
        with held(store):
            futures = [add(store, counter, bytes(300_000)) for counter in range(5)] + [add(store, 9, b"small")]

        refused = [isinstance(future.exception(), OutboxFullError) for future in futures]

        assert refused == [False, False, False, True, True, False]
        assert counters(store) == [0, 1, 2, 9]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MB of its own."""
    with disk(tmp_path, 16) as folder:
        yield folder


def test_a_full_disk_takes_no_more_readings_and_can_be_emptied_again(small_disk: Path) -> None:
    with opened(small_disk / "outbox.db", 64 * MEGABYTE) as store:
        accepted = 0
        while (error := add(store, accepted, bytes(20_000)).exception()) is None:
            accepted += 1
        assert isinstance(error, OutboxFullError)
        assert accepted > 50
        assert not store.is_writable
        for counter in range(accepted, accepted + 5):
            assert isinstance(add(store, counter).exception(), OutboxFullError)

        for counter in range(accepted):
            assert store.submit(functools.partial(Transaction.delete, identities=[who(counter)])).result() != []

        until(lambda: store.is_writable)
        assert add(store, accepted, bytes(20_000)).result() is not None
        assert counters(store) == [accepted]


def test_a_second_gateway_on_the_same_file_is_refused(store: OutboxFile, path: Path) -> None:
    with pytest.raises(OutboxBrokenError, match="another gateway"):
        OutboxFile(path, MEGABYTE)


def test_a_file_that_cannot_be_opened_is_not_locked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OutboxBrokenError("the disk does not answer", "check the disk")

    gc.disable()  # the lock must not wait for a collection
    try:
        with monkeypatch.context() as patch:
            patch.setattr(OutboxFile, "_measure", fail)
            with pytest.raises(OutboxBrokenError, match="does not answer"):
                OutboxFile(path, MEGABYTE)

        OutboxFile(path, MEGABYTE).close()
    finally:
        gc.enable()


def test_a_file_that_hangs_keeps_no_caller_waiting_without_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_file, "QUEUE_LIMIT", 2)
    monkeypatch.setattr(outbox_file, "SUBMIT_LIMIT_S", 0.1)
    with opened(path) as store:
        is_held, gate = threading.Event(), threading.Event()

        def hold(_: Transaction) -> None:
            is_held.set()
            gate.wait(30)

        store.submit(hold)
        assert is_held.wait(10)
        waiting = [add(store, counter) for counter in (1, 2)]

        assert isinstance(add(store, 3).exception(0), OutboxBrokenError)
        began_s = time.monotonic()
        store.close(0.2)

        assert time.monotonic() - began_s < 20  # not the 30 of the one that holds
        assert store.thread.is_alive()
        with pytest.raises(OutboxBrokenError, match="another gateway"):  # it may still write
            OutboxFile(path, MEGABYTE)
        gate.set()
        assert all(future.result(10) is not None for future in waiting)
        until(lambda: not store.thread.is_alive())


def test_a_file_that_waits_for_the_lock_of_another_process_makes_progress(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_recovery, "LOCK_TIMEOUT_S", 0.2)
    beats: list[float] = []
    with opened(path) as store, contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        futures = [add(store, counter) for counter in range(1, 6)]
        for future in futures:
            future.add_done_callback(lambda _: beats.append(store.thread.part.last_progress_s))
        until(lambda: len(beats) == 5)

    assert beats[2] < beats[3] < beats[4]
    assert all(isinstance(future.exception(), OutboxBrokenError) for future in futures)
    assert "database is locked" in str(futures[0].exception())


def test_what_is_submitted_after_closing_fails(path: Path) -> None:
    with opened(path) as store:
        pass

    with pytest.raises(OutboxBrokenError):
        add(store, 1).result()


def test_damage_that_appears_while_running_is_healed_without_a_restart(path: Path) -> None:
    filled(path, 50)
    with opened(path) as store:
        counters(store)
        add(store, 51).result()
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with path.open("r+b") as file:
            file.write(b"garbage")

        until(lambda: add(store, 52).exception() is None and store.recoveries)

        assert counters(store) == [52]
