"""The CSV file, with the columns of the older installation; no crash leaves a line in it twice or torn.

Lines go into the journal (`csv_journal.py`) before they are appended to the file. After a crash or an error, the next
start or append first adds to the file what only the journal has; so each batch is in the file whole, and once. What
another program or a power cut left at its end is mended by `csv_tail.py`.
"""

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from aoii.core.errors import UnavailableError
from aoii.server import csv_tail
from aoii.server.csv_format import CsvFormat, format_of, unfinished
from aoii.server.csv_journal import CsvJournal, CsvRow, Entry
from aoii.settings import CsvFormatName

log = logging.getLogger(__name__)

HEADER_LIMIT_BYTES = 4096  # a longer first line is not ours


class CsvFile:
    """The CSV file with its journal; for one thread.

    Args:
        path: The CSV file; made with a header if it is missing or empty. A file that exists keeps its columns, and one
            of the older installation its format too.
        journal: The SQLite file.
        wanted: The format of a new file.

    Raises:
        InputError: The file has other columns, or a format that `wanted` rules out.
        UnavailableError: One of the files cannot be opened.
    """

    def __init__(self, path: Path, journal: Path, wanted: CsvFormatName = "full") -> None:
        self._path = path
        self._format = CsvFormat(wanted)
        self._wanted: CsvFormatName = wanted
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
            if self._unwritten or csv_tail.state_of(self._path) != self._last_state:
                self._repair()
            done, self._unwritten = self._unwritten, []
            fresh = self._journal.unseen([row for row in rows if row not in done and self._format.keeps(row)])
            if fresh:
                with self._path.open("r+b") as file:
                    lines = self._format.lines(fresh)
                    self._journal.record(fresh, Entry(self._journal_name, file.seek(0, os.SEEK_END), lines))
                    self._unwritten = fresh
                    csv_tail.append(file, lines)
                self._unwritten = []
                self._last_state = csv_tail.state_of(self._path)
        return done + fresh

    def _repair(self) -> None:
        """Give the file a header and the lines that only the journal has, and mend its end."""
        with self._path.open("a+b") as file:
            file.seek(0)
            first = file.readline(HEADER_LIMIT_BYTES)
            header = first.rstrip(b"\0")
            begun = unfinished(header, self._wanted)
            form = begun or format_of(header, self._path, self._wanted)
            csv_tail.remove_nul_tail(file, self._path)
            if begun:  # there is no row yet
                csv_tail.append(file, begun.header[len(header) :])
                csv_tail.sync_folder(self._path.parent)
            else:
                entry = self._journal.entry()
                if entry is not None and entry.path == self._journal_name:
                    _complete(file, entry)
                csv_tail.finish_last_line(file, self._path, form)
        self._last_state = csv_tail.state_of(self._path)
        if form.name not in (self._wanted, self._format.name):
            log.warning("CSV file keeps the older installation's format", extra={"event": "csv_older_format",
                        "remedy": "for the full one, set CSV_FILE to another name"})  # fmt: skip
        self._format = form

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise UnavailableError(f"{self._path}: {error}; make room on the disk, or check the rights") from error


def _complete(file: BinaryIO, entry: Entry) -> None:
    """Append what the file lacks of the journal's entry, unless another program has changed the file."""
    offset, lines = entry.offset, entry.lines
    size = file.seek(0, os.SEEK_END)
    file.seek(min(offset, size))
    found = file.read(len(lines))
    if found == lines:
        return
    if offset <= size == offset + len(found) and lines.startswith(found):
        csv_tail.append(file, lines[len(found) :])
        log.warning("CSV lines completed", extra={"event": "csv_completed", "bytes": len(lines) - len(found)})
    else:
        log.warning("CSV file was changed by another program", extra={"event": "csv_changed", "bytes": size})
