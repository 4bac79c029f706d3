"""Exports readings from the database as CSV, packed or not, or Parquet.

Rows are read page by page and written as they come, so memory use does not grow. Names are written as they are;
`broker/messages.py` accepts none that a spreadsheet would take for a formula.
"""

import contextlib
import csv
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import astuple, fields
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from aoii.core.errors import InputError
from aoii.server.db import Database, open_database
from aoii.server.export_file import Form, complete_file, write_text
from aoii.server.rows import ReadingRow
from aoii.settings import Settings

Progress = Callable[[int], None]

COLUMNS = tuple(field.name for field in fields(ReadingRow))
PROGRESS_ROWS = 1000
NAMES_SHOWN = 10
ROW_GROUP_ROWS = 50_000  # of Parquet, about 2 MB; in memory at once


def export(
    settings: Settings,
    node: str | None,
    start: datetime | None,
    end: datetime | None,
    out: Path | None,
    form: Form,
    progress: Progress = lambda rows: None,
) -> int:
    """Write readings; return the number of rows written.

    Args:
        settings: Where the database is.
        node: Only this node; None: all rows, including those without a node.
        start: First instant; without zone it is UTC. Compared with a row's event time, or with the instant of its
            insert if it has none.
        end: First instant that is not exported.
        out: The file, replaced when the export is complete; None: standard output.
        form: `csv`, with a header and `event_time` in UTC; `csv.gz`; or `parquet`, in row groups.
        progress: Called with the number of rows so far, every thousand rows and at the end.

    Raises:
        InputError: The file cannot be written, the database has no such node, or `start` is not before `end`.
        DatabaseAway: The database cannot be read.
    """
    if start is not None and end is not None and start >= end:
        raise InputError("the start is not before the end", "give an earlier --start")
    with contextlib.closing(open_database(settings.database)) as database:
        if node is not None and not database.has_node(node):
            raise _unknown(node, database)
        return _write(database.export(node=node, start=start, end=end), out, form, progress)


def _unknown(node: str, database: Database) -> InputError:
    """The error for a node that has no rows."""
    names = [found.node for found in database.nodes() if found.node is not None]
    known = ", ".join(names[:NAMES_SHOWN]) + (", …" if len(names) > NAMES_SHOWN else "")
    return InputError(f"the database has no reading of node {node}", f"it has {known or 'no node at all'}")


def _write(rows: Iterator[ReadingRow], out: Path | None, form: Form, progress: Progress) -> int:
    """Write rows to a file or to standard output; return their number."""
    count = 0

    def counted() -> Iterator[ReadingRow]:
        nonlocal count
        for count, row in enumerate(rows, 1):
            if count % PROGRESS_ROWS == 0:
                progress(count)
            yield row
        progress(count)

    if out is None:
        _to_standard_output(counted())
        return count
    with complete_file(out) as path:
        if form == "parquet":
            _write_parquet(counted(), path)
        else:
            write_text(path, lambda file: _csv(counted(), file), is_packed=form == "csv.gz")
    return count


def _to_standard_output(rows: Iterator[ReadingRow]) -> None:
    try:
        _csv(rows, sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:  # `aoii export | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python reports the pipe when it exits


def _csv(rows: Iterator[ReadingRow], file: IO[str]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    first = list(itertools.islice(rows, 1))  # before the header: without the database nothing is written
    writer.writerow(COLUMNS)
    writer.writerows(_csv_fields(row) for row in itertools.chain(first, rows))


def _csv_fields(row: ReadingRow) -> list[object]:
    values: dict[str, Any] = dict(zip(COLUMNS, astuple(row), strict=True))
    values["created_at"] = row.created_at.isoformat(" ", "microseconds")
    if row.event_time is not None:
        values["event_time"] = row.event_time.isoformat("T", "milliseconds") + "Z"
    if row.created_utc is not None:
        values["created_utc"] = row.created_utc.isoformat("T", "microseconds") + "Z"
    if row.clock_synced is not None:
        values["clock_synced"] = int(row.clock_synced)
    return list(values.values())


def _write_parquet(rows: Iterator[ReadingRow], path: Path) -> None:
    import pyarrow as pa  # a library of 40 MB, loaded only if it is needed
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
        "created_utc": pa.timestamp("us", tz="UTC"),
    }
    schema = pa.schema([(name, types.get(name, pa.float64())) for name in COLUMNS])
    with pq.ParquetWriter(path, schema) as writer:
        while group := list(itertools.islice(rows, ROW_GROUP_ROWS)):
            columns = zip(*(astuple(row) for row in group), strict=True)
            arrays = [pa.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
