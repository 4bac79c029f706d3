"""CSV files as rows by column name; every fault names the file and the line."""

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aoii.core.errors import InputError
from aoii.simulation import csv_table


def write(folder: Path, text: str) -> Path:
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_rows_come_by_name_with_their_lines_and_other_columns_are_kept(tmp_path: Path) -> None:
    path = write(tmp_path, "\ufeffb,a,c\n1,2,3\n\n4,5,6\n")

    assert list(csv_table.rows(path, ("a", "b"), "a,b")) == [
        (2, {"b": "1", "a": "2", "c": "3"}),
        (4, {"b": "4", "a": "5", "c": "6"}),
    ]


def test_columns_are_the_first_line_also_of_a_gzip_file_and_none_when_it_is_empty(tmp_path: Path) -> None:
    packed = tmp_path / "table.csv.gz"
    packed.write_bytes(gzip.compress(b"a,b\n"))

    assert csv_table.columns(packed) == ["a", "b"]
    assert csv_table.columns(write(tmp_path, "")) == []


def test_a_missing_column_and_a_short_row_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"lacks b; the first line must be a,b"):
        list(csv_table.rows(write(tmp_path, "a\n1\n"), ("a", "b"), "a,b"))
    with pytest.raises(InputError, match=r":2: has no b") as caught:
        list(csv_table.rows(write(tmp_path, "a,b\n1\n"), ("a", "b"), "a,b"))
    assert caught.value.remedy == csv_table.CORRECT_LINE


def test_a_time_without_a_zone_is_utc_and_one_with_a_zone_keeps_it() -> None:
    assert csv_table.parse_time("2026-01-01T00:00:00") == datetime(2026, 1, 1, tzinfo=UTC)
    assert csv_table.parse_time("2026-01-01T09:00:00+09:00") == datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="yesterday"):
        csv_table.parse_time("yesterday")
