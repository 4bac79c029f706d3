"""The CSV file of the nodes' USB log, with the columns, numbers and line ends of the older installation's loggers.

Rows wait in memory and are appended in batches, each with `fsync`. A file that another program moves away is begun
anew; what a power cut left at its end is mended by `csv_tail.py`. A batch that a crash interrupted may be missing, as a
line that arrives while nobody reads is.
"""

import contextlib
import csv
import io
import logging
import os
import threading
from collections import deque
from datetime import datetime, tzinfo
from pathlib import Path
from typing import BinaryIO

from aoii.broker.messages import TIMESTAMP
from aoii.core.errors import InputError
from aoii.runtime import metrics
from aoii.server import csv_tail
from aoii.server.rows import EdgeLogRow

log = logging.getLogger(__name__)

COLUMNS = ("timestamp", "actual_t", "actual_h", "pred_t", "pred_h", "error_t", "error_h", "status",
           "inference_time_us", "free_heap", "total_heap")  # fmt: skip
UNTIMED = COLUMNS[1:]  # of the oldest logger
WAITING_LIMIT = 50_000  # rows, while the file cannot be written: as many as may wait for the database


class EdgeLogFormat:
    """How the lines of one file look.

    Args:
        columns: COLUMNS, or UNTIMED.
    """

    ending = "\r\n"

    def __init__(self, columns: tuple[str, ...] = COLUMNS) -> None:
        self.columns = columns
        self.header = (",".join(columns) + self.ending).encode()

    def is_row(self, line: bytes) -> bool:
        """Whether a line without its ending has every column, and a time where one belongs."""
        fields = line.decode(errors="replace").split(",")
        return len(fields) == len(self.columns) and (
            self.columns is UNTIMED or TIMESTAMP.fullmatch(fields[0]) is not None
        )


class EdgeLogCsv:
    """The file. `put` may be called from any thread, `flush` from one.

    Args:
        path: The file; made with a header if it is missing or empty. One with the older header, which lacks the
            timestamp, keeps its columns.
        old_zone: Zone of the timestamps of old nodes; those of others are in the machine's.

    Raises:
        InputError: The file has other columns.

    Attributes:
        is_writable: Whether the last rows were written.
    """

    def __init__(self, path: Path, old_zone: tzinfo) -> None:
        self._path = path
        self._old_zone = old_zone
        self._waiting: deque[tuple[str | float, ...]] = deque(maxlen=WAITING_LIMIT)
        self._lock = threading.Lock()
        self._form = EdgeLogFormat()
        self._last_state: tuple[int, int] | None = None  # of the file, after our last write
        self.is_writable = True
        with contextlib.suppress(OSError):  # `flush` finds it too, and says it
            self._repair()
        self.flush()

    def put(self, row: EdgeLogRow, *, is_old: bool) -> None:
        """Have a row written; `is_old`: its line has the form of an old node."""
        at = row.created_at or datetime.now()  # noqa: DTZ005 - local, as `created_at` is
        zone = self._old_zone if is_old else None
        values = (
            row.actual_temp, row.actual_humidity, row.pred_temp, row.pred_humidity, row.error_temp, row.error_humidity,
            row.status, row.inference_time_us, row.free_heap, row.total_heap,
        )  # fmt: skip
        fields = at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S"), *("" if one is None else one for one in values)
        with self._lock:
            if len(self._waiting) == WAITING_LIMIT:
                metrics.LOG_CSV_ROWS.labels(outcome="lost").inc()
            self._waiting.append(fields)

    def flush(self) -> bool:
        """Write the rows that wait; False if the file cannot be written, and they wait on.

        The same holds for a file that was replaced by one with other columns: the database must not suffer from it.
        """
        with self._lock:
            rows = list(self._waiting)
            self._waiting.clear()  # what arrives while these are written comes after them
        try:
            if self._last_state is None or csv_tail.state_of(self._path) != self._last_state:
                self._repair()
            if rows:
                self._append(rows)
            self._last_state = csv_tail.state_of(self._path)
        except (OSError, InputError) as error:
            self._last_state = None
            self._put_back(rows)
            if self.is_writable:
                if isinstance(error, InputError):
                    reason, remedy = error.problem, error.remedy
                else:
                    reason, remedy = str(error), "make room, check the rights"
                fields = {"event": "log_csv_unwritable", "reason": reason, "remedy": remedy}
                log.error("the nodes' log cannot be written to its CSV file; rows wait", extra=fields)  # noqa: TRY400 - expected
            self.is_writable = False
            return False
        metrics.LOG_CSV_ROWS.labels(outcome="written").inc(len(rows))
        self.is_writable = True
        return True

    def close(self) -> None:
        """Write what waits, and count what cannot be written as lost."""
        if not self.flush():
            metrics.LOG_CSV_ROWS.labels(outcome="lost").inc(len(self._waiting))

    def _put_back(self, rows: list[tuple[str | float, ...]]) -> None:
        """Have rows wait again, before those that have arrived since."""
        with self._lock:
            rows = [*rows, *self._waiting]
            metrics.LOG_CSV_ROWS.labels(outcome="lost").inc(max(0, len(rows) - WAITING_LIMIT))
            self._waiting = deque(rows, WAITING_LIMIT)

    def _append(self, rows: list[tuple[str | float, ...]]) -> None:
        text = io.StringIO()
        skipped = len(COLUMNS) - len(self._form.columns)
        csv.writer(text, lineterminator=self._form.ending).writerows(row[skipped:] for row in rows)
        with self._path.open("r+b") as file:
            before = file.seek(0, os.SEEK_END)
            try:
                csv_tail.append(file, text.getvalue().encode())
            except OSError:
                with contextlib.suppress(OSError):  # so that no row is there twice at the next try
                    os.truncate(self._path, before)
                raise

    def _repair(self) -> None:
        """Give the file a header, and mend its end."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a+b") as file:
            csv_tail.remove_nul_tail(file, self._path)
            file.seek(0)
            first = file.readline(4096)
            self._form = EdgeLogFormat(_columns(first, self._path))
            if first.endswith(b"\n"):
                csv_tail.finish_last_line(file, self._path, self._form)
            else:
                self._begin(file, first)

    def _begin(self, file: BinaryIO, first: bytes) -> None:
        """Complete a header that has no line feed."""
        csv_tail.append(file, self._form.header[len(first) :])
        csv_tail.sync_folder(self._path.parent)


def _columns(first: bytes, path: Path) -> tuple[str, ...]:
    """The columns of a file by its first line, which may be a beginning.

    Raises:
        InputError: It has others.
    """
    for columns in (COLUMNS, UNTIMED):
        header = EdgeLogFormat(columns).header
        names = first.decode("utf-8-sig", errors="replace").rstrip("\r\n")
        if header.startswith(first) or (first.endswith(b"\n") and names == ",".join(columns)):
            return columns
    raise InputError(
        f"{path} has other columns than the nodes' log",
        "set EDGE_LOG_CSV_FILE to another name, or move the file away",
    )
