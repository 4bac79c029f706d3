"""The CSV file: the older installation's columns, no torn line, nothing twice."""

import csv
import io
import os
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aoii.broker.messages import Estimate
from aoii.core.errors import InputError, UnavailableError
from aoii.runtime import metrics
from aoii.server import csv_journal
from aoii.server.csv_file import CsvFile
from aoii.server.csv_format import COLUMNS
from aoii.server.csv_journal import CsvRow
from aoii.server.mqtt_to_csv import to_row
from aoii.settings import CsvFormatName
from server.samples import a_reading

HEADER = ",".join(COLUMNS)
OLD_HEADER = ",".join(COLUMNS[:-1])
ESTIMATE = Estimate("gateway", "7", "2016-01-01 10:01:00", 0.417361, 21.25, 40.5, 9, 1_451_606_460_000)


def row(number: int) -> CsvRow:
    return to_row(a_reading(number, total_tx=number), b"")


def numbers(path: Path) -> list[int]:
    """Total_TX of every line, which these tests count up."""
    return [int(line["Total_TX"]) for line in csv.DictReader(io.StringIO(path.read_text()))]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.csv"


@contextmanager
def opened(path: Path, wanted: CsvFormatName = "full") -> Iterator[CsvFile]:
    file = CsvFile(path, path.with_name("journal.db"), wanted)
    yield file
    file.close()


def test_a_new_file_has_a_header_and_lines_are_appended(path: Path) -> None:
    with opened(path) as file:
        file.append([row(1), row(2)])
        file.append([row(3)])

    assert path.read_text().splitlines()[0] == HEADER
    assert numbers(path) == [1, 2, 3]


def test_repetitions_are_dropped_also_after_a_restart(path: Path) -> None:
    with opened(path) as file:
        assert len(file.append([row(1), row(2), row(1)])) == 2
        assert file.append([row(2)]) == []

    with opened(path) as file:
        assert [kept.key for kept in file.append([row(2), row(3), row(1)])] == [row(3).key]

    assert numbers(path) == [1, 2, 3]


def test_the_window_of_repetitions_is_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_journal, "WINDOW_LIMIT", 10)
    with opened(path) as file:
        file.append([row(number) for number in range(30)])

        assert file.append([row(29), row(20)]) == []
        assert len(file.append([row(5)])) == 1

    with sqlite3.connect(path.with_name("journal.db")) as journal:
        assert journal.execute("SELECT count(*) FROM seen").fetchone() == (10,)


def test_an_estimate_is_never_a_repetition(path: Path) -> None:
    with opened(path) as file:
        file.append([to_row(ESTIMATE, b""), to_row(ESTIMATE, b"")])

    assert numbers(path) == [9, 9]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("header", [HEADER, OLD_HEADER])
def test_an_existing_file_keeps_its_form(path: Path, header: str, ending: str) -> None:
    line = "2025-05-01 12:00:00,0.5,RX,21.5,40.0,21.0,42.0,0.5,2.0,7" + ("," if header == HEADER else "")
    path.write_bytes(f"{header}{ending}{line}{ending}".encode())

    with opened(path) as file:
        file.append([row(8)])

    lines = path.read_bytes().decode().split(ending)
    assert lines[:2] == [header, line]
    assert lines[2].count(",") == header.count(",")
    assert numbers(path) == [7, 8]


@pytest.mark.parametrize("content", ["a,b,c\n1,2,3\n", "x" * 100_000, HEADER + ",More\n"])
def test_a_file_with_other_columns_is_left_alone(path: Path, content: str) -> None:
    path.write_text(content)

    with pytest.raises(InputError, match="set CSV_FILE"):
        CsvFile(path, path.with_name("journal.db"))

    assert path.read_text() == content


@pytest.mark.parametrize("torn", ["2025-05-01 12", "2025-05-01 12:00:00,0.5,RX,21.5,40.0,21.0,42.0,0.5,2.0,8"])
def test_a_torn_last_line_of_another_program_is_set_aside_and_counted(path: Path, torn: str) -> None:
    with opened(path) as file:
        file.append([row(1)])
    with path.open("a") as foreign:
        foreign.write(torn)
    before = metrics.value(metrics.CSV_TORN)

    with opened(path) as file:
        file.append([row(2)])

    assert numbers(path) == [1, 2]
    assert metrics.value(metrics.CSV_TORN) - before == 1


def test_a_torn_header_is_written_again(path: Path) -> None:
    path.write_text(HEADER[:20])

    with opened(path) as file:
        file.append([row(1)])

    assert numbers(path) == [1]


