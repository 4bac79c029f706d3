"""The imitated database of a history: SQLite, which may be away, refuse readings, and forget what it has committed."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from aoii.server import tables
from aoii.server.database_errors import DatabaseAway
from histories.disks import new_file, read_whole, write_whole
from histories.engine import Engine
from histories.installation import settings_of

_migrate = tables.migrate


class DatabaseMachine:
    """The imitated database: SQLite in the place of MariaDB, which may be away, and forget what it has committed.

    Attributes:
        is_up: Whether it answers.
        unsure: So many next commits are made, and their answer is lost.
    """

    def __init__(self) -> None:
        self.is_up = True
        self.unsure = 0
        self._file = _database_file()
        self.engine = _engine()
        write_whole(self._file, _template())

    def migrate(self) -> None:
        if not self.is_up:
            raise DatabaseAway("unreachable", "the database is away")
        if not self._file.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            write_whole(self._file, _template())

    def dump(self) -> bytes:
        return read_whole(self._file)

    def restore(self, dump: bytes) -> None:
        write_whole(self._file, dump)

    def replace(self, has_tables: bool) -> None:
        """Another database, in which is nothing."""
        write_whole(self._file, _template() if has_tables else _blank())

    def lose_last(self, count: int) -> int:
        """Forget the last commits, as far as they made rows; return how many rows."""
        if not self._read("SELECT 1"):
            return 0
        query = "DELETE FROM readings WHERE id IN (SELECT id FROM readings ORDER BY id DESC LIMIT ?)"
        return self._file.execute(query, (count,)).rowcount

    def rows(self) -> Iterator[tuple[str, int, int, int, int]]:
        """Node, epoch, counter and content of each reading."""
        query = "SELECT node, epoch, counter, actual_temp, actual_humidity FROM readings"
        for node, epoch, counter, temperature, humidity in self._read(query):
            yield node, epoch, counter, round(100 * temperature), round(100 * humidity)

    def rows_in_gaps(self) -> list[tuple[str, int, int]]:
        """Node, epoch and counter of readings that are there, and whose numbers a gap has nevertheless."""
        return self._read(
            "SELECT readings.node, readings.epoch, counter FROM gaps CROSS JOIN readings ON readings.node = gaps.node "
            "AND readings.epoch = gaps.epoch AND counter BETWEEN first AND last"
        )

    def gaps(self) -> list[tuple[str, int, int, int, str]]:
        return self._read("SELECT node, epoch, first, last, state FROM gaps")

    def _read(self, query: str) -> list[tuple[Any, ...]]:
        """Rows as whoever looks from outside sees them; none while there are no tables."""
        has_tables = self._file.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        return self._file.execute(query).fetchall() if has_tables else []


_databases: list[DatabaseMachine] = []


@cache
def _database_file() -> sqlite3.Connection:
    return new_file()


@cache
def _engine() -> Any:
    """One engine for all histories of this process: its statements are compiled once."""
    return Engine(_database_file(), _check_database)


def _check_database() -> None:
    if not current_database().is_up:
        away = sqlite3.OperationalError("the database is away")
        away.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
        raise away


@cache
def _template() -> bytes:
    """A database with tables and nothing in them."""
    folder = Path(mkdtemp(prefix="histories-"))
    path = folder / "template.db"
    values = replace(settings_of("template", 0).database, sqlite_path=path)
    _migrate(values)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        return connection.serialize()


@cache
def _blank() -> bytes:
    """A database without tables."""
    with sqlite3.connect(":memory:") as connection:
        connection.execute("PRAGMA user_version = 1")
        connection.execute("PRAGMA user_version = 0")
        return connection.serialize()


def current_database() -> DatabaseMachine:
    return _databases[-1]


def new_database() -> DatabaseMachine:
    """The database of the history that begins."""
    _databases[:] = [DatabaseMachine()]
    return _databases[-1]
