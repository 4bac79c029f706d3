"""The file of dead letters: durable, unique, capped."""

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aoii.broker.messages import Identity, decode_message
from aoii.core.errors import UnavailableError
from aoii.server.dead_letters import store
from aoii.server.dead_letters.store import DeadLetters, DeadLettersFull
from server.samples import a_reading, fill


@pytest.fixture
def letters(tmp_path: Path) -> Iterator[DeadLetters]:
    letters = DeadLetters(tmp_path / "dead_letters.db", 1)
    yield letters
    letters.close()


def test_a_parked_reading_can_be_read_back(letters: DeadLetters) -> None:
    reading = a_reading(5, node="gw/ttyUSB0", transmission_delay_ms=12)

    letters.add([reading], "database_away", "connection refused")

    (letter,) = letters.waiting(10)
    assert decode_message(letter.payload) == reading
    assert (letter.node, letter.epoch, letter.counter, letter.digest) == ("gw/ttyUSB0", 1, 5, reading.digest())
    assert (letter.reason, letter.detail, letter.attempts) == ("database_away", "connection refused", 1)
    assert letter.first_unix_ms == letter.last_unix_ms > 1_600_000_000_000


def test_parking_twice_makes_one_letter_with_the_latest_reason(letters: DeadLetters) -> None:
    letters.add([a_reading(1), a_reading(2)], "database_away", "away")

    letters.add([a_reading(1)], "bad_row", "too hot")

    first, second = letters.letters(10)
    assert (first.counter, first.reason, first.detail, first.attempts) == (1, "bad_row", "too hot", 2)
    assert (second.counter, second.reason, second.attempts) == (2, "database_away", 1)
    assert [letter.counter for letter in letters.waiting(10)] == [2]


def test_the_same_identity_with_another_content_is_another_letter(letters: DeadLetters) -> None:
    letters.add([a_reading(1), a_reading(1, actual_t=30.0)], "mismatch", "")

    assert letters.counts()["mismatch"] == 2
    assert list(letters.identities()) == [Identity("7", 1, 1)] * 2


def test_readings_without_identity_are_letters_of_their_own(letters: DeadLetters) -> None:
    nobody = replace(a_reading(), identity=None)

    letters.add([nobody, nobody, a_reading(3)], "database_away", "")

    assert letters.counts()["database_away"] == 3
    assert list(letters.identities()) == [Identity("7", 1, 3)]


def test_letters_are_removed_and_changed_by_number(letters: DeadLetters) -> None:
    letters.add([a_reading(counter) for counter in range(4)], "database_away", "")
    ids = [letter.id for letter in letters.letters(10)]

    letters.remove(ids[:2])
    letters.change_reasons([(ids[2], "mismatch", "other content")])

    assert letters.counts() == {"database_away": 1, "bad_row": 0, "mismatch": 1, "malformed": 0, "corrupt": 0}
    assert [letter.counter for letter in letters.letters(10, reason="mismatch")] == [2]
    assert [letter.counter for letter in letters.letters(10, after_id=ids[2])] == [3]


def test_at_the_cap_nothing_more_is_taken_and_nothing_is_lost(letters: DeadLetters, tmp_path: Path) -> None:
    kept = fill(letters)

    assert kept > 500
    assert sorted(who.counter for who in letters.identities()) == list(range(kept))
    assert not letters.has_room()
    assert (tmp_path / "dead_letters.db").stat().st_size <= 2**20


def test_room_that_is_made_can_be_used_again(letters: DeadLetters) -> None:
    kept = fill(letters)

    letters.remove(letter.id for letter in letters.letters(kept))

    assert letters.has_room()
    assert fill(letters) > 0.99 * kept  # higher numbers take a little more room


def test_malformed_payloads_are_a_ring(letters: DeadLetters) -> None:
    limit = 2**20 // 4096 // 4

    assert letters.add_malformed([(b"%d" % number, "json: no JSON") for number in range(limit)]) == 0
    assert letters.add_malformed([(b"new", "json: no JSON"), (b"newer", "json: no JSON")]) == 2
    assert letters.add_malformed([(b"%d" % number, "json: no JSON") for number in range(limit + 5)]) == limit + 5

    kept = letters.letters(1000)
    assert [letter.payload for letter in kept] == [b"%d" % number for number in range(5, limit + 5)]
    assert list(letters.identities()) == []


def test_a_huge_payload_is_cut_and_a_full_file_drops_the_malformed_first(letters: DeadLetters) -> None:
    letters.add_malformed([(b"x" * 1_000_000, "size: too long")])

    assert len(letters.letters(1)[0].payload) == store.PAGE_BYTES

    fill(letters)
    assert letters.add_malformed([(b"y" * 5000, "size: too long")] * 100) == 100


