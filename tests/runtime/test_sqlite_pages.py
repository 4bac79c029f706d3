import contextlib
import sqlite3
from pathlib import Path

import pytest

from aoii.runtime import sqlite_pages


def made(path: Path, page_bytes: int, rows: int = 50) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA page_size = {page_bytes}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL UNIQUE)")
        connection.execute("PRAGMA user_version = 3")
        with connection:
            connection.executemany("INSERT INTO t (text) VALUES (?)", ((f"{n} {'x' * 300}",) for n in range(rows)))
            connection.execute("DELETE FROM t WHERE id > ?", (rows - 5,))


def content(connection: sqlite3.Connection) -> list[object]:
    pragmas = [connection.execute(f"PRAGMA {name}").fetchone() for name in ("user_version", "auto_vacuum")]
    return [*pragmas, *connection.execute("SELECT * FROM t"), *connection.execute("SELECT * FROM sqlite_sequence")]


def test_a_file_of_an_earlier_release_gets_small_pages_and_keeps_its_rows_and_numbers(tmp_path: Path) -> None:
    made(tmp_path / "a.db", 4096)
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        before = content(connection)
        assert sqlite_pages.rebuild(connection)
        sqlite_pages.log_ahead(connection, 1_000_000)
        assert connection.execute("PRAGMA page_size").fetchone() == (1024,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert content(connection) == before
        assert not sqlite_pages.rebuild(connection), "once is enough"


def test_a_file_that_another_process_reads_keeps_its_pages_and_works_on(tmp_path: Path) -> None:
    made(tmp_path / "a.db", 4096)
    with (
        contextlib.closing(sqlite3.connect(tmp_path / "a.db")) as reader,
        contextlib.closing(sqlite3.connect(tmp_path / "a.db", timeout=0)) as connection,
    ):
        before = content(reader)
        assert not sqlite_pages.rebuild(connection)
        sqlite_pages.log_ahead(connection, 1_000_000)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        connection.execute("INSERT INTO t (text) VALUES ('new')")
        connection.commit()
        assert content(connection)[: len(before) - 1] == before[:-1]


def test_a_large_file_is_not_copied_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_pages, "REBUILD_LIMIT_BYTES", 100_000)
    made(tmp_path / "a.db", 4096, rows=1000)
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        assert not sqlite_pages.rebuild(connection)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
