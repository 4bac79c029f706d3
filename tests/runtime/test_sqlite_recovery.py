"""SQLite files opened by owner and guest, checked, and replaced when they are damaged."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from aoii.runtime import sqlite_recovery
from aoii.runtime.sqlite_recovery import Schema

SCHEMA = Schema(1, "CREATE TABLE items (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL);")
COUNT = 2000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with many rows over many pages."""
    path = tmp_path / "items.db"
    with contextlib.closing(sqlite_recovery.connect_as_owner(path)) as connection:
        connection.executescript(f"{SCHEMA.statements} PRAGMA user_version = 1; BEGIN;")
        connection.executemany("INSERT INTO items (text) VALUES (?)", [("x" * 50 + f"#{n}",) for n in range(COUNT)])
        connection.execute("COMMIT")
    return path


def salvage(damaged: sqlite3.Connection, target: sqlite3.Connection, kept_as: Path) -> int:
    """Copy every row that can be read; how many those were."""
    target.executescript(f"{SCHEMA.statements} PRAGMA user_version = 1;")
    rows = list(sqlite_recovery.readable_rows(damaged, "items", "id, CAST(text AS TEXT)"))
    target.execute("BEGIN")
    target.executemany("INSERT INTO items VALUES (?, ?)", rows)
    target.execute("COMMIT")
    return len(rows)


def opened(path: Path, is_damaged: bool = False) -> tuple[int, int | None]:
    """Rows of the file after it was opened, and how many were salvaged."""
    connection, salvaged = sqlite_recovery.open_or_recover(path, SCHEMA, lambda _: True, salvage, is_damaged)
    with contextlib.closing(connection):
        return connection.execute("SELECT count(*) FROM items").fetchone()[0], salvaged


def damage(path: Path, marker: bytes) -> None:
    content = bytearray(path.read_bytes())
    page = content.index(marker) // 4096 * 4096
    content[page : page + 4096] = b"\xff" * 4096
    path.write_bytes(content)


def test_a_sound_file_is_opened_as_it_is(path: Path) -> None:
    assert opened(path) == (COUNT, None)
    assert [file.name for file in path.parent.iterdir()] == ["items.db"]


def test_a_damaged_file_is_replaced_by_what_can_be_read_and_kept_beside_it(path: Path) -> None:
    damage(path, b"#1000")
    content = path.read_bytes()

    rows, salvaged = opened(path)

    assert rows == salvaged
    assert COUNT - 100 < rows < COUNT
    (kept,) = path.parent.glob("items.db.corrupt-*")
    assert kept.read_bytes() == content
    assert opened(path) == (rows, None)


def test_damage_that_only_its_use_has_shown_is_believed(path: Path) -> None:
    assert opened(path, is_damaged=True) == (COUNT, COUNT)


def test_a_renamed_column_is_damage_and_costs_no_row(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"text TEXT", b"tixt TEXT"))

    assert opened(path) == (COUNT, COUNT)


@pytest.mark.parametrize("name", ["items.db", "items.db.salvaged"])
def test_a_recovery_that_was_killed_is_finished(path: Path, name: str) -> None:
    stale = path.parent / "items.db.salvaged"
    if name == "items.db":
        stale.write_bytes(b"half a file")
    else:
        path.rename(stale)

    assert opened(path) == (COUNT, None)
    assert not stale.exists()


def test_a_guest_makes_no_file_and_a_reader_writes_none(path: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())

    with pytest.raises(sqlite3.Error):
        sqlite_recovery.connect_as_guest(tmp_path / "none.db", writes=True)
    with contextlib.closing(sqlite_recovery.connect_as_guest(path, writes=False)) as guest:
        assert guest.execute("SELECT count(*) FROM items").fetchone() == (COUNT,)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            guest.execute("DELETE FROM items")

    assert sorted(tmp_path.iterdir()) == before


def test_the_highest_rowid_outlives_its_row(path: Path) -> None:
    with contextlib.closing(sqlite_recovery.connect_as_owner(path)) as connection:
        connection.execute("DELETE FROM items WHERE id > 10")

        assert sqlite_recovery.last_rowid(connection, "items") == COUNT
        assert sqlite_recovery.last_rowid(connection, "others") == 0
        assert sqlite_recovery.read_number(connection, "SELECT text FROM items") is None
        assert sqlite_recovery.user_version(connection) == 1
