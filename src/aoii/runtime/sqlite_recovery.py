"""Outbox and dead letters as SQLite files: opened by their owner and by others, checked, recovered when damaged.

A damaged file is never written to again. Check and recovery read it through connections that cannot write, because
closing any other connection would copy the write-ahead log into the file. This module knows whether a file is sound,
which of its rows can be read, and how a new file takes its place even if the process is killed meanwhile. The station
decides what becomes of the rows (gateway/drivers/outbox_recovery.py, server/dead_letters/file.py).
"""

import collections
import contextlib
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from aoii.security import private_file

R = TypeVar("R")

UNREADABLE = (sqlite3.DatabaseError, UnicodeDecodeError)  # the second if SQLite's message quotes a damaged name

REPAIRED_SUFFIX = ".mended"  # of a copy of a damaged file in which the description of the tables is repaired
LOCK_TIMEOUT_S = 5.0  # a station and the command line share a file, each for a few milliseconds
ROWID_LIMIT = 1 << 40  # higher than any rowid that these files will reach
FAILURE_LIMIT = 50_000  # failed reads before the rest of a table is given up; each takes 40 µs
FAILURE_LIMIT_ABOVE = 10_000  # the same above the last known rowid, where nothing should be


@dataclass(frozen=True)
class Schema:
    """The tables of a file: their version (SQLite's `user_version`), and the SQL statements that make them."""

    version: int
    statements: str

    def matches(self, connection: sqlite3.Connection) -> bool:
        """Whether the file has exactly these tables with these columns; True for a file of another version.

        SQLite's own check does not find a flipped bit that renames a column.
        """
        return user_version(connection) != self.version or _columns(connection) == self._in_memory(_columns)

    def entries(self) -> list[tuple[object, ...]]:
        """The rows that `sqlite_schema` has for these tables, in order, without the column `rootpage`."""
        query = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY rowid"
        return self._in_memory(lambda connection: connection.execute(query).fetchall())

    def _in_memory(self, read: Callable[[sqlite3.Connection], R]) -> R:
        with contextlib.closing(sqlite3.connect(":memory:")) as connection:
            connection.executescript(self.statements)
            return read(connection)


def _columns(connection: sqlite3.Connection) -> set[tuple[object, ...]]:
    """Table, name, type and position in the primary key of every column."""
    return set(
        connection.execute(
            "SELECT CAST(entry.name AS BLOB), CAST(col.name AS BLOB), CAST(col.type AS BLOB), pk "
            "FROM sqlite_schema AS entry JOIN pragma_table_info(entry.name) AS col WHERE entry.type = 'table'"
        )
    )


@dataclass(frozen=True)
class Recovery:
    """What became of a damaged file.

    Attributes:
        kept_as: The damaged file's new name.
        salvaged: Number of rows that passed their checksum and are in the new file.
        corrupt: Number of rows that could be read but failed their checksum; the new file lists them for a person.
        lost: Number of rows that could not be read.
        is_lost_exact: Whether `lost` is a count; if not, it is 1 and means "at least one".
    """

    kept_as: Path
    salvaged: int
    corrupt: int
    lost: int
    is_lost_exact: bool


def sibling(path: Path, suffix: str) -> Path:
    """The file beside `path` whose name has `suffix` added."""
    return path.with_name(path.name + suffix)


