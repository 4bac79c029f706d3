"""Opening an outbox file that is new, old, newer, damaged, or half made."""

import contextlib
import os
import re
import shutil
import sqlite3
from pathlib import Path

import pytest

from aoii.gateway.drivers.outbox_file import OutboxFile
from aoii.gateway.drivers.outbox_recovery import OutboxBrokenError
from aoii.gateway.drivers.outbox_transaction import Transaction
from aoii.runtime.sqlite_pages import PAGE_BYTES
from gateway.drivers.outbox_files import MEGABYTE, add, counters, filled, opened, who
from servers import until


def test_a_file_of_a_newer_version_is_left_alone(path: Path) -> None:
    with opened(path):
        pass
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")

    with pytest.raises(OutboxBrokenError, match="newer"):
        OutboxFile(path, MEGABYTE)

    assert [file.name for file in path.parent.iterdir() if "corrupt" in file.name] == []


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
    filled(path, 800)
    pages = path.stat().st_size // PAGE_BYTES
    os.truncate(path, pages * 6 // 10 * PAGE_BYTES)

    with opened(path) as store:
        recovery = store.recoveries[0]
        kept = counters(store)

    assert recovery.salvaged == len(kept) > 300
    assert kept == list(range(1, len(kept) + 1))
    assert recovery.lost >= 1


def test_rows_behind_thousands_that_cannot_be_read_are_salvaged(path: Path) -> None:
    with opened(path) as store:
        store.submit(lambda transaction: [
            transaction.insert(who(counter), "d", 1, b"reading %06d" % counter, 1) for counter in range(1, 16_001)
        ]).result()  # fmt: skip
    before = path.read_bytes()
    content = bytearray(before)
    for found in re.finditer(rb"reading (\d{6})", before):
        if 1000 <= int(found[1]) < 14_000:
            first = found.start() // PAGE_BYTES * PAGE_BYTES
            content[first : first + PAGE_BYTES] = b"\xff" * PAGE_BYTES
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
def test_lost_rows_of_the_quarantine_are_counted_or_at_least_reported(path: Path, is_counted: bool) -> None:
    filled(path, 40)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE events SET checksum = 0 WHERE counter <= 30")
        connection.commit()
    with opened(path) as store:
        assert counters(store) == list(range(31, 41))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("VACUUM")  # what a deleted row leaves behind would be found below as well
        ((page,),) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'corrupt'")
    if is_counted:  # the length of a row, which is then longer than the pages that it has
        content = bytearray(path.read_bytes())
        leaf = content.index(b"reading 000030") // PAGE_BYTES * PAGE_BYTES
        row = leaf + int.from_bytes(content[leaf + 8 : leaf + 10])
        content[row : row + 2] = b"\xff\x7f"
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


def test_the_quarantine_is_kept_when_the_file_is_damaged_later(path: Path) -> None:
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
def test_a_row_without_a_sound_column_does_not_stop_the_others(path: Path, damage: str) -> None:
    filled(path, 3)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"UPDATE events SET {damage} WHERE counter = 1")  # noqa: S608 - the parameter above
        connection.commit()

    with opened(path) as store:
        assert counters(store) == [2, 3]
        assert (store.corrupt_found, store.events) == (1, 2)
        until(lambda: isinstance(store.oldest_ms, int))

    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT seq FROM corrupt").fetchall() == [(1,)]


@pytest.mark.parametrize("harm", ["value = value + 1 WHERE name = 'total_tx'", "name = 'x' WHERE name = 'old_epoch'"])
def test_numbers_of_the_file_that_fail_their_checksum_are_not_used(path: Path, harm: str) -> None:
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
