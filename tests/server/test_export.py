"""The export: complete, filtered, streamed, never half a file."""
# ruff: noqa: DTZ001 - the times of the tables have no zone

import csv
import gzip
import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from aoii.core.errors import InputError
from aoii.server import export
from aoii.server.db import Database, DatabaseAway, open_database
from aoii.server.rows import ReadingRow
from aoii.settings import Settings
from server.samples import a_reading

Load = Callable[..., Settings]


@pytest.fixture
def values(load: Load) -> Settings:
    return load()


@pytest.fixture
def stored(values: Settings) -> Iterator[Database]:
    """Twelve readings, ten minutes apart, of two nodes, and one of the reference system."""
    database = open_database(values.database, migrate=True)
    start_ms = 1_451_606_400_000
    database.insert_readings(
        [
            a_reading(number, node=["7", "gw/ttyUSB0"][number % 2], event_unix_ms=start_ms + number * 600_000)
            for number in range(12)
        ]
    )
    nobody = replace(a_reading(), identity=None, gateway=None, event_unix_ms=None, transmission_delay_ms=640)
    database.insert_reading(nobody)
    yield database
    database.close()


def test_csv_has_every_row_and_every_column(values: Settings, stored: Database, tmp_path: Path) -> None:
    out = tmp_path / "all.csv"

    count = export.export(values, None, None, None, out, "csv")

    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert count == len(rows) == 13
    assert rows[0]["event_time"] == "2016-01-01T00:00:00.000Z"
    some = ("node", "epoch", "counter", "actual_temp", "error_humidity", "clock_synced")
    assert [rows[1][name] for name in some] == ["gw/ttyUSB0", "1", "1", "21.5", "-3.25", "1"]
    assert [rows[12][name] for name in ("node", "event_time", "clock_synced", "transmission_delay_ms")] == [
        "", "", "", "640",
    ]  # fmt: skip
    assert datetime.fromisoformat(rows[0]["created_at"]) == stored.recent(13)[0].created_at


def test_parquet_holds_the_same_rows_in_row_groups(
    values: Settings, stored: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "ROW_GROUP_ROWS", 5)
    out = tmp_path / "all.parquet"

    count = export.export(values, None, None, None, out, "parquet")

    file = pq.ParquetFile(out)
    found = [ReadingRow(**row) for row in file.read().to_pylist()]
    expected = [
        replace(
            row,
            event_time=row.event_time and row.event_time.replace(tzinfo=UTC),
            created_utc=row.created_utc and row.created_utc.replace(tzinfo=UTC),
        )
        for row in stored.recent(13)
    ]
    assert count == 13
    assert found == expected
    assert file.num_row_groups == 3


def test_node_and_time_choose_rows(values: Settings, stored: Database, tmp_path: Path) -> None:
    out = tmp_path / "some.csv"

    count = export.export(values, "7", datetime(2016, 1, 1, 0, 20), datetime(2016, 1, 1, 1, 20), out, "csv")

    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert count == 3
    assert [row["counter"] for row in rows] == ["2", "4", "6"]


def test_no_rows_are_a_file_with_a_header_only(values: Settings, stored: Database, tmp_path: Path) -> None:
    late = datetime(2100, 1, 1)
    assert export.export(values, "7", late, None, tmp_path / "csv", "csv") == 0
    assert export.export(values, None, late, None, tmp_path / "parquet", "parquet") == 0

    assert (tmp_path / "csv").read_text() == ",".join(export.COLUMNS) + "\n"
    assert pq.ParquetFile(tmp_path / "parquet").read().column_names == list(export.COLUMNS)


def test_progress_is_told(values: Settings, stored: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PROGRESS_ROWS", 5)
    told: list[int] = []

    export.export(values, None, None, None, tmp_path / "all.csv", "csv", told.append)

    assert told == [5, 10, 13]


def test_a_file_that_is_not_finished_leaves_the_old_one_alone(
    values: Settings, stored: Database, tmp_path: Path
) -> None:
    out = tmp_path / "all.csv"
    out.write_text("old")

    def interrupted(rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export.export(values, None, None, None, out, "csv", interrupted)

    assert out.read_text() == "old"
    assert [path.name for path in tmp_path.glob("all*")] == ["all.csv"]


def test_faults_say_what_to_do(values: Settings, tmp_path: Path) -> None:
    with pytest.raises(DatabaseAway):
        export.export(values, None, None, None, tmp_path / "x.csv", "csv")
    open_database(values.database, migrate=True).close()
    with pytest.raises(InputError, match="No such file"):
        export.export(values, None, None, None, tmp_path / "none" / "x.csv", "csv")
    with pytest.raises(InputError, match="no reading of node 7; it has no node at all"):
        export.export(values, "7", None, None, None, "csv")


def test_an_unknown_node_is_an_error_that_names_the_known_ones(
    values: Settings, stored: Database, tmp_path: Path
) -> None:
    out = tmp_path / "x.csv"
    out.write_text("old")

    with pytest.raises(InputError, match="no reading of node 8; it has 7, gw/ttyUSB0"):
        export.export(values, "8", None, None, out, "csv")
    with pytest.raises(InputError, match="start is not before the end"):
        export.export(values, "7", datetime(2016, 1, 2), datetime(2016, 1, 1), out, "csv")

    assert out.read_text() == "old"


def test_a_packed_file_holds_the_same_csv(values: Settings, stored: Database, tmp_path: Path) -> None:
    plain, packed = tmp_path / "all.csv", tmp_path / "all.csv.gz"

    export.export(values, None, None, None, plain, "csv")
    export.export(values, None, None, None, packed, "csv.gz")

    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()
    assert subprocess.run(["gzip", "--test", packed], check=False).returncode == 0


def test_standard_output_may_be_closed_early(values: Settings, stored: Database) -> None:
    stored.insert_readings([a_reading(counter, node="many") for counter in range(20_000)])
    script = (
        "from aoii import settings; from aoii.server import export; "
        "export.export(settings.load(), None, None, None, None, 'csv')"
    )

    process = subprocess.Popen(
        [sys.executable, "-c", script],
        env={"AOII_DATA_DIR": str(values.data_dir)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    first = process.stdout.readline()
    process.stdout.close()

    assert first.decode().strip().split(",") == list(export.COLUMNS)
    assert process.stderr.read() == b""
    assert process.wait(20) == 0
    process.stderr.close()
