"""The store: durable before its future ends, one failure at a time, capped, and salvaged when the file is damaged."""

import contextlib
import functools
import os
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from aoii.broker.messages import Committed, Identity, payload_digest
from aoii.core.errors import ProtocolError
from aoii.gateway.drivers import outbox_file
from aoii.gateway.drivers.outbox_errors import OutboxBrokenError, OutboxFullError
from aoii.gateway.drivers.outbox_file import OutboxFile
from aoii.gateway.drivers.outbox_rows import PAGE_BYTES
from aoii.gateway.drivers.outbox_transaction import Transaction
from aoii.gateway.outbox import Fetch, Item
from aoii.runtime import sqlite_recovery
from servers import until

MEGABYTE = 1 << 20
ALL = Fetch(0, 1_000_000)


def who(counter: int) -> Identity:
    return Identity("7", 1, counter)


def add(store: OutboxFile, counter: int, payload: bytes = b"payload", digest: str = "d") -> "Future[Item | None]":
    return store.submit(lambda transaction: transaction.insert(who(counter), digest, 1, payload, 1000 + counter))


def counters(store: OutboxFile) -> list[int]:
    items, _, _ = store.submit(lambda transaction: transaction.fetch(ALL)).result()
    return [item.identity.counter for item in items]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "outbox.db"


@contextlib.contextmanager
def opened(path: Path, max_bytes: int = 16 * MEGABYTE) -> Iterator[OutboxFile]:
    store = OutboxFile(path, max_bytes)
    try:
        yield store
    finally:
        store.close()


@pytest.fixture
def store(path: Path) -> Iterator[OutboxFile]:
    with opened(path) as store:
        yield store


@contextlib.contextmanager
def held(store: OutboxFile) -> Iterator[None]:
    """Keep the store's thread busy, so that what is submitted meanwhile goes into one commit."""
    gate = threading.Event()
    store.submit(lambda _: gate.wait(10))
    yield
    gate.set()


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
        assert [store.submit(Transaction.count_reading).result() for _ in range(2)] == [1, 2]
    assert all(future.done() for future in futures)

    with opened(path) as store:
        assert counters(store) == list(range(10))
        assert store.submit(Transaction.states).result() == [("7", b"state")]
        assert store.submit(Transaction.old_epoch).result() == epoch
        assert store.submit(Transaction.total_tx).result() == 2
        assert store.stats.events == 10
        assert store.stats.oldest_ms == 1000


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
    until(lambda: store.stats.events == 2)


def test_the_same_reading_again_is_none_and_another_one_under_its_name_is_refused(store: OutboxFile) -> None:
    add(store, 1).result()

    assert add(store, 1).result() is None
    with pytest.raises(ProtocolError) as caught:
        add(store, 1, digest="other").result()
    assert caught.value.reason == "conflict"
    assert counters(store) == [1]


def test_a_sequence_number_is_never_used_twice(store: OutboxFile) -> None:
    add(store, 1).result()
    assert store.submit(lambda transaction: transaction.delete([who(1), who(2)])).result() == [1001]

    again = add(store, 1).result()

    assert again is not None
    assert again.seq == 2


