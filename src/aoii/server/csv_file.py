"""The CSV file of the reference system, appended to without ever doubling or tearing a line.

Before lines go into the file they go, with the keys of their messages and the file's length, into a small SQLite file
beside our other data: the journal. After a crash the next start compares: what the journal says and the file lacks is
completed, so that a batch is in the file whole and once. The keys of the last `WINDOW_LIMIT` messages are remembered,
so that what the broker delivers again is dropped. A last line that somebody else left torn is cut off, and said.
"""

import contextlib
import csv
import io
import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aoii.core.errors import InputError, UnavailableError
from aoii.runtime import metrics

log = logging.getLogger(__name__)

COLUMNS = ("Timestamp", "Time_n", "Event", "Actual_T", "Actual_H", "Pred_T", "Pred_H", "Error_T", "Error_H", "Total_TX",
           "Transmission_Delay_Ms")  # fmt: skip
HEADER = (",".join(COLUMNS) + "\n").encode()
WINDOW_LIMIT = 100_000  # messages, about 8 MB; a broker's queue and a week of redeliveries are far below
TAIL_BYTES = 65536

SCHEMA = """
CREATE TABLE IF NOT EXISTS seen (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE IF NOT EXISTS journal (
    id INTEGER PRIMARY KEY CHECK (id = 1), path TEXT NOT NULL, offset INTEGER NOT NULL, lines BLOB NOT NULL
) STRICT;
"""


@dataclass(frozen=True)
class CsvRow:
    """A line to be: the key by which a repetition is known (None: it is never one), and the fields as in COLUMNS."""

    key: str | None
    fields: Sequence[object]


class CsvFile:
    """The file and its journal; for one thread.

    Args:
        path: The CSV file; made with a header when it is missing or empty. One that begins with the older header, which
            lacks the last column, keeps its form.
        journal: The SQLite file.

    Raises:
        InputError: The file has other columns.
        UnavailableError: One of the files cannot be opened.
    """

    def __init__(self, path: Path, journal: Path) -> None:
        self._path = path
        self._owed: list[CsvRow] = []  # in the journal, and not or not wholly in the file, because writing failed
        self._left: tuple[int, int] | None = None  # how we left the file
        with self._translated():
            path.parent.mkdir(parents=True, exist_ok=True)
            journal.parent.mkdir(parents=True, exist_ok=True)
            self._journal = sqlite3.connect(journal, isolation_level=None, check_same_thread=False)
            self._journal.execute("PRAGMA journal_mode = WAL")
            self._journal.execute("PRAGMA synchronous = FULL")
            self._journal.executescript(SCHEMA)
            self._finish()

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

    def append(self, rows: Sequence[CsvRow]) -> list[CsvRow]:
        """Append the rows that are no repetition, durably, and tell which those were.

        Raises:
            UnavailableError: A disk is full or a file is gone. Hand in the same rows again; each is written once.
            InputError: Somebody put a file with other columns in its place.
        """
        with self._translated():
            if self._owed or self._state() != self._left:
                self._finish()
            done, self._owed = self._owed, []
            fresh = self._unseen([row for row in rows if row not in done])
            if fresh:
                with self._path.open("r+b") as file:
                    columns, ending = _form(file.readline(), self._path)
                    lines = _lines(fresh, columns, ending)
                    self._remember(fresh, file.seek(0, os.SEEK_END), lines)
                    self._owed = fresh
                    _write(file, lines)
                self._owed = []
                self._left = self._state()
        return done + fresh

    def _finish(self) -> None:
        """Make the file one that can be appended to: header, what the journal owes it, no torn line."""
        with self._path.open("a+b") as file:
            file.seek(0)
            header = file.readline()
            if not header.endswith(b"\n") and HEADER.startswith(header):  # new, or torn in the first line
                file.truncate(0)
                _write(file, HEADER)
                _sync_folder(self._path.parent)
            else:
                _form(header, self._path)
                found = self._journal.execute("SELECT path, offset, lines FROM journal").fetchone()
                if found is not None and found[0] == str(self._path.absolute()):
                    _complete(file, found[1], found[2])
                _cut_torn_line(file)
        self._left = self._state()

    def _state(self) -> tuple[int, int] | None:
        """Which file it is and how long; None when there is none."""
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return None
        return stat.st_ino, stat.st_size

    def _unseen(self, rows: Sequence[CsvRow]) -> list[CsvRow]:
        fresh, keys = [], set()
        for row in rows:
            if row.key is not None:
                known = self._journal.execute("SELECT 1 FROM seen WHERE key = ?", (row.key,)).fetchone()
                if known or row.key in keys:
                    metrics.CSV_DUPLICATES.inc()
                    continue
                keys.add(row.key)
            fresh.append(row)
        return fresh

    def _remember(self, rows: Sequence[CsvRow], offset: int, lines: bytes) -> None:
        self._journal.execute("BEGIN IMMEDIATE")
        try:
            keys = [(row.key,) for row in rows if row.key is not None]
            self._journal.executemany("INSERT INTO seen (key) VALUES (?)", keys)
            self._journal.execute("DELETE FROM seen WHERE id <= (SELECT max(id) FROM seen) - ?", (WINDOW_LIMIT,))
            entry = (str(self._path.absolute()), offset, lines)
            self._journal.execute("INSERT OR REPLACE INTO journal (id, path, offset, lines) VALUES (1, ?, ?, ?)", entry)
            self._journal.execute("COMMIT")
        except BaseException:
            if self._journal.in_transaction:  # a full disk has rolled it back already
                self._journal.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise UnavailableError(f"{self._path}: {error}; make room on the disk, or check the rights") from error


def _form(header: bytes, path: Path) -> tuple[int, str]:
    """Number of columns and line ending of an existing file."""
    text = header.decode("utf-8-sig", errors="replace")
    names = tuple(text.rstrip("\r\n").split(","))
    if names not in (COLUMNS, COLUMNS[:-1]):
        raise InputError(f"{path} has other columns than ours; set CSV_FILE to another name, or move the file away")
    return len(names), "\r\n" if text.endswith("\r\n") else "\n"


def _lines(rows: Sequence[CsvRow], columns: int, ending: str) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator=ending).writerows(row.fields[:columns] for row in rows)
    return text.getvalue().encode()


def _complete(file: io.BufferedRandom, offset: int, lines: bytes) -> None:
    """Append what is missing of `lines`, which were to stand at `offset`."""
    size = file.seek(0, os.SEEK_END)
    file.seek(min(offset, size))
    found = file.read(len(lines))
    if found == lines:
        return
    if offset <= size == offset + len(found) and lines.startswith(found):
        _write(file, lines[len(found) :])
        log.warning("CSV lines completed", extra={"event": "csv_completed", "bytes": len(lines) - len(found)})
    else:
        log.warning("CSV file was changed by somebody else", extra={"event": "csv_changed", "bytes": size})


def _cut_torn_line(file: io.BufferedRandom) -> None:
    size = file.seek(0, os.SEEK_END)
    start = max(0, size - TAIL_BYTES)
    file.seek(start)
    tail = file.read()
    if not tail or tail.endswith(b"\n"):
        return
    keep = start + tail.rfind(b"\n") + 1
    file.truncate(keep)
    os.fsync(file.fileno())
    metrics.CSV_TORN.inc()
    log.warning("torn last line of the CSV file cut off", extra={"event": "csv_torn", "bytes": size - keep})


def _write(file: io.BufferedRandom, data: bytes) -> None:
    file.seek(0, os.SEEK_END)
    file.write(data)
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
