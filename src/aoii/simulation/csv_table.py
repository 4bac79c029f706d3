"""Reads a CSV or CSV.gz file as rows by column name.

Every fault is an InputError that names the file and, if there is one, the line.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from aoii.core.errors import InputError

CORRECT_LINE = "correct or remove the line"  # the remedy for a malformed row


def columns(path: Path) -> list[str]:
    """The column names in the first line of a CSV or CSV.gz file; none when the file is empty.

    Raises:
        InputError: The file cannot be read, or its first line is not CSV.
    """
    return _header(path, csv.reader(io.StringIO(_text(path))))


def rows(path: Path, needed: Sequence[str], shape: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row as its line number and its fields by column name; empty lines are left out.

    Args:
        path: CSV or CSV.gz in UTF-8.
        needed: Columns that must be there; there may be others.
        shape: What the first line should look like, for the message.

    Raises:
        InputError: The file cannot be read, is not CSV or lacks a column, or a row is too short.
    """
    reader = csv.reader(io.StringIO(_text(path)))
    names = _header(path, reader)
    lacking = [name for name in needed if name not in names]
    if lacking:
        raise InputError(f"{path}: lacks {', '.join(lacking)}", f"the first line must be {shape}")
    try:
        for fields in reader:
            row = dict(zip(names, fields, strict=False))
            if row and (absent := [name for name in needed if name not in row]):
                raise InputError(f"{path}:{reader.line_num}: has no {absent[0]}", CORRECT_LINE)
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: is not CSV ({error})", CORRECT_LINE) from error


def parse_time(text: str) -> datetime:
    """Parse an ISO 8601 time; one without a zone is UTC.

    Raises:
        ValueError: The text is not a time.
    """
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _header(path: Path, reader: Iterator[list[str]]) -> list[str]:
    try:
        return next(reader, [])
    except csv.Error as error:
        raise InputError(f"{path}:1: is not CSV ({error})", "give a CSV or CSV.gz file in UTF-8") from error


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})", "give a CSV or CSV.gz file in UTF-8") from error
