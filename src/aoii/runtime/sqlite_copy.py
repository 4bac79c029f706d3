"""Copies of SQLite files that other processes may be using: made as of one instant, and checked.

A copy of the file alone would lack what is still in the write-ahead log, and may be torn. SQLite's backup API reads
both, here inside one read transaction, so that a writer neither waits nor makes it begin anew.
"""

import contextlib
import fcntl
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from aoii.core.errors import UnavailableError
from aoii.runtime import sqlite_recovery
from aoii.runtime.sqlite_recovery import sibling
from aoii.security import private_file

STEP_PAGES = 2560  # 10 MiB between two reports of progress
ROUNDS_LIMIT = 5  # copies until no station has opened the file meanwhile; a station starts once
LOCK_FIRST, LOCK_BYTES = 0x40000002, 510  # where every open connection to a file in WAL mode holds a shared lock


def copy(source: Path, target: Path, progress: Callable[[int], None] = lambda _: None) -> None:
    """Copy a SQLite file, and have the copy on the disk; `target` must not exist, and gets mode 0600.

    Args:
        source: The file; it is not changed.
        target: The new file, without a write-ahead log.
        progress: Called with the bytes that each step has copied.

    Raises:
        UnavailableError: The file is missing, may not be read or is damaged, or the copy cannot be written.
    """
    try:
        for _ in range(ROUNDS_LIMIT):
            target.unlink(missing_ok=True)
            private_file.create(target).close()
            before = _use(source)
            _copy_once(source, target, progress)
            if before.is_seen or before == _use(source):
                private_file.sync(target)
                return  # else it was read as a file that nobody uses, and somebody has begun to use it
    except (sqlite3.Error, OSError) as error:
        raise UnavailableError(
            f"{source}: cannot be copied to {target.parent} ({error})",
            f"run this as the user of the station; check the file, and whether the disk of {target.parent} is full",
        ) from error
    raise UnavailableError(f"{source}: a station starts again and again while it is copied", "see the station's log")


class _Use(NamedTuple):
    """What shows that a file is used, or was meanwhile."""

    is_seen: bool
    instant: tuple[int, int, int]


def _use(path: Path) -> _Use:
    found = path.stat()
    is_seen = any(sibling(path, suffix).exists() for suffix in ("-wal", "-journal"))
    return _Use(is_seen, (found.st_ino, found.st_size, found.st_mtime_ns))


def _copy_once(source: Path, target: Path, progress: Callable[[int], None]) -> None:
    with (
        contextlib.closing(sqlite_recovery.connect_as_guest(source, writes=False)) as reading,
        contextlib.closing(sqlite_recovery.connect_as_owner(target)) as writing,
    ):
        page_bytes = int(reading.execute("PRAGMA page_size").fetchone()[0])
        reading.execute("BEGIN")
        reading.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # from here on it sees this instant only
        left = int(reading.execute("PRAGMA page_count").fetchone()[0])

        def count(_: int, remaining: int, total: int) -> None:
            nonlocal left
            progress(max(0, left - remaining) * page_bytes)
            left = remaining

        reading.backup(writing, pages=STEP_PAGES, progress=count)
        reading.execute("ROLLBACK")
        writing.execute("PRAGMA journal_mode = DELETE")  # the copy is one file


def problem(path: Path) -> str | None:
    """What SQLite's own check says against a file that nobody uses; None if nothing."""
    try:
        with contextlib.closing(sqlite_recovery.connect_as_guest(path, writes=False)) as connection:
            said = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        return str(error)
    return None if said == "ok" else str(said)


def rows(path: Path, table: str) -> int:
    """The number of rows of a table in a file that nobody uses; 0 without that table.

    Raises:
        sqlite3.Error: The file cannot be read.
    """
    with contextlib.closing(sqlite_recovery.connect_as_guest(path, writes=False)) as connection:
        has = connection.execute("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", (table,)).fetchone()
        if not has:
            return 0
        return int(connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0])  # noqa: S608 - our own names


def is_in_use(path: Path) -> bool:
    """Whether another process has the file open in WAL mode. Not for a file that this process itself has open."""
    with contextlib.suppress(FileNotFoundError), path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, LOCK_BYTES, LOCK_FIRST)
        except BlockingIOError:
            return True
    return False