def test_a_malformed_payload_of_a_known_sender_is_kept_like_a_reading(letters: DeadLetters) -> None:
    limit = 2**20 // 4096 // 4

    letters.add_unreadable([(Identity("7", 1, 5), b"{}", "range: hot"), (Identity("7", 1, 6), b"{}", "range: hot")])
    letters.add_unreadable([(Identity("7", 1, 5), b"{}", "range: hot")])
    dropped = letters.add_malformed([(b"%d" % number, "json: no JSON") for number in range(limit + 5)])

    assert dropped == 5
    assert list(letters.identities()) == [Identity("7", 1, 5), Identity("7", 1, 6)]
    first, second = letters.letters(2)
    assert (first.reason, first.detail, first.payload, first.attempts) == ("malformed", "range: hot", b"{}", 2)
    assert second.attempts == 1
    fill(letters)
    with pytest.raises(DeadLettersFull):
        letters.add_unreadable([(Identity("7", 1, n), b"x" * 4000, "range: hot") for n in range(9)])


def test_what_was_parked_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "dead_letters.db"
    script = (
        "import os, pathlib, sys; from server.samples import a_reading; "
        "from aoii.server.dead_letters.store import DeadLetters; "
        "DeadLetters(pathlib.Path(sys.argv[1]), 1).add([a_reading(9)], 'database_away', ''); os.kill(os.getpid(), 9)"
    )
    environ = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}

    ended = subprocess.run([sys.executable, "-c", script, str(path)], env=environ, check=False)

    assert ended.returncode == -9

    assert list(DeadLetters(path, 1).identities()) == [Identity("7", 1, 9)]


def damage(path: Path, marker: bytes) -> None:
    """Overwrite the page that holds `marker`."""
    content = bytearray(path.read_bytes())
    page = content.index(marker) // store.PAGE_BYTES * store.PAGE_BYTES
    content[page : page + store.PAGE_BYTES] = b"\xff" * store.PAGE_BYTES
    path.write_bytes(content)


def filled(path: Path, count: int = 200) -> None:
    with contextlib.closing(DeadLetters(path, 4)) as letters:
        letters.add([a_reading(number) for number in range(count)], "database_away", "")


def test_a_file_that_is_no_database_is_kept_beside_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "dead_letters.db"
    path.write_bytes(b"not a database at all" * 500)

    with contextlib.closing(DeadLetters(path, 1)) as letters:
        (recovery,) = letters.recoveries
        letters.add([a_reading(1)], "bad_row", "")

    assert recovery.kept_as.read_bytes() == b"not a database at all" * 500
    assert (recovery.salvaged, recovery.corrupt, recovery.lost, recovery.is_lost_exact) == (0, 0, 1, False)


def test_from_a_damaged_file_what_passes_is_kept_and_what_is_gone_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "dead_letters.db"
    filled(path)
    damage(path, b'"counter":100,')

    with contextlib.closing(DeadLetters(path, 4)) as letters:
        (recovery,) = letters.recoveries
        kept = letters.letters(1000)
        letters.add([a_reading(1000)], "bad_row", "")
        newest = letters.letters(1, reason="bad_row")[0]

    assert recovery.salvaged == len(kept) > 150
    assert (recovery.corrupt, recovery.lost, recovery.is_lost_exact) == (0, 200 - len(kept), True)
    assert all(letter.is_sound and letter.reason == "database_away" for letter in kept)
    assert newest.id > 200, "no number is given to a second letter"


def test_a_letter_that_fails_its_checksum_is_shown_as_corrupt_and_never_inserted(tmp_path: Path) -> None:
    path = tmp_path / "dead_letters.db"
    filled(path)
    damage(path, b'"counter":100,')
    path.write_bytes(path.read_bytes().replace(b'"counter":7,', b'"counter":8,'))

    with contextlib.closing(DeadLetters(path, 4)) as letters:
        (recovery,) = letters.recoveries
        (corrupt,) = letters.letters(9, reason="corrupt")
        waiting = [letter.counter for letter in letters.waiting(1000)]

    assert recovery.corrupt == 1
    assert (corrupt.node, corrupt.counter, corrupt.attempts) == ("7", 7, 1)
    assert b'"counter":8,' in corrupt.payload
    assert 7 not in waiting


def test_a_flipped_bit_in_the_name_of_a_column_costs_no_letter(tmp_path: Path) -> None:
    path = tmp_path / "dead_letters.db"
    filled(path, 20)
    path.write_bytes(
        path.read_bytes().replace(b"digest TEXT", b"eigest TEXT").replace(b"counter, digest", b"counter, eigest")
    )

    with contextlib.closing(DeadLetters(path, 4)) as letters:
        (recovery,) = letters.recoveries
        assert len(letters.letters(1000)) == recovery.salvaged == 20


