"""Kept readings: in one of the two files at any time, the oldest make room, and no failure is one of the outbox."""

import contextlib
import functools
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from aoii.broker.messages import Committed, payload_digest
from aoii.core.errors import ProtocolError
from aoii.gateway.drivers import kept_file, kept_rows
from aoii.gateway.drivers.kept_file import KeptUnavailableError
from aoii.gateway.drivers.outbox_file import OutboxFile
from aoii.gateway.drivers.outbox_transaction import Transaction
from aoii.gateway.numbers import GivenBack, NodeNumbers, Stretch
from gateway.drivers.outbox_files import ALL, MEGABYTE, add, counters, disk, held, opened, who
from servers import until

EVERY = (0, 2**63 - 1)


@pytest.fixture
def keeping(path: Path) -> Iterator[OutboxFile]:
    with opened(path, keep_bytes=MEGABYTE) as store:
        yield store


def remove(store: OutboxFile, numbers: Iterable[int]) -> list[int]:
    return store.submit(functools.partial(Transaction.delete, identities=[who(one) for one in numbers])).result()


def find(store: OutboxFile, first: int = 0, last: int = EVERY[1], limit: int = 1000) -> list[Stretch]:
    return store.submit(lambda transaction: transaction.find("7", 1, first, last, limit)).result()


def give_back(store: OutboxFile, first: int, last: int, limit: int = 500) -> GivenBack:
    return store.submit(lambda transaction: transaction.give_back("7", 1, first, last, limit)).result()


def fill(store: OutboxFile, numbers: Iterable[int], payload: bytes = b"payload") -> None:
    def work(transaction: Transaction) -> None:
        for one in numbers:
            assert transaction.insert(who(one), "d", 1, payload, 1000 + one) is not None

    store.submit(work).result()


def kept(path: Path) -> list[int]:
    with contextlib.closing(sqlite3.connect(path.with_name("kept.db"))) as other:
        return [one for (one,) in other.execute("SELECT counter FROM kept ORDER BY id")]


def test_what_is_acknowledged_is_kept_byte_for_byte_and_can_be_given_back(keeping: OutboxFile, path: Path) -> None:
    payloads = {one: b"reading %d" % one for one in range(1, 6)}
    for one, payload in payloads.items():
        add(keeping, one, payload)
    acks = [Committed(who(one), "parked", payload_digest(payloads[one])) for one in (1, 2, 4)]
    keeping.submit(lambda transaction: transaction.acknowledge(acks)).result()
    assert (counters(keeping), kept(path), keeping.kept.readings) == ([3, 5], [1, 2, 4], 3)

    assert give_back(keeping, *EVERY) == GivenBack(3, None)

    items = keeping.submit(lambda transaction: transaction.fetch(ALL)).result().items
    assert [(item.seq, item.identity.counter) for item in items] == [(3, 3), (5, 5), (6, 1), (7, 2), (8, 4)]
    assert {item.identity.counter: item.payload for item in items} == payloads
    assert keeping.submit(Transaction.total_tx).result() == 5
    assert kept(path) == [1, 2, 4]
    remove(keeping, [1, 2, 4])  # acknowledged once more
    assert (kept(path), keeping.kept.readings, keeping.events) == ([1, 2, 4], 3, 2)


def test_giving_back_goes_on_where_it_stopped_and_passes_over_what_waits(keeping: OutboxFile) -> None:
    fill(keeping, range(10))
    remove(keeping, range(10))
    assert give_back(keeping, 4, 5) == GivenBack(2, None)

    assert give_back(keeping, 0, 8, limit=5) == GivenBack(4, 5)
    assert give_back(keeping, 5, 8, limit=5) == GivenBack(3, None)
    assert sorted(counters(keeping)) == list(range(9))


def test_numbers_are_found_where_they_are(keeping: OutboxFile) -> None:
    fill(keeping, [3, 4, 5, 8])
    remove(keeping, [4, 5])

    assert find(keeping) == [
        Stretch(0, 2, "absent"),
        Stretch(3, 3, "waiting"),
        Stretch(4, 5, "kept"),
        Stretch(6, 7, "absent"),
        Stretch(8, 8, "waiting"),
        Stretch(9, 2**63 - 1, "absent"),
    ]
    assert find(keeping, 4, 6) == [Stretch(4, 5, "kept"), Stretch(6, 6, "absent")]
    assert find(keeping, limit=2) == find(keeping)[:2]
    assert keeping.submit(Transaction.numbers).result() == [NodeNumbers("7", 1, 3, 8, 2)]
    assert keeping.submit(lambda transaction: transaction.find("8", 1, 3, 4)).result() == [Stretch(3, 4, "absent")]


