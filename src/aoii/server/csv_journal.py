"""The journal of the CSV file: a small SQLite file that makes appending repeatable after a crash.

It holds the lines that were to be appended last, and the length that the file had before. It also holds the keys of the
last `WINDOW_LIMIT` messages: by its key it recognises a message that the broker delivers again.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aoii.runtime import metrics, sqlite_pages

WINDOW_LIMIT = 100_000  # messages, about 8 MB; more than a broker's queue, and than a week of redeliveries
LOG_LIMIT_BYTES = 4 * 2**20

SCHEMA = """
CREATE TABLE IF NOT EXISTS seen (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE IF NOT EXISTS journal (
    id INTEGER PRIMARY KEY CHECK (id = 1), path TEXT NOT NULL, offset INTEGER NOT NULL, lines BLOB NOT NULL
) STRICT;
"""


@dataclass(frozen=True)
class CsvRow:
    """A line to append.

    Attributes:
        key: Shows whether the row is a repetition; a row with the key None never is one.
        fields: By the name of their column; a column without a field stays empty.
    """

    key: str | None
    fields: Mapping[str, str | float]


@dataclass(frozen=True)
class Entry:
    """What was to be appended last.

    Attributes:
        path: The CSV file.
        offset: Its length before these lines, bytes.
        lines: The bytes to append.
    """

    path: str
    offset: int
    lines: bytes


class CsvJournal:
    """The SQLite file; for one thread. Every method may raise `sqlite3.Error`.

    Args:
        path: The file; made if it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        sqlite_pages.rebuild(self._connection)
        sqlite_pages.log_ahead(self._connection, LOG_LIMIT_BYTES)
        self._connection.executescript(SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def entry(self) -> Entry | None:
        """What was to be appended last; None in a new journal."""
        found = self._connection.execute("SELECT path, offset, lines FROM journal").fetchone()
        return None if found is None else Entry(*found)

    def unseen(self, rows: Sequence[CsvRow]) -> list[CsvRow]:
        """The rows that are not repetitions; the others are counted."""
        fresh, keys = [], set()
        for row in rows:
            if row.key is not None:
                known = self._connection.execute("SELECT 1 FROM seen WHERE key = ?", (row.key,)).fetchone()
                if known or row.key in keys:
                    metrics.CSV_DUPLICATES.inc()
                    continue
                keys.add(row.key)
            fresh.append(row)
        return fresh

    def record(self, rows: Sequence[CsvRow], entry: Entry) -> None:
        """Record, in one transaction, what is about to be appended and the keys of its rows."""
        keys = [(row.key,) for row in rows if row.key is not None]
        with self._connection as transaction:
            transaction.execute("BEGIN IMMEDIATE")
            transaction.executemany("INSERT INTO seen (key) VALUES (?)", keys)
            transaction.execute("DELETE FROM seen WHERE id <= (SELECT max(id) FROM seen) - ?", (WINDOW_LIMIT,))
            transaction.execute(
                "INSERT OR REPLACE INTO journal (id, path, offset, lines) VALUES (1, ?, ?, ?)",
                (entry.path, entry.offset, entry.lines),
            )
