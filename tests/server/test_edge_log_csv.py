"""The CSV file of the nodes' log: the older installation's form, and no row lost, torn or doubled."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import BinaryIO

import pytest

from aoii.core.errors import InputError
from aoii.runtime import metrics
from aoii.server import csv_tail, edge_log_csv
from aoii.server.edge_log import LogReader
from aoii.server.edge_log_csv import EdgeLogCsv
from aoii.server.edge_log_line import decode_line
from aoii.server.rows import EdgeLogRow
from aoii.settings import Settings
from server.test_edge_log import NEW, OLD, Load
from servers import pty_port, until

ZONE = timezone(timedelta(hours=-8))
HEADER = b"timestamp,actual_t,actual_h,pred_t,pred_h,error_t,error_h,status,inference_time_us,free_heap,total_heap\r\n"
NOW_S = 1_772_142_046  # 2026-02-26 13:40:46 at UTC-8


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "edge_log.csv"


@pytest.fixture
def in_seoul(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Seoul")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def row(line: str, second: int = 0) -> EdgeLogRow:
    found = decode_line(line, datetime.fromtimestamp(NOW_S + second))  # noqa: DTZ006 - `created_at` is local
    assert found is not None
    return found


def written(path: Path, *lines: str) -> bytes:
    file = EdgeLogCsv(path, ZONE)
    for line in lines:
        file.put(row(line), is_old=True)
    file.close()
    return path.read_bytes()


@pytest.mark.usefixtures("in_seoul")
def test_a_row_is_byte_for_byte_what_the_older_logger_wrote(path: Path) -> None:
    found = written(
        path,
        "26.23,28.44,11.68,37.20,14.550,8.758,SEND & TRAIN,1057156,318568,346716",
        "26.40,28.32,12.12,37.91,14.282,9.585,SEND & TRAIN",
        "26.00,31.57,0,0,0,0,RAW,25000,318568,346716",
    )

    assert found == HEADER + (
        b"2026-02-26 13:40:46,26.23,28.44,11.68,37.2,14.55,8.758,SEND & TRAIN,1057156,318568,346716\r\n"
        b"2026-02-26 13:40:46,26.4,28.32,12.12,37.91,14.282,9.585,SEND & TRAIN,,,\r\n"
        b"2026-02-26 13:40:46,26.0,31.57,0.0,0.0,0.0,0.0,RAW,25000,318568,346716\r\n"
    )


@pytest.mark.usefixtures("in_seoul")
def test_the_time_of_a_node_of_ours_is_that_of_the_machine(path: Path) -> None:
    file = EdgeLogCsv(path, ZONE)

    file.put(row(NEW), is_old=False)
    file.close()

    assert path.read_bytes() == HEADER + b"2026-02-27 06:40:46,21.5,40.0,21.7,41.25,0.2,1.25,SKIP,0,0,0\r\n"


def test_a_file_that_exists_goes_on_and_the_oldest_columns_stay(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(HEADER.removeprefix(b"timestamp,") + b"1,2,3,4,5,6,SKIP,7,8,9\r\n")

    found = written(path, OLD)

    assert found.splitlines()[1:] == [
        b"1,2,3,4,5,6,SKIP,7,8,9",
        b"21.5,40.0,21.0,41.25,0.5,1.25,SEND & TRAIN,512,100000,200000",
    ]


@pytest.mark.parametrize("tail", [b"2026-02-26 13:4", b"x", b"\0" * 70_000])
def test_what_a_power_cut_left_is_set_aside_and_the_next_row_is_whole(path: Path, tail: bytes) -> None:
    before = written(path, OLD)
    path.write_bytes(before + tail)

    found = written(path, OLD)

    assert found == before + before.removeprefix(HEADER)
    assert tail in path.with_name("edge_log.csv.set-aside").read_bytes()


def test_a_complete_last_line_without_its_ending_stays(path: Path) -> None:
    before = written(path, OLD)
    path.write_bytes(before.removesuffix(b"\r\n"))

    assert written(path, OLD) == before + before.removeprefix(HEADER)


@pytest.mark.parametrize("nuls", [1, 70_000])
def test_a_complete_last_line_before_nul_bytes_stays(path: Path, nuls: int) -> None:
    before = written(path, OLD)
    path.write_bytes(before.removesuffix(b"\r\n") + bytes(nuls))

    assert written(path, OLD) == before + before.removeprefix(HEADER)
    assert path.with_name("edge_log.csv.set-aside").read_bytes() == bytes(nuls) + b"\n"


@pytest.mark.parametrize("begun", [b"", HEADER[:9], HEADER[:-1]])
def test_a_header_that_is_torn_is_completed(path: Path, begun: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(begun)

    assert written(path).startswith(HEADER)


def test_other_columns_are_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"time,value\n1,2\n")

    with pytest.raises(InputError, match="EDGE_LOG_CSV_FILE"):
        EdgeLogCsv(path, ZONE)

    assert path.read_bytes() == b"time,value\n1,2\n"


def test_a_full_disk_delays_rows_and_writes_each_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = EdgeLogCsv(path, ZONE)
    file.put(row(OLD), is_old=True)
    real = csv_tail.append

    def half(handle: BinaryIO, data: bytes) -> None:
        real(handle, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(csv_tail, "append", half)
    assert not file.flush()
    assert not file.is_writable
    file.put(row(OLD, 60), is_old=True)
    assert not file.flush()
    monkeypatch.setattr(csv_tail, "append", real)

    assert file.flush()

    assert file.is_writable
    assert [line[11:19] for line in path.read_bytes().splitlines()[1:]] == [b"13:40:46", b"13:41:46"]


def test_a_file_that_is_moved_away_is_begun_anew(path: Path) -> None:
    file = EdgeLogCsv(path, ZONE)
    file.put(row(OLD), is_old=True)
    file.flush()
    path.rename(path.with_name("old.csv"))

    file.put(row(OLD, 60), is_old=True)
    file.flush()

    assert path.read_bytes().count(b"\n") == 2
    assert path.with_name("old.csv").read_bytes().count(b"\n") == 2


def test_rows_beyond_the_limit_are_counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_log_csv, "WAITING_LIMIT", 3)
    lost = metrics.value(metrics.LOG_CSV_ROWS, outcome="lost")
    file = EdgeLogCsv(path, ZONE)

    for minute in range(5):
        file.put(row(OLD, 60 * minute), is_old=True)
    file.close()

    assert path.read_bytes().count(b"\n") == 4
    assert metrics.value(metrics.LOG_CSV_ROWS, outcome="lost") == lost + 2


def test_rows_that_arrive_while_a_full_buffer_is_written_are_written_next(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_log_csv, "WAITING_LIMIT", 3)
    lost = metrics.value(metrics.LOG_CSV_ROWS, outcome="lost")
    file = EdgeLogCsv(path, ZONE)
    for minute in range(3):
        file.put(row(OLD, 60 * minute), is_old=True)
    real = csv_tail.append

    def append(handle: BinaryIO, data: bytes) -> None:
        real(handle, data)
        file.put(row(OLD, 180), is_old=True)

    monkeypatch.setattr(csv_tail, "append", append)
    file.flush()
    monkeypatch.setattr(csv_tail, "append", real)
    file.close()

    assert [line[14:16] for line in path.read_bytes().splitlines()[1:]] == [b"40", b"41", b"42", b"43"]
    assert metrics.value(metrics.LOG_CSV_ROWS, outcome="lost") == lost


def test_rows_wait_while_the_file_is_replaced_by_one_with_other_columns(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = EdgeLogCsv(path, ZONE)
    file.put(row(OLD), is_old=True)
    path.write_bytes(b"time,value\n1,2\n")

    assert not file.flush()
    assert not file.flush()

    assert path.read_bytes() == b"time,value\n1,2\n"
    (said,) = [record for record in caplog.records if getattr(record, "event", "") == "log_csv_unwritable"]
    assert "EDGE_LOG_CSV_FILE" in said.remedy  # type: ignore[attr-defined]  # a field of the event
    path.rename(path.with_name("other.csv"))
    assert file.flush()
    assert path.read_bytes().count(b"\n") == 2


@pytest.fixture
def values(load: Load, tmp_path: Path, path: Path) -> Settings:
    return load(EDGE_LOG_PORT=tmp_path / "port", EDGE_LOG_STATUS_PORT=0, EDGE_LOG_CSV_FILE=path)


def test_the_station_writes_the_file_even_while_the_database_is_away(
    values: Settings, tmp_path: Path, path: Path
) -> None:
    away = replace(values, database=replace(values.database, host="127.0.0.1", port=1))
    with pty_port(tmp_path / "port") as node:
        reader = LogReader(away)
        reader.start()
        until(lambda: reader.readiness()["ports"])
        os.write(node, f"{OLD}\n{NEW}\n".encode())
        until(lambda: path.read_bytes().count(b"\n") == 3)
        assert reader.readiness()["csv"]
        os.write(node, f"{OLD}\n".encode())
        reader.stop()

    assert path.read_bytes().count(b"\n") == 4


@pytest.mark.usefixtures("in_seoul")
def test_the_station_writes_times_of_old_nodes_in_their_zone(load: Load, tmp_path: Path, path: Path) -> None:
    zone = {"OLD_NODE_UTC_OFFSET_H": "5.5"}
    reader = LogReader(
        load(EDGE_LOG_PORT=f"{tmp_path}/port=roof/ttyUSB0", EDGE_LOG_STATUS_PORT=0, EDGE_LOG_CSV_FILE=path, **zone)
    )
    with pty_port(tmp_path / "port") as node:
        reader.start()
        until(lambda: reader.readiness()["ports"])
        before = datetime.now(UTC).replace(microsecond=0)
        os.write(node, f"{OLD}\n{NEW}\n".encode())
        until(lambda: path.read_bytes().count(b"\n") == 3)
        reader.stop()

    texts = [line.partition(",")[0] for line in path.read_text().splitlines()[1:]]
    old, ours = (
        datetime.fromisoformat(f"{text}{zone}") for text, zone in zip(texts, ("+05:30", "+09:00"), strict=True)
    )
    assert before <= old <= ours <= datetime.now(UTC)


def test_without_the_setting_there_is_no_file(load: Load, tmp_path: Path) -> None:
    reader = LogReader(load(EDGE_LOG_PORT=tmp_path / "port", EDGE_LOG_STATUS_PORT=0))

    assert "csv" not in reader.readiness()