def test_many_kept_readings_are_read_step_by_step(keeping: OutboxFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_file, "READ_STEP", 3)
    fill(keeping, range(7))
    remove(keeping, range(6))

    assert find(keeping, 0, 6) == [Stretch(0, 5, "kept"), Stretch(6, 6, "waiting")]


def test_a_kept_reading_that_comes_again_is_no_new_one_and_with_another_content_a_conflict(keeping: OutboxFile) -> None:
    add(keeping, 1)
    remove(keeping, [1])

    assert add(keeping, 1).result() is None
    with pytest.raises(ProtocolError) as caught:
        add(keeping, 1, digest="other").result()
    assert caught.value.reason == "conflict"
    assert counters(keeping) == []


def test_what_one_request_removes_is_kept_for_the_next_one_in_the_same_commit(keeping: OutboxFile) -> None:
    fill(keeping, [1, 2])
    with held(keeping):
        keeping.submit(lambda transaction: transaction.delete([who(1)]))
        again = add(keeping, 1)
        found = keeping.submit(lambda transaction: transaction.find("7", 1, 1, 2))

    assert again.result() is None
    assert found.result() == [Stretch(1, 1, "kept"), Stretch(2, 2, "waiting")]


def test_what_a_failed_request_removed_is_not_kept(keeping: OutboxFile, path: Path) -> None:
    fill(keeping, [1, 2])

    def half(transaction: Transaction) -> None:
        transaction.delete([who(1)])
        raise ZeroDivisionError

    with held(keeping):
        failing = keeping.submit(half)
        keeping.submit(lambda transaction: transaction.delete([who(2)]))

    assert isinstance(failing.exception(), ZeroDivisionError)
    assert (counters(keeping), kept(path)) == ([1], [2])


def test_the_oldest_make_room_and_their_numbers_are_remembered(path: Path) -> None:
    with opened(path, keep_bytes=MEGABYTE) as store:
        for first in range(0, 4000, 500):
            fill(store, range(first, first + 500), bytes(800))
            remove(store, range(first, first + 500))
        assert store.kept.failures == 0
        until(lambda: 0.5 * MEGABYTE < store.kept.used_bytes <= MEGABYTE)

        forgotten, keeps, above = find(store)

        assert (forgotten.first, forgotten.place, above.first) == (0, "forgotten", 4000)
        assert keeps == Stretch(forgotten.last + 1, 3999, "kept")
        assert store.kept.readings == 3999 - forgotten.last
        assert store.submit(Transaction.numbers).result() == [NodeNumbers("7", 1, 0, 3999, 0)]
        until(lambda: store.kept.oldest_ms == 1000 + keeps.first)
        until(lambda: store.kept.has_forgotten)
    assert path.with_name("kept.db").stat().st_size < 2 * MEGABYTE


def test_a_smaller_limit_is_reached_step_by_step_and_the_room_goes_back_to_the_disk(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_file, "FREE_PAGES", 100)
    with opened(path, keep_bytes=8 * MEGABYTE) as store:
        fill(store, range(2000), bytes(1000))
        remove(store, range(2000))
    large = path.with_name("kept.db").stat().st_size

    with opened(path, keep_bytes=MEGABYTE) as store:
        assert find(store)[0].place == "forgotten"  # only one step by now
        assert store.kept.used_bytes > MEGABYTE
        until(lambda: store.kept.used_bytes <= MEGABYTE)

    assert path.with_name("kept.db").stat().st_size < large


def test_ranges_that_touch_become_one_and_beyond_the_limit_the_nearest_do(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_rows, "RANGES_LIMIT", 3)
    monkeypatch.setattr(kept_rows, "MERGE_STEP", 1)
    path.parent.mkdir()
    connection, _ = kept_rows.open_file(path, is_damaged=False)

    def ranges() -> list[tuple[bytes, int, int]]:
        return connection.execute("SELECT node, first, last FROM forgotten ORDER BY node, first").fetchall()

    with contextlib.closing(connection):
        for numbers in ([1, 2], [5], [4], [3, 9], [2**63 - 1]):
            kept_rows.note_forgotten(connection, [(b"7", 1, one) for one in numbers])
        assert ranges() == [(b"7", 1, 5), (b"7", 9, 9), (b"7", 2**63 - 1, 2**63 - 1)]

        kept_rows.note_forgotten(connection, [(b"8", 1, 6)])

        assert ranges() == [(b"7", 1, 9), (b"7", 2**63 - 1, 2**63 - 1), (b"8", 6, 6)]


