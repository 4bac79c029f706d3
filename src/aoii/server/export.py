"""Readings out of the database, all of them, as CSV or Parquet.

Read page by page and written as it comes, so that memory stays flat; a file gets its name only when it is whole.
"""

import contextlib
import csv
import itertools
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, fields
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any

from aoii.core.errors import InputError
from aoii.server.db import open_database
from aoii.server.rows import ReadingRow
from aoii.settings import Settings

Progress = Callable[[int], None]

COLUMNS = tuple(field.name for field in fields(ReadingRow))
PROGRESS_ROWS = 1000
ROW_GROUP_ROWS = 50_000  # about 2 MB of Parquet; what is kept in memory at once


def export(
    settings: Settings,
    node: str | None,
    start: datetime | None,
    end: datetime | None,
    out: Path | None,
    format: str,  # noqa: A002 - the word of the command line
    progress: Progress = lambda rows: None,
) -> int:
    """Write readings; the number of rows written.

    Args:
        settings: Where the database is.
        node: Only this node; None: all rows, also those without a node.
        start: First instant, by event time, else by time of insert; without zone it is UTC.
        end: First instant after the last one.
        out: The file, replaced when the export is whole; None: standard output.
        format: `csv`, with a header and `event_time` in UTC; or `parquet`, in row groups.
        progress: Called now and then with the number of rows so far.

    Raises:
        InputError: Another format, a file that cannot be written, or Parquet for standard output.
        DatabaseAway: The database cannot be read.
    """
    if format not in ("csv", "parquet"):
        raise InputError(f"no export to {format}; use csv or parquet")
    if format == "parquet" and out is None:
        raise InputError("Parquet cannot go to standard output; name a file")
    with contextlib.closing(open_database(settings.database)) as database:
        rows = _told(database.export(node=node, start=start, end=end), progress)
        if out is None:
            return _to_standard_output(rows)
        part = out.with_name(out.name + ".part")
        try:
            count = _write_csv(rows, part) if format == "csv" else _write_parquet(rows, part)
            part.replace(out)
        except OSError as error:
            raise InputError(f"{out}: {error.strerror or error}; name a file that can be written") from error
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
    return count


def _told(rows: Iterable[ReadingRow], progress: Progress) -> Iterator[ReadingRow]:
    count = 0
    for row in rows:
        yield row
        count += 1
        if count % PROGRESS_ROWS == 0:
            progress(count)
    progress(count)


def _to_standard_output(rows: Iterator[ReadingRow]) -> int:
    count = 0

    def counted() -> Iterator[ReadingRow]:
        nonlocal count
        for row in rows:
            yield row
            count += 1

    try:
        _csv(counted(), sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:  # `aoii export | head`: the reader has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at its end
    return count


def _write_csv(rows: Iterator[ReadingRow], path: Path) -> int:
    with path.open("w", encoding="utf-8", newline="") as file:
        count = _csv(rows, file)
        file.flush()
        os.fsync(file.fileno())
    return count


def _csv(rows: Iterator[ReadingRow], file: IO[str]) -> int:
    writer = csv.writer(file, lineterminator="\n")
    first = list(itertools.islice(rows, 1))  # before the header: where no database answers, nothing is written
    writer.writerow(COLUMNS)
    count = 0
    for row in itertools.chain(first, rows):
        writer.writerow(_csv_fields(row))
        count += 1
    return count


def _csv_fields(row: ReadingRow) -> list[object]:
    values: dict[str, Any] = dict(zip(COLUMNS, astuple(row), strict=True))
    values["created_at"] = row.created_at.isoformat(" ", "microseconds")
    if row.event_time is not None:
        values["event_time"] = row.event_time.isoformat("T", "milliseconds") + "Z"
    if row.clock_synced is not None:
        values["clock_synced"] = int(row.clock_synced)
    return list(values.values())


def _write_parquet(rows: Iterator[ReadingRow], path: Path) -> int:
    import pyarrow as pa  # 40 MB of library, for whoever asks for it
    import pyarrow.parquet as pq

    types = {
        "id": pa.int64(),
        "created_at": pa.timestamp("us"),  # local time, as in the table
        "transmission_delay_ms": pa.int64(),
        "gateway": pa.string(),
        "node": pa.string(),
        "epoch": pa.int64(),
        "counter": pa.int64(),
        "kind": pa.string(),
        "event_time": pa.timestamp("ms", tz="UTC"),
        "clock_synced": pa.bool_(),
    }
    schema = pa.schema([(name, types.get(name, pa.float64())) for name in COLUMNS])
    count = 0
    with pq.ParquetWriter(path, schema) as writer:
        while group := list(islice(rows, ROW_GROUP_ROWS)):
            columns = zip(*(astuple(row) for row in group), strict=True)
            arrays = [pa.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            count += len(group)
    return count
