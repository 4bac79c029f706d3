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

_COUNTER = [column.name for column in tables.READINGS.c if column.name != "id"].index("counter")
_migrate = tables.migrate


GapRow = tuple[str, int, int, int, str]
"""Node, epoch, first and last number, and state of a gap."""


class DatabaseMachine:
    """The imitated database: SQLite in the place of MariaDB, which may be away, and forget what it has committed.

    Attributes:
        is_up: Whether it answers.
        unsure: So many next commits are made, and their answer is lost.
        refuses: Which readings it refuses, as rows that do not fit: divisors of numbers, each with the remainder.
    """

    def __init__(self) -> None:
        self.is_up = True
        self.unsure = 0
        self.refuses: list[tuple[int, int]] = []
        self._file = _database_file()
        self.engine = _engine()
        write_whole(self._file, _template())

    def is_refused(self, counter: int) -> bool:
        """Whether it refuses readings with this number."""
        return any(counter % divisor == remainder for divisor, remainder in self.refuses)

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
        if not self._read("SELECT 1 FROM readings LIMIT 1"):
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

    def gaps(self) -> list[GapRow]:
        return self._read("SELECT node, epoch, first, last, state FROM gaps")

    def _read(self, query: str) -> list[tuple[Any, ...]]:
        """Rows as whoever looks from outside sees them; none while there are no tables."""
        try:
            return self._file.execute(query).fetchall()
        except sqlite3.OperationalError:
            if self._file.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                raise
            return []


_databases: list[DatabaseMachine] = []


@cache
def _database_file() -> sqlite3.Connection:
    return new_file()


@cache
def _engine() -> Any:
    """One engine for all histories of this process: its statements are compiled once."""
    return Engine(_database_file(), _check_database, _check_rows)


def _check_database() -> None:
    if not current_database().is_up:
        away = sqlite3.OperationalError("the database is away")
        away.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
        raise away


def _check_rows(sql: str, rows: Any) -> None:
    database = current_database()
    if not database.refuses or not sql.startswith("INSERT INTO readings "):
        return
    if any(database.is_refused(row[_COUNTER]) for row in rows):
        refused = sqlite3.IntegrityError("a row does not fit")
        refused.sqlite_errorcode = sqlite3.SQLITE_CONSTRAINT
        raise refused


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