def test_whatever_a_crash_left_of_a_batch_is_completed_once(path: Path) -> None:
    with opened(path) as file:
        file.append([row(1)])
        before = path.stat().st_size
        file.append([row(2), row(3)])
    whole = path.read_bytes()

    for length in range(before, len(whole) + 1):
        path.write_bytes(whole[:length])
        with opened(path) as file:
            assert file.append([row(2), row(3)]) == []  # they come again, as they were not acknowledged

        assert path.read_bytes() == whole


def test_a_file_that_was_moved_away_is_begun_anew(path: Path) -> None:
    with opened(path) as file:
        file.append([row(1)])
        path.rename(path.with_name("old.csv"))
        file.append([row(2)])

    assert numbers(path.with_name("old.csv")) == [1]
    assert numbers(path) == [2]


def test_a_full_disk_is_waited_for_and_nothing_is_torn_or_doubled(path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with opened(path) as file:
        file.append([CsvRow(None, {**row(1).fields, "Timestamp": "x" * 100_000}) for _ in range(10)])
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 100, hard))
        try:
            rows = [row(number) for number in range(2, 10)] + [to_row(ESTIMATE, b"")]
            with pytest.raises(UnavailableError, match="make room"):
                file.append(rows)
            with pytest.raises(UnavailableError, match="make room"):
                file.append(rows)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

        assert file.append(rows) == rows
        assert file.append([row(10), *rows[:-1]]) == [row(10)]

    assert numbers(path) == [1] * 10 + [2, 3, 4, 5, 6, 7, 8, 9, 9, 10]


OLDER_ROW = "2025-05-01 12:00:00,0.5,RX,21.50,40.00,21.00,42.00,0.50,2.00,7,"


def aside(path: Path) -> bytes:
    """What was removed from the file and kept."""
    return path.with_name(f"{path.name}.set-aside").read_bytes()


@pytest.mark.parametrize("nuls", [1, 34_000, 65_536, 65_537, 300_000])
def test_nul_bytes_at_the_end_however_many_are_set_aside(path: Path, nuls: int) -> None:
    with opened(path) as file:
        file.append([row(1)])
    with path.open("ab") as damaged:
        damaged.write(bytes(nuls))

    with opened(path) as file:
        file.append([row(2)])

    assert b"\0" not in path.read_bytes()
    assert numbers(path) == [1, 2]
    assert aside(path) == bytes(nuls) + b"\n"


@pytest.mark.parametrize("nuls", [0, 50, 100_000])
def test_a_torn_line_is_kept_in_the_file_beside_it(path: Path, nuls: int) -> None:
    with opened(path) as file:
        file.append([row(1)])
    torn = b"2025-05-01 12:00:00,0.5,RX,21.5,4" + "온".encode()[:2]
    with path.open("ab") as damaged:
        damaged.write(torn + bytes(nuls))

    with opened(path) as file:
        file.append([row(2)])

    assert numbers(path) == [1, 2]
    assert aside(path) == (bytes(nuls) + b"\n" if nuls else b"") + torn + b"\n"