def connect_as_owner(path: Path) -> sqlite3.Connection:
    """Connect as the station that owns the file; makes a missing file."""
    return sqlite3.connect(path, timeout=LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False)


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Connect without the right to write, unless the file needs a rollback."""
    if sibling(path, "-journal").exists():  # killed while it made the file; only a writer can roll back
        return connect_as_owner(path)
    return _connect_by_uri(path, "mode=ro")


def connect_as_guest(path: Path, writes: bool) -> sqlite3.Connection:
    """Connect to a file that another process owns and may be using; never makes a missing file.

    Args:
        path: The file.
        writes: Whether the connection is to write.

    Raises:
        sqlite3.Error: The file is missing, or we have no right to read or write it.
    """
    # A file without a write-ahead log is not in use. Without `immutable` we would make that log and leave it behind,
    # and the owner would have no right to write to it. A journal is of a writer without that log, as of another
    # program; `immutable` would read what it has not committed.
    is_in_use = any(sibling(path, suffix).exists() for suffix in ("-wal", "-journal"))
    reading = "mode=ro" if is_in_use else "mode=ro&immutable=1"
    connection = _connect_by_uri(path, "mode=rw" if writes else reading)
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_by_uri(path: Path, parameter: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{parameter}", uri=True, timeout=LOCK_TIMEOUT_S, isolation_level=None
    )


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the error means that the file is damaged."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_full(error: sqlite3.Error) -> bool:
    """Whether the error means that there is no room: in the file, whose size is limited, or on the disk."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL


def user_version(connection: sqlite3.Connection) -> int:
    """The `user_version` of the file."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def open_or_recover(
    path: Path,
    schema: Schema,
    check: Callable[[sqlite3.Connection], bool],
    salvage: Callable[[sqlite3.Connection, sqlite3.Connection, Path], R],
    is_damaged: bool = False,
) -> tuple[sqlite3.Connection, R | None]:
    """Open the owner's file, make it if it is missing, or replace it if it is damaged.

    Args:
        path: The file; its folder is made.
        schema: The tables of the newest version; a file of another version is not compared with them.
        check: Returns whether the station's own conditions hold; called before SQLite's check, with text as bytes. If
            it raises an error of SQLite that means damage, that counts as False; any other error is passed on.
        salvage: Makes the tables of the new file and fills them, in a transaction of its own. Its arguments are the
            damaged file (text as bytes), the new file, and the damaged file's future name.
        is_damaged: Whether the file showed damage in use, which the checks may not find.

    Returns:
        The owner's connection, and what `salvage` returned; None if the file was sound or new.

    Raises:
        sqlite3.Error, OSError: The file cannot be opened, and the reason is not damage.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _finish_recovery(path)
    is_sound = not path.exists() or (_is_healthy(path, schema, check) and not is_damaged)
    recovery = None if is_sound else _recover(path, schema, salvage)
    return connect_as_owner(path), recovery


def _is_healthy(path: Path, schema: Schema, check: Callable[[sqlite3.Connection], bool]) -> bool:
    """Whether all checks of the file pass."""
    with contextlib.closing(connect_read_only(path)) as connection:
        connection.text_factory = bytes
        try:
            # quick_check does not compare indexes with tables, and a row that an index lacks would never be deleted
            is_sound = check(connection) and connection.execute("PRAGMA integrity_check(1)").fetchone()[0] == b"ok"
            return is_sound and schema.matches(connection)
        except UNREADABLE as error:
            if isinstance(error, UnicodeDecodeError) or is_damage(error):
                return False
            raise


# If a recovery is killed, the next start continues it. As long as the damaged file is in its place, the new file is not
# complete and is made again. Once the damaged file has been moved away, the new file is complete and takes its place.


def _finish_recovery(path: Path) -> None:
    """Finish a recovery that was killed, if there was one. Call this before the file is opened."""
    new = sibling(path, ".salvaged")
    _remove(sibling(path, REPAIRED_SUFFIX))
    if path.exists():
        _remove(new)
    elif new.exists():
        for suffix in ("-wal", "-shm"):  # they belong to the damaged file; SQLite would apply them to the new one
            sibling(path, suffix).unlink(missing_ok=True)
        new.rename(path)


