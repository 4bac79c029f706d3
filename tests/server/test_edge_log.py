"""The log reader: lines on a pseudo-terminal become rows, and noise is counted."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from aoii.runtime import metrics
from aoii.server import edge_log
from aoii.server.db import Database, open_database
from aoii.server.edge_log import LogBuffer, LogReader
from aoii.server.rows import EdgeLogRow
from aoii.settings import Settings
from aoii.settings.faults import SettingsError
from server.doubles import StationProcess
from server.samples import an_edge_log_row, sqlite_at
from servers import MariaDB, pty_port, until

Load = Callable[..., Settings]
OLD = "21.50,40.00,21.00,41.25,0.50,1.25,SEND & TRAIN,512,100000,200000"
NEW = "21.50,40.00,21.70,41.25,-0.20,-1.25,SKIP,0,0,0,7,1451606400123"


def counted(outcome: str) -> float:
    return metrics.value(metrics.LOG_LINES, outcome=outcome)


def rows_of(values: Settings) -> list[EdgeLogRow]:
    database = open_database(values.database)
    rows = database.recent_edge_log(100_000)
    database.close()
    return rows


@contextmanager
def reading(values: Settings) -> Iterator[LogReader]:
    reader = LogReader(values)
    reader.start()
    try:
        until(lambda: all(reader.readiness().values()), what="log reader ready")
        yield reader
    finally:
        reader.stop()


@pytest.fixture
def values(load: Load, tmp_path: Path) -> Settings:
    return load(EDGE_LOG_PORT=tmp_path / "port", EDGE_LOG_STATUS_PORT=0, INSERT_BASE_DELAY=0.02)


def test_a_full_buffer_loses_the_oldest_and_counts_them() -> None:
    lost = counted("lost")
    buffer = LogBuffer(limit=3)

    for number in range(5):
        buffer.put(an_edge_log_row(node=str(number)))
    taken = buffer.take(2)
    buffer.put(an_edge_log_row(node="5"))

    assert [row.node for row in [*taken, *buffer.take(10)]] == ["2", "3", "4", "5"]
    assert counted("lost") - lost == 2


def test_lines_on_a_port_become_rows_and_noise_is_counted(values: Settings, tmp_path: Path) -> None:
    noise = counted("noise")
    with pty_port(tmp_path / "port") as node, reading(values):
        os.write(node, f"{OLD}\r\n{NEW}\n".encode())
        os.write(node, b"\xff\xfe,1,2\n" + b"x" * 300 + b"\n" + OLD[:20].encode() + b"\n")
        for byte in NEW.encode() + b"\n":
            os.write(node, bytes([byte]))
        until(lambda: len(rows_of(values)) == 3)

    old, new, again = rows_of(values)
    assert (old.status, new.node, again.node) == ("SEND & TRAIN", "7", "7")
    assert counted("noise") - noise == 3


def test_it_says_where_its_rows_go_and_why(values: Settings, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        LogReader(values)

    (said,) = [record.__dict__["database"] for record in caplog.records if record.msg == "rows go to a database"]
    assert said == f"SQLite, {values.data_dir}/aoii.db, because MYSQL_HOST is not set"


def test_several_ports_are_read_at_once(load: Load, tmp_path: Path, mariadb: MariaDB) -> None:
    schema = mariadb.new_schema()
    values = load(
        EDGE_LOG_PORT=f"{tmp_path}/a,{tmp_path}/b", EDGE_LOG_STATUS_PORT=0, MYSQL_HOST="127.0.0.1",
        MYSQL_PORT=mariadb.port, MYSQL_DATABASE=schema,
    )  # fmt: skip
    with pty_port(tmp_path / "a") as a, pty_port(tmp_path / "b") as b, reading(values):
        os.write(a, f"{OLD}\n".encode())
        os.write(b, f"{NEW}\n".encode())
        until(lambda: len(rows_of(values)) == 2)

    assert {row.node for row in rows_of(values)} == {None, "7"}


def test_a_port_that_is_unplugged_is_opened_again(values: Settings, tmp_path: Path) -> None:
    with pty_port(tmp_path / "port") as node:
        reader = LogReader(values)
        reader.start()
        until(lambda: all(reader.readiness().values()))
        os.write(node, f"{OLD}\n{NEW[:30]}".encode())
        until(lambda: len(rows_of(values)) == 1)
    until(lambda: not reader.readiness()["ports"])

    with pty_port(tmp_path / "port") as node:
        until(lambda: reader.readiness()["ports"])
        os.write(node, f"{NEW}\n".encode())
        until(lambda: len(rows_of(values)) == 2)
        reader.stop()

    assert [row.node for row in rows_of(values)] == [None, "7"]


def test_while_the_database_is_away_lines_wait(values: Settings, tmp_path: Path) -> None:
    own = MariaDB(tmp_path / "own")
    values = replace(values, database=replace(values.database, host="127.0.0.1", port=own.port))
    with pty_port(tmp_path / "port") as node:
        with own:
            reader = LogReader(values)
            reader.start()
            until(lambda: all(reader.readiness().values()))
        for number in range(200):
            os.write(node, f"{OLD},{number},\n".encode())
        until(lambda: reader.waiting() == 200)
        until(lambda: not reader.readiness()["database"])

        with own:
            until(lambda: reader.waiting() == 0)
            reader.stop()
            assert [row.node for row in rows_of(values)] == [str(number) for number in range(200)]


def test_a_row_that_never_fits_does_not_hold_up_the_others(values: Settings, tmp_path: Path) -> None:
    open_database(values.database, migrate=True).close()
    with sqlite3.connect(values.database.sqlite_path) as connection:
        connection.execute(
            "CREATE TRIGGER hot BEFORE INSERT ON edge_log WHEN NEW.actual_temp > 60 "
            "BEGIN SELECT RAISE(ABORT, 'too hot'); END"
        )
    lost = counted("lost")
    with pty_port(tmp_path / "port") as node, reading(values):
        for number in range(20):
            os.write(node, f"{OLD.replace('21.50', '99.00') if number == 7 else OLD},{number},\n".encode())
        until(lambda: len(rows_of(values)) == 19)

    assert {row.node for row in rows_of(values)} == {str(number) for number in range(20) if number != 7}
    assert counted("lost") - lost == 1


def test_an_error_of_ours_in_the_database_watch_is_noticed(values: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Database) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Database, "migrate", fail)
    reader = LogReader(values)
    reader.start()

    until(reader.ended)

    assert reader.liveness() == {"ports": True, "writer": True, "database_watch": False}
    reader.stop()


def test_without_a_port_it_says_what_to_set(load: Load) -> None:
    with pytest.raises(SettingsError, match="EDGE_LOG_PORT is not set; name the port"):
        edge_log.run(load())


def test_the_process_stores_what_it_read_before_it_stops(tmp_path: Path) -> None:
    environ = {"AOII_DATA_DIR": str(tmp_path), "EDGE_LOG_PORT": str(tmp_path / "port")}
    process = StationProcess("edge_log", environ, tmp_path / "log")
    with pty_port(tmp_path / "port") as node:
        process.start()
        until(process.is_ready)
        os.write(node, f"{OLD}\n{NEW}\n".encode() * 10)

        code, seconds = process.terminate()

    assert code == 0
    assert seconds < 10
    database = open_database(sqlite_at(tmp_path / "aoii.db"))
    assert len(database.recent_edge_log(100)) == 20
    database.close()