DIES = """
import sys
from pathlib import Path
from gateway.drivers.outbox_files import add, who
from aoii.gateway.drivers.outbox_file import OutboxFile
store = OutboxFile(Path(sys.argv[1]), 1 << 24, keep_bytes=1 << 20)
for one in (1, 2, 3):
    add(store, one).result()
store.submit(lambda transaction: transaction.delete([who(1), who(2)])).result()
"""


@pytest.mark.parametrize(("place", "waiting", "keeps"), [
    ("before_kept_commit", [1, 2, 3], []),
    ("after_kept_commit", [1, 2, 3], [1, 2]),
    ("after_outbox_commit:4", [3], [1, 2]),
])  # fmt: skip
def test_a_process_that_is_killed_between_the_two_commits_leaves_the_readings_in_both_files(
    path: Path, place: str, waiting: list[int], keeps: list[int]
) -> None:
    python_path = os.pathsep.join(each for each in sys.path if each)
    environment = os.environ | {"AOII_FAILPOINT": place, "PYTHONPATH": python_path}
    killed = subprocess.run([sys.executable, "-c", DIES, str(path)], env=environment, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL

    with opened(path, keep_bytes=MEGABYTE) as store:
        assert (counters(store), kept(path)) == (waiting, keeps)
        assert (store.recoveries, store.kept.recoveries) == ([], [])
        remove(store, [1, 2, 3])
        assert (counters(store), sorted(kept(path))) == ([], [1, 2, 3])


def test_damage_found_in_use_is_mended_and_the_outbox_does_not_notice(keeping: OutboxFile, path: Path) -> None:
    fill(keeping, range(100), bytes(100))
    remove(keeping, range(100))
    place = path.with_name("kept.db")
    with contextlib.closing(sqlite3.connect(place, isolation_level=None)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with place.open("r+b") as file:
        file.write(b"garbage")
    fill(keeping, [100, 101])

    until(lambda: remove(keeping, [100, 101]) is not None and keeping.kept.recoveries)

    assert (keeping.recoveries, keeping.is_writable, counters(keeping)) == ([], True, [])
    assert find(keeping, 100, 101) == [Stretch(100, 101, "kept")]


def test_a_damaged_file_gives_its_sound_rows_to_a_new_one(path: Path) -> None:
    with opened(path, keep_bytes=MEGABYTE) as store:
        fill(store, range(6))
        remove(store, range(6))
    place = path.with_name("kept.db")
    with contextlib.closing(sqlite3.connect(place, isolation_level=None)) as other:
        kept_rows.note_forgotten(other, [(b"7", 1, 9)])
        other.execute("UPDATE kept SET payload = 'other' WHERE counter = 3")
        other.execute("PRAGMA writable_schema = ON")
        other.execute("UPDATE sqlite_schema SET sql = replace(sql, 'digest', 'digesu')")

    with opened(path, keep_bytes=MEGABYTE) as store:
        assert find(store, 0, 9) == [
            Stretch(0, 2, "kept"),
            Stretch(3, 3, "absent"),
            Stretch(4, 5, "kept"),
            Stretch(6, 8, "absent"),
            Stretch(9, 9, "forgotten"),
        ]
        (recovery,) = store.kept.recoveries
        assert (recovery.salvaged, recovery.corrupt, recovery.lost, store.kept.failures) == (5, 1, 0, 1)


def test_a_kept_reading_that_fails_its_checksum_is_not_given_back_but_forgotten(path: Path) -> None:
    with opened(path, keep_bytes=MEGABYTE) as store:
        fill(store, range(3))
        remove(store, range(3))
    with contextlib.closing(sqlite3.connect(path.with_name("kept.db"), isolation_level=None)) as other:
        other.execute("UPDATE kept SET payload = 'other' WHERE counter = 1")

    with opened(path, keep_bytes=MEGABYTE) as store:
        assert give_back(store, 0, 2) == GivenBack(2, None)
        assert find(store, 0, 2) == [Stretch(0, 0, "waiting"), Stretch(1, 1, "forgotten"), Stretch(2, 2, "waiting")]
        assert (store.kept.failures, store.kept.readings) == (1, 2)


def test_without_its_file_the_outbox_works_and_what_is_not_kept_is_counted(path: Path) -> None:
    path.parent.mkdir()
    path.with_name("kept.db").mkdir()

    with opened(path, keep_bytes=MEGABYTE) as store:
        fill(store, range(5))
        assert remove(store, [0, 1, 2]) != []

        assert (counters(store), store.is_writable) == ([3, 4], True)
        until(lambda: store.kept.failures == 3)
        assert store.kept.failure is not None
        with pytest.raises(KeptUnavailableError):
            find(store)  # rather no answer than a wrong one


def test_a_file_of_a_newer_version_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    place = path.with_name("kept.db")
    with contextlib.closing(sqlite3.connect(place)) as other:
        other.execute("PRAGMA user_version = 9")

    with opened(path, keep_bytes=MEGABYTE) as store:
        fill(store, [1])
        remove(store, [1])
        assert "newer" in (store.kept.failure or "")
    assert list(path.parent.glob("kept.db.corrupt-*")) == []


def test_nothing_is_kept_when_it_is_off(store: OutboxFile, path: Path) -> None:
    fill(store, [1, 2])
    remove(store, [1])

    assert not path.with_name("kept.db").exists()
    assert find(store, 1, 2) == [Stretch(1, 1, "absent"), Stretch(2, 2, "waiting")]
    assert give_back(store, 1, 2) == GivenBack(0, None)
    assert store.submit(Transaction.numbers).result() == [NodeNumbers("7", 1, 2, 2, 1)]


def take_all_room(file: Path) -> None:
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as ballast:
        while ballast.write(bytes(4096)):
            pass


def test_on_a_full_disk_kept_readings_make_room_before_a_reading_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_file, "PRUNE_STEP", 20)  # readings are fifty times as large as usual
    with (
        disk(tmp_path, 48) as small_disk,
        opened(small_disk / "outbox.db", 64 * MEGABYTE, keep_bytes=64 * MEGABYTE) as store,
    ):
        for first in range(0, 800, 50):  # 16 MB
            fill(store, range(first, first + 50), bytes(20_000))
            remove(store, range(first, first + 50))
        assert store.kept.readings == 800
        take_all_room(small_disk / "ballast")

        for number in range(10_000, 10_300):  # 6 MB
            assert add(store, number, bytes(20_000)).result() is not None

        assert store.is_writable
        assert 0 < store.kept.readings < 800

        take_all_room(small_disk / "more")
        for number in range(10_000, 10_300):
            remove(store, [number])

        assert store.kept.failures == 0
        assert find(store, 10_000, 10_299) == [Stretch(10_000, 10_299, "kept")]
        assert find(store, 0, 0) == [Stretch(0, 0, "forgotten")]


def test_the_outbox_file_has_a_name_that_its_copies_have_too(path: Path) -> None:
    with opened(path) as store:
        name = store.submit(Transaction.file_id).result()
        assert store.submit(Transaction.last_seq).result() == 0
        add(store, 1)
        remove(store, [1])
        assert store.submit(Transaction.last_seq).result() == 1
    assert len(name) == 16
    assert int(name, 16) >= 0

    with opened(path) as store:
        assert store.submit(Transaction.file_id).result() == name
    with opened(path.with_name("other.db")) as store:
        assert store.submit(Transaction.file_id).result() != name
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("DELETE FROM meta")
        other.commit()
    with opened(path) as store:
        assert len(store.recoveries) == 1
        assert store.submit(Transaction.file_id).result() == name


def test_an_outbox_file_that_was_put_back_is_noticed_and_what_it_says_of_nodes_is_forgotten(path: Path) -> None:
    with opened(path, keep_bytes=MEGABYTE) as store:
        store.submit(lambda transaction: transaction.set_state("attic/usb0", b"old"))
        fill(store, range(3))
        epoch = store.submit(Transaction.old_epoch).result()
    earlier = path.read_bytes()
    with opened(path, keep_bytes=MEGABYTE) as store:
        assert not store.is_older_copy
        fill(store, range(3, 6))
        remove(store, range(6))
    path.write_bytes(earlier)

    with opened(path, keep_bytes=MEGABYTE) as store:
        assert store.is_older_copy
        assert store.submit(Transaction.old_epoch).result() != epoch
        assert store.submit(Transaction.states).result() == []
        assert counters(store) == [0, 1, 2]
    with opened(path, keep_bytes=MEGABYTE) as store:
        assert not store.is_older_copy