def _recover(path: Path, schema: Schema, salvage: Callable[[sqlite3.Connection, sqlite3.Connection, Path], R]) -> R:
    """Put a new file in the place of a damaged one, which is kept under another name; return what `salvage` returns."""
    new, kept_as = sibling(path, ".salvaged"), sibling(path, f".corrupt-{time.time_ns()}")
    source = _with_sound_schema(path, schema)
    with contextlib.closing(connect_read_only(source)) as damaged, contextlib.closing(connect_as_owner(new)) as target:
        damaged.text_factory = bytes
        damaged.execute("PRAGMA writable_schema = ON")  # otherwise nothing of a truncated file can be read
        result = salvage(damaged, target, kept_as)
    _remove(sibling(path, REPAIRED_SUFFIX))
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            sibling(path, suffix).rename(sibling(kept_as, suffix))
    new.rename(path)
    private_file.sync(path.parent)
    return result


def _with_sound_schema(path: Path, schema: Schema) -> Path:
    """The damaged file, or, if the description of its tables is damaged, a copy in which that is repaired."""
    with contextlib.closing(connect_read_only(path)) as damaged:
        try:
            if schema.matches(damaged):
                return path
        except UNREADABLE:  # the description itself cannot be read
            pass
    repaired = sibling(path, REPAIRED_SUFFIX)
    try:
        for suffix in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(sibling(path, suffix), sibling(repaired, suffix))
        with contextlib.closing(connect_as_owner(repaired)) as connection:
            connection.execute("PRAGMA writable_schema = ON")
            places = [place for (place,) in connection.execute("SELECT rowid FROM sqlite_schema ORDER BY rowid")]
            changes = [(*entry, place) for entry, place in zip(schema.entries(), places, strict=True)]
            connection.execute("BEGIN")
            connection.executemany(
                "UPDATE sqlite_schema SET type = ?, name = ?, tbl_name = ?, sql = ? WHERE rowid = ?", changes
            )
            connection.execute("COMMIT")
    except (*UNREADABLE, ValueError):  # more than the description is damaged
        return path
    return repaired


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        sibling(path, suffix).unlink(missing_ok=True)


def readable_rows(damaged: sqlite3.Connection, table: str, columns: str) -> Iterator[tuple[object, ...]]:
    """Every row that can be read, in no order. The first of `columns` must be the rowid.

    A range of rowids is read from both ends up to a bad page. What is left in the middle is halved, and each half is
    read in the same way, the widest range first. So a bad first page, which SQLite reads for each rowid below the first
    row, hides no other row. After FAILURE_LIMIT failed reads the rest is given up.
    """
    query = f"SELECT {columns} FROM {table} NOT INDEXED WHERE rowid BETWEEN ? AND ? ORDER BY rowid"  # noqa: S608 - constants
    last = min(max(0, last_rowid(damaged, table)), ROWID_LIMIT)
    for first, end, limit in ((1, last, FAILURE_LIMIT), (last + 1, ROWID_LIMIT, FAILURE_LIMIT_ABOVE)):
        ranges = collections.deque([(first, end)])
        failures = 0
        while ranges and failures < limit:
            low, high = ranges.popleft()
            try:
                for row in damaged.execute(query, (low, high)):
                    yield row
                    low = max(low, row[0] + 1)
                continue
            except UNREADABLE:
                failures += 1
            with contextlib.suppress(*UNREADABLE):
                for row in damaged.execute(f"{query} DESC", (low, high)):
                    yield row
                    high = min(high, row[0] - 1)
            if low < high:
                middle = (low + high) // 2
                ranges += [(low, middle), (middle + 1, high)]


def last_rowid(damaged: sqlite3.Connection, table: str) -> int:
    """The highest rowid that an AUTOINCREMENT table has given to a row; 0 if it cannot be read."""
    return read_number(damaged, f"SELECT seq FROM sqlite_sequence WHERE name = '{table}'") or 0  # noqa: S608 - constants


def read_number(connection: sqlite3.Connection, query: str) -> int | None:
    """The first column of a query's first row; None if it is not an integer or cannot be read."""
    with contextlib.suppress(*UNREADABLE):
        row = connection.execute(query).fetchone()
        if row is not None and isinstance(row[0], int):
            return row[0]
    return None