def test_a_full_file_takes_no_more_readings_but_lets_go_of_them(path: Path) -> None:
    with opened(path, MEGABYTE) as store:
        accepted = 0
        while (error := add(store, accepted, bytes(1000)).exception()) is None:
            accepted += 1
        assert accepted > 500
        assert isinstance(error, OutboxFullError)
        assert "OUTBOX_MAX_MB" in str(error)
        until(lambda: store.stats.used_bytes > 0.9 * store.stats.limit_bytes)

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
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("may not mount a file system here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_takes_no_more_readings_and_can_be_emptied_again(small_disk: Path) -> None:
    with opened(small_disk / "outbox.db", 64 * MEGABYTE) as store:
        accepted = 0
        while (error := add(store, accepted, bytes(20_000)).exception()) is None:
            accepted += 1
        assert isinstance(error, OutboxFullError)
        assert accepted > 50
        assert not store.stats.is_writable
        for counter in range(accepted, accepted + 5):
            assert isinstance(add(store, counter).exception(), OutboxFullError)

        for counter in range(accepted):
            assert store.submit(functools.partial(Transaction.delete, identities=[who(counter)])).result() != []

        until(lambda: store.stats.is_writable)
        assert add(store, accepted, bytes(20_000)).result() is not None
        assert counters(store) == [accepted]


def test_a_second_gateway_on_the_same_file_is_refused(store: OutboxFile, path: Path) -> None:
    with pytest.raises(OutboxBrokenError, match="another gateway"):
        OutboxFile(path, MEGABYTE)


def test_a_file_of_a_newer_version_is_left_alone(path: Path) -> None:
    with opened(path):
        pass
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")

    with pytest.raises(OutboxBrokenError, match="newer"):
        OutboxFile(path, MEGABYTE)

    assert [file.name for file in path.parent.iterdir() if "corrupt" in file.name] == []


def test_a_store_that_hangs_keeps_nobody_waiting_for_good(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
        assert store.is_alive
        with pytest.raises(OutboxBrokenError, match="another gateway"):  # it may still write
            OutboxFile(path, MEGABYTE)
        gate.set()
        assert all(future.result(10) is not None for future in waiting)
        until(lambda: not store.is_alive)


def test_a_store_that_waits_for_the_lock_of_another_makes_progress(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_recovery, "LOCK_TIMEOUT_S", 0.2)
    beats: list[float] = []
    with opened(path) as store, contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        futures = [add(store, counter) for counter in range(1, 6)]
        for future in futures:
            future.add_done_callback(lambda _: beats.append(store.last_progress_s))
        until(lambda: len(beats) == 5)

    assert beats[2] < beats[3] < beats[4]
    assert all(isinstance(future.exception(), OutboxBrokenError) for future in futures)


def test_what_is_submitted_after_closing_fails(path: Path) -> None:
    with opened(path) as store:
        pass

    with pytest.raises(OutboxBrokenError):
        add(store, 1).result()


def filled(path: Path, count: int) -> None:
    with opened(path) as store, held(store):
        for counter in range(1, count + 1):
            add(store, counter, b"reading %06d" % counter + bytes(400))
            store.submit(Transaction.count_reading)
        store.submit(lambda transaction: transaction.set_state("7", b"state"))


def test_a_file_that_is_no_database_is_kept_and_a_new_one_begun(path: Path) -> None:
    filled(path, 5)
    path.write_bytes(b"garbage" + path.read_bytes()[7:])

    with opened(path) as store:
        recovery = store.recoveries[0]
        assert counters(store) == []
        assert add(store, 1).result() is not None

    assert (recovery.salvaged, recovery.is_lost_exact) == (0, False)
    assert recovery.lost >= 1
    assert recovery.kept_as.read_bytes().startswith(b"garbage")


def test_rows_beside_a_broken_page_are_salvaged_and_the_broken_ones_counted(path: Path) -> None:
    filled(path, 400)
    with opened(path) as store:
        epoch = store.submit(Transaction.old_epoch).result()
    _break_page(path, b"reading 000200")

    with opened(path) as store:
        recovery = store.recoveries[0]
        kept = counters(store)
        total_tx = store.submit(Transaction.total_tx).result()
        state = store.submit(lambda transaction: transaction.state("7")).result()
        new_epoch = store.submit(Transaction.old_epoch).result()
        following = add(store, 401).result()

    assert recovery.salvaged == len(kept) > 380
    assert (recovery.lost, recovery.is_lost_exact) == (400 - len(kept), True)
    assert 200 not in kept
    assert (state, total_tx) == (b"state", 400)
    assert new_epoch != epoch
    assert following is not None
    assert following.seq == 401


@pytest.mark.parametrize("table", ["events", "nodes", "meta", "corrupt"])
def test_a_flipped_bit_in_the_description_of_a_table_costs_nothing(path: Path, table: str) -> None:
    filled(path, 20)
    sound = path.read_bytes()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (text,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    begin = sound.index(text.encode())
    kept_as = []
    for place in range(begin, begin + len(text), 13):
        damaged = bytearray(sound)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)

        with opened(path) as store:
            kept_as += [recovery.kept_as for recovery in store.recoveries]
            assert counters(store) == list(range(1, 21)), text[place - begin :]
            assert store.submit(lambda transaction: transaction.state("7")).result() == b"state"
            assert store.submit(Transaction.total_tx).result() == 20
            assert add(store, 21).result() is not None

    assert kept_as
    assert not list(path.parent.glob("*.mended*"))


def test_damage_that_no_check_finds_is_salvaged_when_a_reading_meets_it(path: Path) -> None:
    filled(path, 20)
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE sqlite_sequence(", b"CREATE TABLE sqlite_Sequence("))

    with opened(path) as store:
        until(lambda: add(store, 21).exception() is None)

        assert [recovery.salvaged for recovery in store.recoveries] == [20]
        assert counters(store) == list(range(1, 22))


def test_of_a_file_that_lacks_its_end_what_is_there_is_salvaged(path: Path) -> None:
    filled(path, 400)
    pages = path.stat().st_size // PAGE_BYTES
    os.truncate(path, pages * 6 // 10 * PAGE_BYTES)

    with opened(path) as store:
        recovery = store.recoveries[0]
        kept = counters(store)

    assert recovery.salvaged == len(kept) > 150
    assert kept == list(range(1, len(kept) + 1))
    assert recovery.lost >= 1


def test_rows_behind_thousands_that_cannot_be_read_are_salvaged(path: Path) -> None:
    with opened(path) as store:
        store.submit(lambda transaction: [
            transaction.insert(who(counter), "d", 1, b"reading %06d" % counter, 1) for counter in range(1, 16_001)
        ]).result()  # fmt: skip
    content = bytearray(path.read_bytes())
    for counter in range(1000, 14_000):
        page = content.find(b"reading %06d" % counter) // PAGE_BYTES
        if page >= 0:
            content[page * PAGE_BYTES : (page + 1) * PAGE_BYTES] = b"\xff" * PAGE_BYTES
    path.write_bytes(content)

    with opened(path) as store:
        kept = counters(store)

    assert {1, 900, 14_100, 16_000} <= set(kept)
    assert 5000 not in kept


def test_rows_of_a_file_that_has_seen_millions_are_salvaged_beside_its_broken_first_page(path: Path) -> None:
    with opened(path):
        pass
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO sqlite_sequence VALUES ('events', 30000000)")
        connection.commit()
    filled(path, 400)
    _break_page(path, b"reading 000001")

    with opened(path) as store:
        kept = counters(store)
        following = add(store, 401).result()

    assert len(kept) > 380
    assert (store.recoveries[0].lost, store.recoveries[0].is_lost_exact) == (400 - len(kept), True)
    assert following is not None
    assert following.seq == 30_000_401


@pytest.mark.parametrize("is_counted", [True, False])
def test_readings_set_aside_earlier_that_are_lost_are_counted_or_said_to_be(path: Path, is_counted: bool) -> None:
    filled(path, 40)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE events SET checksum = 0 WHERE counter <= 30")
        connection.commit()
    with opened(path) as store:
        assert counters(store) == list(range(31, 41))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        ((page,),) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'corrupt'")
    if is_counted:  # the place of a row that starts behind the end of its page
        content = bytearray(path.read_bytes())
        leaf = content.index(b"reading 000030") // PAGE_BYTES * PAGE_BYTES
        content[leaf + 8 : leaf + 10] = b"\xff\xff"
        path.write_bytes(content)
    else:
        _break_page(path, page - 1)

    with opened(path) as store:
        assert counters(store) == list(range(31, 41))
    recovery = store.recoveries[0]
    assert (recovery.lost >= 1, recovery.is_lost_exact) == (True, is_counted)


def _break_page(path: Path, what: bytes | int) -> None:
    """Overwrite a page, by its number from 0 or by what stands in it."""
    content = bytearray(path.read_bytes())
    page = content.index(what) // PAGE_BYTES if isinstance(what, bytes) else what
    content[page * PAGE_BYTES : (page + 1) * PAGE_BYTES] = b"\xff" * PAGE_BYTES
    path.write_bytes(content)


def test_a_flipped_bit_in_the_index_leaves_no_reading_behind(path: Path) -> None:
    filled(path, 60)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_events_1'")
    content = bytearray(path.read_bytes())
    entry = content.index(b"7\x2a", (page[0] - 1) * PAGE_BYTES)  # node 7, counter 42; epoch 1 takes no byte
    content[entry + 1] ^= 0x40
    path.write_bytes(content)

    with opened(path) as store:
        assert (store.recoveries[0].salvaged, store.recoveries[0].lost) == (60, 0)
        store.submit(lambda transaction: transaction.delete(map(who, range(1, 61)))).result()
        assert counters(store) == []


def test_a_flipped_bit_in_a_row_is_found_and_the_row_set_aside(path: Path) -> None:
    filled(path, 5)
    path.write_bytes(path.read_bytes().replace(b"reading 000003", b"reading 000002"))

    with opened(path) as store:
        assert store.recoveries == []
        assert counters(store) == [1, 2, 4, 5]
        assert store.corrupt_found == 1

    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT node, epoch, counter FROM corrupt").fetchall() == [("7", 1, 3)]


def test_readings_set_aside_earlier_are_still_listed_after_the_file_is_damaged(path: Path) -> None:
    filled(path, 400)
    path.write_bytes(path.read_bytes().replace(b"reading 000003", b"reading 000002"))
    with opened(path) as store:
        assert 3 not in counters(store)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        listed = connection.execute(
            "SELECT seq, CAST(node AS BLOB), epoch, counter, payload, found_ms FROM corrupt"
        ).fetchall()
    _break_page(path, b"reading 000200")

    with opened(path) as store:
        assert len(store.recoveries) == 1

    with contextlib.closing(sqlite3.connect(path)) as connection:
        found = connection.execute(
            "SELECT seq, CAST(node AS BLOB), epoch, counter, payload, found_ms FROM corrupt"
        ).fetchall()
    assert found == listed != []


@pytest.mark.parametrize(
    "damage",
    [
        "node = CAST(x'e72f78' AS TEXT)",
        "digest = CAST(x'ff' AS TEXT)",
        "payload = 'another'",
        "payload = 7",
        "epoch = 'x'",
        "accepted_ms = 'x'",
        "checksum = 'x'",
    ],
)
def test_a_row_of_which_nothing_can_be_believed_does_not_stop_the_others(path: Path, damage: str) -> None:
    filled(path, 3)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"UPDATE events SET {damage} WHERE counter = 1")  # noqa: S608 - the parameter above
        connection.commit()

    with opened(path) as store:
        assert counters(store) == [2, 3]
        assert (store.corrupt_found, store.stats.events) == (1, 2)
        until(lambda: isinstance(store.stats.oldest_ms, int))

    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT seq FROM corrupt").fetchall() == [(1,)]


def test_a_payload_that_became_text_is_still_the_same_payload(path: Path) -> None:
    filled(path, 2)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE events SET payload = CAST(payload AS TEXT)")
        connection.commit()

    with opened(path) as store:
        assert counters(store) == [1, 2]
        assert store.corrupt_found == 0


def test_an_acknowledgement_lets_go_of_the_payload_that_it_names_and_of_no_other(path: Path) -> None:
    filled(path, 4)
    acks = [
        Committed(who(1), "stored", payload_digest(b"forged")),
        Committed(who(2), "stored", payload_digest(b"reading 000002" + bytes(400))),
        Committed(who(3), "stored"),  # a server that does not say
        Committed(who(9), "stored", payload_digest(b"forgotten long ago")),
    ]

    with opened(path) as store:
        found = store.submit(lambda transaction: transaction.acknowledge(acks)).result()

        assert found == ([1002, 1003], [who(2), who(3), who(9)], [who(1)])
        assert counters(store) == [1, 4]


def test_a_reading_that_is_damaged_here_and_sound_in_the_database_is_set_aside(path: Path) -> None:
    filled(path, 2)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE events SET payload = 'another' WHERE counter = 1")
        connection.commit()
    ack = Committed(who(1), "stored", payload_digest(b"reading 000001" + bytes(400)))

    with opened(path) as store:
        found = store.submit(lambda transaction: transaction.acknowledge([ack])).result()

        assert (found.acknowledged, found.mismatched) == ([who(1)], [])
        assert (counters(store), store.corrupt_found) == ([2], 1)


@pytest.mark.parametrize("harm", ["value = value + 1 WHERE name = 'total_tx'", "name = 'x' WHERE name = 'old_epoch'"])
def test_numbers_of_the_file_that_fail_their_checksum_are_not_believed(path: Path, harm: str) -> None:
    filled(path, 5)
    with opened(path) as store:
        epoch = store.submit(Transaction.old_epoch).result()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"UPDATE meta SET {harm}")  # noqa: S608 - the parameter above
        connection.commit()

    with opened(path) as store:
        assert (store.recoveries[0].salvaged, store.recoveries[0].lost) == (5, 0)
        assert store.submit(Transaction.old_epoch).result() != epoch
        assert store.submit(Transaction.total_tx).result() == 5


def test_a_file_of_version_1_keeps_everything_and_gets_the_checksums(path: Path) -> None:
    filled(path, 5)
    with opened(path) as store:
        epoch = store.submit(Transaction.old_epoch).result()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript("ALTER TABLE meta DROP COLUMN checksum; PRAGMA user_version = 1")

    for _ in range(2):
        with opened(path) as store:
            assert store.recoveries == []
            assert counters(store) == [1, 2, 3, 4, 5]
            assert store.submit(Transaction.old_epoch).result() == epoch
            assert store.submit(Transaction.total_tx).result() == 5


def test_a_row_whose_time_cannot_be_read_is_deleted_all_the_same(path: Path) -> None:
    filled(path, 2)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE events SET accepted_ms = 'x' WHERE counter = 1")
        connection.commit()

    with opened(path) as store:
        assert store.submit(lambda transaction: transaction.delete([who(1), who(2)])).result() == [1002]
        until(lambda: store.stats.events == 0)


def test_a_damaged_file_and_its_log_are_kept_as_they_were_found(path: Path) -> None:
    log = path.with_name("outbox.db-wal")
    with opened(path) as store:
        for counter in range(3):
            add(store, counter).result()
        found = path.read_bytes(), log.read_bytes()  # as after a kill: nothing has been copied into the file yet
    path.write_bytes(b"garbage" + found[0][7:])
    log.write_bytes(found[1])

    with opened(path) as store:
        kept_as = store.recoveries[0].kept_as

    assert kept_as.read_bytes() == b"garbage" + found[0][7:]
    assert kept_as.with_name(kept_as.name + "-wal").read_bytes() == found[1]


def test_rows_in_the_log_of_a_damaged_file_are_salvaged_and_the_file_stays_as_it_was(path: Path) -> None:
    filled(path, 400)
    log = path.with_name("outbox.db-wal")
    with opened(path) as store:
        add(store, 401).result()
        content, logged = bytearray(path.read_bytes()), log.read_bytes()
    page = content.index(b"reading 000200") // PAGE_BYTES
    content[page * PAGE_BYTES : (page + 1) * PAGE_BYTES] = b"\xff" * PAGE_BYTES
    path.write_bytes(content)
    log.write_bytes(logged)

    with opened(path) as store:
        kept_as = store.recoveries[0].kept_as
        assert 401 in counters(store)

    assert kept_as.read_bytes() == content
    assert kept_as.with_name(kept_as.name + "-wal").read_bytes() == logged


def test_a_file_whose_making_was_killed_half_way_is_made_by_the_next_start(path: Path) -> None:
    making = path.with_name("making.db")
    making.parent.mkdir()
    making.touch()
    with contextlib.closing(sqlite3.connect(making, isolation_level=None)) as connection:
        connection.executescript("PRAGMA cache_size = 1; BEGIN; CREATE TABLE events (x)")
        for _ in range(20):  # more than the cache holds, so that the file is written before the commit
            connection.execute("INSERT INTO events VALUES (zeroblob(4096))")
        for suffix in ("", "-journal"):
            shutil.copy(making.with_name(making.name + suffix), path.with_name(path.name + suffix))
    assert path.stat().st_size > 0

    with opened(path) as store:
        assert add(store, 1).result() is not None
        assert store.recoveries == []


@pytest.mark.parametrize("is_wal_left", [False, True])
def test_a_recovery_that_was_killed_half_way_is_finished_by_the_next_start(path: Path, is_wal_left: bool) -> None:
    filled(path, 3)
    path.rename(path.with_name("outbox.db.salvaged"))
    if is_wal_left:
        path.with_name("outbox.db-wal").write_bytes(b"of the damaged file")

    with opened(path) as store:
        assert counters(store) == [1, 2, 3]
        assert store.recoveries == []


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