def test_what_is_removed_is_durable_in_the_file_beside_it_before_it_is_cut_off(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = f"{HEADER}\n{OLDER_ROW}\n2025-05".encode()
    path.write_bytes(damaged)
    sync, synced = os.fsync, list[tuple[Path, bytes]]()

    def recorded(handle: int) -> None:
        sync(handle)
        synced.append((Path(f"/proc/self/fd/{handle}").readlink(), path.read_bytes()))

    monkeypatch.setattr(os, "fsync", recorded)

    with opened(path):
        pass

    assert (path.with_name("log.csv.set-aside"), damaged) in synced
    assert (path.parent, damaged) in synced  # the name of the file beside it
    assert path.read_bytes() == damaged.removesuffix(b"2025-05")


@pytest.mark.parametrize("tail", [b"2025-05", bytes(9)])
def test_nothing_is_removed_that_cannot_be_kept(path: Path, tail: bytes) -> None:
    damaged = f"{HEADER}\n{OLDER_ROW}\n".encode() + tail
    path.write_bytes(damaged)
    in_the_way = path.with_name("log.csv.set-aside")
    in_the_way.mkdir()

    with pytest.raises(UnavailableError, match="set-aside"), opened(path):
        pass

    assert path.read_bytes() == damaged


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("header", [HEADER, OLD_HEADER])
@pytest.mark.parametrize("torn_ending", ["", "\r"])
def test_a_complete_last_line_without_its_ending_stays(
    path: Path, header: str, ending: str, torn_ending: str, caplog: pytest.LogCaptureFixture
) -> None:
    line = OLDER_ROW if header == HEADER else OLDER_ROW[:-1]
    torn_ending = torn_ending if ending == "\r\n" else ""
    path.write_bytes(f"{header}{ending}{line}{torn_ending}".encode())

    with opened(path) as file:
        file.append([row(8)])

    assert path.read_bytes().startswith(f"{header}{ending}{line}{ending}".encode())
    assert numbers(path) == [7, 8]
    assert "check its last value" in caplog.text


@pytest.mark.parametrize(
    "line",
    [
        OLDER_ROW[:-3],  # the last column is missing
        OLDER_ROW.replace("RX", "R"),
        OLDER_ROW.replace("2025", "٢٠٢٥"),
        OLDER_ROW.replace("21.50", "2_1"),
        OLDER_ROW.replace("40.00", "4\0.00"),
        OLDER_ROW + '"',
        OLDER_ROW + "1.5",
        "x" * 200_000,
    ],
)
def test_a_last_line_that_no_column_could_have_is_set_aside(path: Path, line: str) -> None:
    path.write_bytes(f"{HEADER}\n{line}".encode())

    with opened(path) as file:
        file.append([row(8)])

    assert numbers(path) == [8]
    assert aside(path) == f"{line}\n".encode()


@pytest.mark.parametrize("wanted", ["full", "older"])
@pytest.mark.parametrize("torn", ["", HEADER[:20], OLD_HEADER, HEADER, f"{HEADER}\r"])
@pytest.mark.parametrize("nuls", [0, 70_000])
def test_a_file_that_was_torn_in_its_header_begins_anew(
    path: Path, torn: str, nuls: int, wanted: CsvFormatName
) -> None:
    path.write_bytes(torn.encode() + bytes(nuls))

    with opened(path, wanted) as file:
        file.append([row(1)])

    ending = "\r\n" if wanted == "older" or torn.endswith("\r") else "\n"
    assert path.read_bytes().startswith(f"{HEADER}{ending}2".encode())
    assert numbers(path) == [1]


@pytest.mark.parametrize("nuls", [1, 200, 40_000])
def test_a_batch_that_a_power_cut_turned_into_nul_bytes_comes_back_from_the_journal(path: Path, nuls: int) -> None:
    with opened(path) as file:
        file.append([row(1)])
        before = path.stat().st_size
        file.append([row(2), row(3)])
    whole = path.read_bytes()

    for length in (before, before + 10, len(whole) - 1):
        path.write_bytes(whole[:length] + bytes(nuls))
        with opened(path) as file:
            assert file.append([row(2), row(3)]) == []

        assert path.read_bytes() == whole


def test_the_older_format_is_exactly_the_older_installations(path: Path) -> None:
    delayed = to_row(a_reading(2, total_tx=2, time_n=0.5, transmission_delay_ms=640, pred_t=22.0049), b"")
    with opened(path, "older") as file:
        written = file.append([row(1), to_row(ESTIMATE, b""), delayed])

    assert len(written) == 2
    assert path.read_bytes() == (
        b"Timestamp,Time_n,Event,Actual_T,Actual_H,Pred_T,Pred_H,Error_T,Error_H,Total_TX,Transmission_Delay_Ms\r\n"
        b"2016-01-01 10:00:00,0.4167,RX,21.50,40.25,20.75,43.50,0.75,3.25,1,\r\n"
        b"2016-01-01 10:00:00,0.5,RX,21.50,40.25,22.00,43.50,0.50,3.25,2,640\r\n"
    )


@pytest.mark.parametrize("header", [HEADER, OLD_HEADER])
@pytest.mark.parametrize("wanted", ["full", "older"])
def test_a_file_of_the_older_installation_is_continued_in_its_format(
    path: Path, header: str, wanted: CsvFormatName, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(f"{header}\r\n".encode())

    with opened(path, wanted) as file:
        file.append([to_row(ESTIMATE, b""), row(1)])

    line = "2016-01-01 10:00:00,0.4167,RX,21.50,40.25,20.75,43.50,0.75,3.25,1" + ("," if header == HEADER else "")
    assert path.read_bytes() == f"{header}\r\n{line}\r\n".encode()
    assert ("set CSV_FILE" in str([record.__dict__ for record in caplog.records])) == (wanted == "full")


def test_a_full_file_is_not_continued_as_an_older_one(path: Path) -> None:
    with opened(path) as file:
        file.append([row(1)])
    before = path.read_bytes()

    with pytest.raises(InputError, match="CSV_FORMAT=full"):
        CsvFile(path, path.with_name("journal.db"), "older")

    assert path.read_bytes() == before
