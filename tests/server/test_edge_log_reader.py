"""The USB port of a node's log, on a pseudo-terminal: its bytes, and the thread that makes rows of its lines."""

import os
import re
import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aoii.core.errors import UnavailableError
from aoii.runtime import metrics
from aoii.server import edge_log_reader
from aoii.server.edge_log_reader import LogPort, LogPortReader
from aoii.server.rows import EdgeLogRow
from aoii.settings import LogSource
from gateway.station import read_until
from servers import pty_port, until

OLD = "21.50,40.00,21.00,41.25,0.50,1.25,SEND & TRAIN,512,100000,200000"
NEW = "21.50,40.00,21.70,41.25,-0.20,-1.25,SKIP,0,0,0,7,1451606400123"


@contextmanager
def reading(source: LogSource, rows: list[EdgeLogRow]) -> Iterator[LogPortReader]:
    stop = threading.Event()
    reader = LogPortReader(source, lambda row, _: rows.append(row), stop)
    reader.start()
    try:
        yield reader
    finally:
        stop.set()
        reader.join(10)
    assert not reader.part.is_running


def test_a_line_without_a_node_gets_that_of_the_port(tmp_path: Path) -> None:
    rows: list[EdgeLogRow] = []
    noise = metrics.value(metrics.LOG_LINES, outcome="noise")
    with pty_port(tmp_path / "port") as node, reading(LogSource(str(tmp_path / "port"), "attic"), rows) as reader:
        until(lambda: reader.is_open)
        os.write(node, f"{OLD}\n{NEW}\nnoise\n".encode())
        until(lambda: len(rows) == 2)
        until(lambda: metrics.value(metrics.LOG_LINES, outcome="noise") == noise + 1)

    assert [row.node for row in rows] == ["attic", "7"]


def test_a_node_that_asks_for_the_time_gets_it_and_no_other_line_gets_an_answer(tmp_path: Path) -> None:
    rows: list[EdgeLogRow] = []
    noise = metrics.value(metrics.LOG_LINES, outcome="noise")
    told = metrics.value(metrics.LOG_LINES, outcome="time")
    with pty_port(tmp_path / "port") as node, reading(LogSource(str(tmp_path / "port"), None), rows) as reader:
        until(lambda: reader.is_open)
        before_s = int(time.time())

        os.write(node, b"TIME?\r\n")  # as `Serial.println` sends it

        answer = read_until(node, b"\n", 30)
        os.write(node, f"{OLD}\nTIME? \nTIME:5\ntime?\nWHAT TIME?\n{NEW}\n".encode())
        until(lambda: len(rows) == 2)
        until(lambda: metrics.value(metrics.LOG_LINES, outcome="noise") == noise + 3)
        second = read_until(node, b"\n", 30)
        assert not select.select([node], [], [], 0.3)[0]

    assert re.fullmatch(rb"TIME:[0-9]{10}\n", answer)
    assert before_s <= int(answer[5:]) <= int(second[5:]) <= time.time()
    assert metrics.value(metrics.LOG_LINES, outcome="time") == told + 2


def test_what_has_arrived_before_the_stop_is_read(tmp_path: Path) -> None:
    rows: list[EdgeLogRow] = []
    with pty_port(tmp_path / "port") as node:
        with reading(LogSource(str(tmp_path / "port"), None), rows) as reader:
            until(lambda: reader.is_open)
            os.write(node, f"{NEW}\n".encode() * 10)

        assert len(rows) == 10


def test_a_missing_port_is_logged_once_and_opened_when_it_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_log_reader, "REOPEN_FIRST_S", 0.01)
    monkeypatch.setattr(edge_log_reader, "REOPEN_LAST_S", 0.01)
    with reading(LogSource(str(tmp_path / "port"), None), []) as reader:
        until(lambda: any(record.message == "log port away" for record in caplog.records))
        first = reader.part.last_progress_s
        until(lambda: reader.part.last_progress_s > first)  # it has tried again
        assert not reader.is_open

        with pty_port(tmp_path / "port"):
            until(lambda: reader.is_open)

            assert [record.message for record in caplog.records].count("log port away") == 1


def read_all(port: LogPort, count: int) -> bytes:
    """What arrives, until it is `count` bytes."""
    found = b""
    for _ in range(100):
        found += port.read()
        if len(found) >= count:
            break
    return found


def test_what_a_node_prints_is_read_whole(tmp_path: Path) -> None:
    text = b"21.50,40.00\n" * 100
    with pty_port(tmp_path / "port") as node, LogPort(str(tmp_path / "port")) as port:
        os.write(node, text)

        assert read_all(port, len(text)) == text
        assert port.read() == b""


def test_a_port_that_is_missing_names_what_to_check(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="check the cable, EDGE_LOG_PORT"):
        LogPort(str(tmp_path / "none"))


def test_a_name_that_now_belongs_to_another_device_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_log_reader, "CHECK_S", 0.0)
    name = tmp_path / "port"
    with pty_port(tmp_path / "a"), pty_port(tmp_path / "b"):
        name.symlink_to(tmp_path / "a")
        with LogPort(str(name)) as port:
            name.unlink()
            name.symlink_to(tmp_path / "b")

            with pytest.raises(UnavailableError, match="another device has this name"):
                read_all(port, 1)
