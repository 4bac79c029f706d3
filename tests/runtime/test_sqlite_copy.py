"""Copies of SQLite files that are in use: as of one instant, one file, and checked."""

import contextlib
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from aoii.core.errors import UnavailableError
from aoii.runtime import sqlite_copy
from aoii.runtime.sqlite_recovery import sibling

ROWS = 2000  # of 1 kB, so that a copy takes more than one step

KILLED = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 5")
connection.execute("BEGIN")
connection.execute("UPDATE numbers SET number = -1, filling = zeroblob(1000)")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in WAL mode with rows, and small steps."""
    monkeypatch.setattr(sqlite_copy, "STEP_PAGES", 50)
    path = tmp_path / "source.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE numbers (number INTEGER, filling BLOB)")
        connection.executemany("INSERT INTO numbers VALUES (?, zeroblob(1000))", ((n,) for n in range(ROWS)))
        connection.commit()
    return path


def test_rows_that_come_while_it_is_copied_neither_get_in_nor_make_it_begin_anew(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    with contextlib.closing(sqlite3.connect(source, isolation_level=None)) as writer:
        writer.execute("INSERT INTO numbers VALUES (-1, NULL)")  # in the write-ahead log only
        steps: list[int] = []

        def write(done: int) -> None:
            steps.append(done)
            writer.execute("INSERT INTO numbers VALUES (-2, NULL)")

        sqlite_copy.copy(source, target, write)
        assert sqlite_copy.rows(target, "numbers") == ROWS + 1

    assert len(steps) > 5
    assert sum(steps) == target.stat().st_size
    assert target.stat().st_mode & 0o777 == 0o600
    assert sqlite_copy.problem(target) is None
    assert [path.name for path in tmp_path.glob("copy.db*")] == ["copy.db"]


def test_damage_is_found(source: Path) -> None:
    content = bytearray(source.read_bytes())
    content[4096 : 2 * 4096] = bytes(4096)
    source.write_bytes(content)

    assert sqlite_copy.problem(source) is not None


def test_a_file_that_is_missing_is_an_error_and_no_empty_file_is_made_of_it(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot be copied"):
        sqlite_copy.copy(tmp_path / "missing.db", tmp_path / "copy.db")

    assert not (tmp_path / "missing.db").exists()


def test_what_a_writer_without_a_log_has_not_committed_is_never_copied(source: Path, tmp_path: Path) -> None:
    """It was killed in a transaction whose pages were written to the file already."""
    with contextlib.closing(sqlite3.connect(source)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    subprocess.run([sys.executable, "-c", KILLED, str(source)], check=False)
    assert sibling(source, "-journal").stat().st_size > 0

    with pytest.raises(UnavailableError, match="cannot be copied"):
        sqlite_copy.copy(source, tmp_path / "copy.db")

    with contextlib.closing(sqlite3.connect(source)) as connection:  # as its program does, which rolls back
        assert connection.execute("SELECT count(*) FROM numbers WHERE number = -1").fetchone() == (0,)
    sqlite_copy.copy(source, tmp_path / "copy.db")
    assert sqlite_copy.rows(tmp_path / "copy.db", "numbers") == ROWS


def test_a_file_that_is_written_without_a_log_while_it_is_copied_is_copied_again(source: Path, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(source, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = DELETE")
        steps: list[int] = []

        def write(done: int) -> None:
            steps.append(done)
            if len(steps) == 2:  # the first pages are copied, the last are not
                writer.execute("UPDATE numbers SET number = number + 100000")

        sqlite_copy.copy(source, tmp_path / "copy.db", write)

    with contextlib.closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("SELECT min(number), max(number) FROM numbers").fetchone() == (100000, 100000 + ROWS - 1)