def test_damage_that_appears_while_running_is_healed_without_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "dead_letters.db"
    filled(path)
    with contextlib.closing(DeadLetters(path, 4)) as letters:
        damage(path, b'"counter":100,')

        with pytest.raises(UnavailableError, match="saves what it can"):
            letters.letters(1000)

        assert len(letters.letters(1000)) == letters.recoveries[0].salvaged > 150


def test_a_recovery_that_was_killed_half_way_is_finished_by_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "dead_letters.db"
    filled(path, 3)
    path.rename(tmp_path / "dead_letters.db.salvaged")

    with contextlib.closing(DeadLetters(path, 1)) as letters:
        assert len(letters.letters(9)) == 3
        assert letters.recoveries == []


OLD_SCHEMA = """
CREATE TABLE letters (
    id INTEGER PRIMARY KEY, reason TEXT NOT NULL, detail TEXT NOT NULL, node TEXT, epoch INTEGER, counter INTEGER,
    digest TEXT, payload BLOB NOT NULL, first_unix_ms INTEGER NOT NULL, last_unix_ms INTEGER NOT NULL,
    attempts INTEGER NOT NULL, UNIQUE (node, epoch, counter, digest)
) STRICT;
CREATE INDEX letters_reason ON letters (reason, id);
INSERT INTO letters VALUES (3, 'bad_row', 'hot', '7', 1, 5, 'd', x'7b7d', 1000, 2000, 4),
    (9, 'malformed', 'json', NULL, NULL, NULL, NULL, x'ff', 1500, 1500, 1);
"""


def test_an_older_file_is_brought_up_to_date_with_everything_in_it(tmp_path: Path) -> None:
    path = tmp_path / "dead_letters.db"
    with contextlib.closing(sqlite3.connect(path)) as older:
        older.executescript(f"PRAGMA journal_mode = WAL; {OLD_SCHEMA}")
    with pytest.raises(UnavailableError, match="start the server once"):
        store.visit(path)

    with contextlib.closing(DeadLetters(path, 1)) as letters:
        first, second = letters.letters(9)
        letters.add([a_reading(1)], "bad_row", "")
        third = letters.letters(1, after_id=second.id)[0]

    assert (first.id, first.reason, first.detail, first.node, first.epoch, first.counter, first.digest) == (
        3, "bad_row", "hot", "7", 1, 5, "d",
    )  # fmt: skip
    assert (first.payload, first.first_unix_ms, first.last_unix_ms, first.attempts) == (b"{}", 1000, 2000, 4)
    assert (second.id, second.payload, second.node, second.is_sound, first.is_sound) == (9, b"\xff", None, True, True)
    assert third.id == 10


def test_a_damaged_older_file_is_salvaged_as_well(tmp_path: Path) -> None:
    path = tmp_path / "dead_letters.db"
    with contextlib.closing(sqlite3.connect(path)) as older:
        older.executescript(OLD_SCHEMA)
        older.executemany(
            "INSERT INTO letters VALUES (?, 'malformed', '', NULL, NULL, NULL, NULL, ?, 1, 1, 1)",
            [(number, b"payload %03d" % number + bytes(400)) for number in range(100, 200)],
        )
        older.commit()
    damage(path, b"payload 150")

    with contextlib.closing(DeadLetters(path, 4)) as letters:
        (recovery,) = letters.recoveries
        assert len(letters.letters(1000)) == recovery.salvaged > 80
        assert recovery.lost == 102 - recovery.salvaged


def test_a_file_of_a_newer_aoii_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "dead_letters.db"
    filled(path, 1)
    with contextlib.closing(sqlite3.connect(path)) as newer:
        newer.execute("PRAGMA user_version = 99")

    with pytest.raises(UnavailableError, match="newer aoii"):
        DeadLetters(path, 1)


def test_only_what_a_person_has_seen_is_dropped(letters: DeadLetters) -> None:
    letters.add([a_reading(1), a_reading(2)], "mismatch", "")
    seen = letters.letters(9)
    letters.add([a_reading(2)], "database_away", "")  # it came again meanwhile

    assert letters.drop(seen) == seen[:1]
    assert [letter.counter for letter in letters.letters(9)] == [2]


def test_a_lock_of_somebody_else_is_the_worlds_fault(letters: DeadLetters, tmp_path: Path) -> None:
    letters._connection.execute("PRAGMA busy_timeout = 50")
    other = sqlite3.connect(tmp_path / "dead_letters.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(UnavailableError, match="locked"):
        letters.add([a_reading(1)], "bad_row", "")
    other.execute("ROLLBACK")
    other.close()

    letters.add([a_reading(1)], "bad_row", "")
    assert a_reading(1).identity == next(letters.identities())
