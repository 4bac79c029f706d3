"""The stations' SQLite files, when somebody else looks at them and when they are damaged; shared by gateway and server.

A damaged file is not written to again: check and recovery read it through connections that cannot write, and so leave
its write-ahead log where it is, which closing another kind would copy into the file. What a station makes of the rows
is its own affair (`outbox_file`, `letter_file`); here is what is the same for all: is the file sound, which rows can be
read at all, and how a new file takes the place of the old one whenever the process is killed.
"""

import collections
import contextlib
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

R = TypeVar("R")

UNREADABLE = (sqlite3.DatabaseError, UnicodeDecodeError)  # the latter where the error itself quotes a damaged name

MENDED = ".mended"  # the copy from which a file is read whose description of its tables is damaged
LOCK_TIMEOUT_S = 5.0  # a station and the command line share a file, each for a few milliseconds
ROWID_LIMIT = 1 << 40  # more rows than any of these files will ever number
FAILURE_LIMIT = 50_000  # places of a damaged table that cannot be read before the rest is given up; each takes 40 µs
FAILURE_LIMIT_ABOVE = 10_000  # of them above the last row that was numbered, where nothing should be


@dataclass(frozen=True)
class Schema:
    """The tables of a file: their version and the statements that make them."""

    version: int
    statements: str

    def describes(self, connection: sqlite3.Connection) -> bool:
        """Whether a file has these tables with these columns.

        A flipped bit that gives a column another name is none that SQLite's own check could find.
        """
        return _columns(connection) == self._ask(_columns)

    def entries(self) -> list[tuple[object, ...]]:
        """What `sqlite_schema` says of these tables, but for where they lie."""
        query = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY rowid"
        return self._ask(lambda connection: connection.execute(query).fetchall())

    def _ask(self, question: Callable[[sqlite3.Connection], R]) -> R:
        with contextlib.closing(sqlite3.connect(":memory:")) as connection:
            connection.executescript(self.statements)
            return question(connection)


def _columns(connection: sqlite3.Connection) -> set[tuple[object, ...]]:
    """Table, name, type and place in the primary key of every column."""
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
        kept_as: Where the damaged file lies now.
        salvaged: Rows that passed their checksum and are in the new file.
        corrupt: Rows that could be read and failed it; listed in the new file, for a person.
        lost: Rows that could not be read.
        is_lost_exact: Whether `lost` is a count; otherwise nobody knows, and it says at least 1.
    """

    kept_as: Path
    salvaged: int
    corrupt: int
    lost: int
    is_lost_exact: bool


def beside(path: Path, suffix: str) -> Path:
    """The file whose name is longer by `suffix`."""
    return path.with_name(path.name + suffix)


def connect(path: Path) -> sqlite3.Connection:
    """The connection of the file's owner, which makes the file."""
    return sqlite3.connect(path, timeout=LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False)


def connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that writes nothing."""
    if beside(path, "-journal").exists():  # killed while the file was made: only a writer may undo that
        return connect(path)
    return _connect_by_uri(path, "mode=ro")


def visit(path: Path, writes: bool) -> sqlite3.Connection:
    """A connection to a file that another process owns, and may be using; nothing is made.

    Raises:
        sqlite3.Error: It is not there, or may not be read or written.
    """
    if writes:
        connection = _connect_by_uri(path, "mode=rw")
    elif beside(path, "-wal").exists():
        connection = _connect_by_uri(path, "mode=ro")
    else:  # nobody has it open; and a reader that left a log with its own rights would shut the owner out
        connection = _connect_by_uri(path, "mode=ro&immutable=1")
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
    """Whether the error says that the file itself is wrong."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_full(error: sqlite3.Error) -> bool:
    """Whether there is no room, under the cap or on the disk."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL


def version(connection: sqlite3.Connection) -> int:
    """The `user_version` of the file."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def open_sound(
    path: Path,
    schema: Schema,
    check: Callable[[sqlite3.Connection], bool],
    salvage: Callable[[sqlite3.Connection, sqlite3.Connection, Path], R],
    is_damaged: bool = False,
) -> tuple[sqlite3.Connection, R | None]:
    """The connection of the file's owner, once the file is sound or new, and what became of a damaged one.

    Args:
        path: The file; its folder is made.
        schema: Of the present version; an older file is not compared with it.
        check: What else must hold, asked with text as bytes before SQLite's own check; may raise what it likes.
        salvage: Makes the tables of the file that takes the damaged one's place, and fills them, in a transaction of
            its own: gets the damaged file, read with text as bytes, the new file, and where the damaged one will lie.
        is_damaged: Its use has shown that it is, which no check needs to confirm, and not every one does.

    Raises:
        sqlite3.Error, OSError: It cannot be opened for another reason than damage.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _finish_recovery(path)
    is_sound = not path.exists() or (_is_healthy(path, schema, check) and not is_damaged)
    recovery = None if is_sound else _recover(path, schema, salvage)
    return connect(path), recovery


def _is_healthy(path: Path, schema: Schema, check: Callable[[sqlite3.Connection], bool]) -> bool:
    """Whether every check finds the file without damage."""
    with contextlib.closing(connect_to_read(path)) as connection:
        connection.text_factory = bytes
        try:
            # quick_check does not compare an index with its table, and a row that the index misses is never deleted
            is_sound = check(connection) and connection.execute("PRAGMA integrity_check(1)").fetchone()[0] == b"ok"
            return is_sound and (version(connection) != schema.version or schema.describes(connection))
        except UNREADABLE as error:
            if isinstance(error, UnicodeDecodeError) or is_damage(error):
                return False
            raise


# A recovery that is killed at any point is taken up again by the next start: as long as the damaged file is in its
# place the new one is not complete, and afterwards it is.


def _finish_recovery(path: Path) -> None:
    """Before the file is opened: finish what a killed recovery began."""
    new = beside(path, ".salvaged")
    _remove(beside(path, MENDED))
    if path.exists():
        for stale in (new, beside(new, "-journal")):
            stale.unlink(missing_ok=True)
    elif new.exists():
        for suffix in ("-wal", "-shm"):  # of the damaged file: they must not be taken for the new one's
            beside(path, suffix).unlink(missing_ok=True)
        new.rename(path)


def _recover(path: Path, schema: Schema, salvage: Callable[[sqlite3.Connection, sqlite3.Connection, Path], R]) -> R:
    """Put a new file in the place of a damaged one, which is kept beside it."""
    new, kept_as = beside(path, ".salvaged"), beside(path, f".corrupt-{time.time_ns()}")
    source = _with_schema(path, schema)
    with contextlib.closing(connect_to_read(source)) as damaged, contextlib.closing(connect(new)) as target:
        damaged.text_factory = bytes
        damaged.execute("PRAGMA writable_schema = ON")  # otherwise of a file that lacks its end nothing is read at all
        result = salvage(damaged, target, kept_as)
    _remove(beside(path, MENDED))
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            beside(path, suffix).rename(beside(kept_as, suffix))
    new.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return result


def _with_schema(path: Path, schema: Schema) -> Path:
    """The damaged file itself, or, when what is damaged is the description of its tables, a copy with the right one."""
    with contextlib.closing(connect_to_read(path)) as damaged:
        try:
            if version(damaged) != schema.version or schema.describes(damaged):
                return path
        except UNREADABLE:  # the description cannot even be read as one
            pass
    mended = beside(path, MENDED)
    try:
        for suffix in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(beside(path, suffix), beside(mended, suffix))
        with contextlib.closing(connect(mended)) as connection:
            connection.execute("PRAGMA writable_schema = ON")
            places = [place for (place,) in connection.execute("SELECT rowid FROM sqlite_schema ORDER BY rowid")]
            changes = [(*entry, place) for entry, place in zip(schema.entries(), places, strict=True)]
            connection.execute("BEGIN")
            connection.executemany(
                "UPDATE sqlite_schema SET type = ?, name = ?, tbl_name = ?, sql = ? WHERE rowid = ?", changes
            )
            connection.execute("COMMIT")
    except (*UNREADABLE, ValueError):  # more of it is damaged than that
        return path
    return mended


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        beside(path, suffix).unlink(missing_ok=True)


def rows(damaged: sqlite3.Connection, table: str, columns: str) -> Iterator[tuple[object, ...]]:
    """Every row that can be read, in no order. The first column is the rowid.

    Each range is read from both ends until a page is bad, and what is left in the middle halved, the widest first: the
    millions of numbers whose rows have long been deleted lead to the first page, and must not hide the others when
    that one is bad.
    """
    query = f"SELECT {columns} FROM {table} NOT INDEXED WHERE rowid BETWEEN ? AND ? ORDER BY rowid"  # noqa: S608 - constants
    last = min(max(0, last_number(damaged, table)), ROWID_LIMIT)
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


def last_number(damaged: sqlite3.Connection, table: str) -> int:
    """The highest number that an AUTOINCREMENT table has given to a row; 0 when nobody knows."""
    return number(damaged, f"SELECT seq FROM sqlite_sequence WHERE name = '{table}'") or 0  # noqa: S608 - constants


def number(connection: sqlite3.Connection, query: str) -> int | None:
    """The whole number that a query gives; None when a damaged file does not give one."""
    with contextlib.suppress(*UNREADABLE):
        row = connection.execute(query).fetchone()
        if row is not None and isinstance(row[0], int):
            return row[0]
    return None
