"""The file of dead letters: upgraded when it is older, recovered when it is damaged."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from aoii.core.errors import UnavailableError
from aoii.server.dead_letters.file import PAGE_BYTES
from aoii.server.dead_letters.letters import open_letters
from aoii.server.dead_letters.store import DeadLetters
from server.samples import a_reading


def damage(path: Path, marker: bytes) -> None:
    """Overwrite the page that holds `marker`."""
    content = bytearray(path.read_bytes())
    page = content.index(marker) // PAGE_BYTES * PAGE_BYTES
    content[page : page + PAGE_BYTES] = b"\xff" * PAGE_BYTES
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
        open_letters(path)

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
