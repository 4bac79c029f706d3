"""The pages of our SQLite files: small ones, because a commit writes every page in which it changes a row.

A reading is about 400 bytes, and commits are many: with SQLite's usual pages of 4 KiB, accepting one and letting it go
wrote more than twice as much, which wears out a memory card.
"""

import contextlib
import sqlite3

PAGE_BYTES = 1024  # two readings; a row of one still fits, so none is spread over several pages
CHECKPOINT_PAGES = 4096  # of the write-ahead log: a page that changed often is copied into the file once in 4 MiB
REBUILD_LIMIT_BYTES = 100_000_000  # a larger file keeps its pages: it would be copied while the station starts


def prepare(connection: sqlite3.Connection) -> None:
    """Have an empty file made with small pages; call it before its first table."""
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")


def rebuild(connection: sqlite3.Connection) -> bool:
    """Copy a file that an earlier release made into one with small pages; return whether that was done.

    Nothing happens to a file that has them already, is large, is open elsewhere, or does not fit on the disk twice. If
    the machine fails meanwhile, SQLite restores the former file. Afterwards the file has no write-ahead log.

    Args:
        connection: The only one to the file, not in a transaction.
    """
    size = page_bytes(connection)
    pages = int(connection.execute("PRAGMA page_count").fetchone()[0])
    if size == PAGE_BYTES or pages * size > REBUILD_LIMIT_BYTES:
        return False
    with contextlib.suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA journal_mode = DELETE")  # the pages of a file with a write-ahead log are fixed
        prepare(connection)
        connection.execute("VACUUM")
    return page_bytes(connection) == PAGE_BYTES


def page_bytes(connection: sqlite3.Connection) -> int:
    """The size of the file's pages."""
    return int(connection.execute("PRAGMA page_size").fetchone()[0])


def log_ahead(connection: sqlite3.Connection, limit_bytes: int) -> None:
    """Commit through a write-ahead log that is written to the disk with each commit.

    Args:
        connection: Of the file.
        limit_bytes: What a burst may leave of the log.
    """
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {limit_bytes}")
