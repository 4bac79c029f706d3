"""The CSV file, with the columns of the older installation; no crash leaves a line in it twice or torn.

Lines go into the journal (`csv_journal.py`) before they are appended to the file. After a crash or an error, the next
start or append first adds to the file what only the journal has; so each batch is in the file whole, and once. A torn
last line that another program left is cut off, counted and logged.
"""

import contextlib
import csv
import io
import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from aoii.core.errors import InputError, UnavailableError
from aoii.runtime import metrics
from aoii.server.csv_journal import CsvJournal, CsvRow, Entry

log = logging.getLogger(__name__)

COLUMNS = ("Timestamp", "Time_n", "Event", "Actual_T", "Actual_H", "Pred_T", "Pred_H", "Error_T", "Error_H", "Total_TX",
           "Transmission_Delay_Ms")  # fmt: skip
HEADER = (",".join(COLUMNS) + "\n").encode()
TAIL_BYTES = 65536  # at the end of the file, searched for the beginning of a torn line; a line is far shorter


class CsvFile:
    """The CSV file with its journal; for one thread.

    Args:
        path: The CSV file; made with a header if it is missing or empty. A file with the older header, which lacks the
            last column, keeps its columns.
        journal: The SQLite file.

    Raises:
        InputError: The file has other columns.
        UnavailableError: One of the files cannot be opened.
    """

    def __init__(self, path: Path, journal: Path) -> None:
        self._path = path
        self._journal_name = str(path.absolute())
        self._unwritten: list[CsvRow] = []  # in the journal, but not completely in the file, because writing failed
        self._last_state: tuple[int, int] | None = None  # of the file, after our last write
        with self._translated():
            path.parent.mkdir(parents=True, exist_ok=True)
            journal.parent.mkdir(parents=True, exist_ok=True)
            self._journal = CsvJournal(journal)
            self._repair()

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

    def append(self, rows: Sequence[CsvRow]) -> list[CsvRow]:
        """Append the rows that are not repetitions, durably.

        Returns:
            The rows appended, including those of a failed call that this one has completed.

        Raises:
            UnavailableError: A disk is full or a file is gone. Pass the same rows again; each is still written once.
            InputError: The file was replaced by one with other columns.
        """
        with self._translated():
            if self._unwritten or self._state() != self._last_state:
                self._repair()
            done, self._unwritten = self._unwritten, []
            fresh = self._journal.unseen([row for row in rows if row not in done])
            if fresh:
                with self._path.open("r+b") as file:
                    columns, ending = _format(file.readline(), self._path)
                    lines = _lines(fresh, columns, ending)
                    self._journal.record(fresh, Entry(self._journal_name, file.seek(0, os.SEEK_END), lines))
                    self._unwritten = fresh
                    _write(file, lines)
                self._unwritten = []
                self._last_state = self._state()
        return done + fresh

    def _repair(self) -> None:
        """Give the file a header and the lines that only the journal has, and cut off a torn last line."""
        with self._path.open("a+b") as file:
            file.seek(0)
            header = file.readline()
            if not header.endswith(b"\n") and HEADER.startswith(header):  # new, or torn in the first line
                file.truncate(0)
                _write(file, HEADER)
                _sync_folder(self._path.parent)
            else:
                _format(header, self._path)
                entry = self._journal.entry()
                if entry is not None and entry.path == self._journal_name:
                    _complete(file, entry)
                _cut_torn_line(file)
        self._last_state = self._state()

    def _state(self) -> tuple[int, int] | None:
        """Inode and length of the file; None if there is none."""
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return None
        return stat.st_ino, stat.st_size

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise UnavailableError(f"{self._path}: {error}; make room on the disk, or check the rights") from error


def _format(header: bytes, path: Path) -> tuple[int, str]:
    """Number of columns and line ending of an existing file.

    Raises:
        InputError: The file has other columns.
    """
    text = header.decode("utf-8-sig", errors="replace")
    names = tuple(text.rstrip("\r\n").split(","))
    if names not in (COLUMNS, COLUMNS[:-1]):
        raise InputError(f"{path} has other columns than ours; set CSV_FILE to another name, or move the file away")
    return len(names), "\r\n" if text.endswith("\r\n") else "\n"


def _lines(rows: Sequence[CsvRow], columns: int, ending: str) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS[:columns], extrasaction="ignore", lineterminator=ending)
    writer.writerows(row.fields for row in rows)
    return text.getvalue().encode()


def _complete(file: io.BufferedRandom, entry: Entry) -> None:
    """Append what the file lacks of the journal's entry, unless another program has changed the file."""
    offset, lines = entry.offset, entry.lines
    size = file.seek(0, os.SEEK_END)
    file.seek(min(offset, size))
    found = file.read(len(lines))
    if found == lines:
        return
    if offset <= size == offset + len(found) and lines.startswith(found):
        _write(file, lines[len(found) :])
        log.warning("CSV lines completed", extra={"event": "csv_completed", "bytes": len(lines) - len(found)})
    else:
        log.warning("CSV file was changed by another program", extra={"event": "csv_changed", "bytes": size})


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
