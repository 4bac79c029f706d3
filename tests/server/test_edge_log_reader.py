"""The thread of one port: lines become rows of the buffer, and a port that is gone is opened again."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aoii.runtime import metrics
from aoii.server.edge_log_buffer import EdgeLogBuffer
from aoii.server.edge_log_reader import EdgeLogReader
from aoii.settings import LogSource
from servers import pty_port, until

OLD = "21.50,40.00,21.00,41.25,0.50,1.25,SEND & TRAIN,512,100000,200000"
NEW = "21.50,40.00,21.70,41.25,-0.20,-1.25,SKIP,0,0,0,7,1451606400123"


@contextmanager
def reading(source: LogSource, buffer: EdgeLogBuffer) -> Iterator[EdgeLogReader]:
    stop = threading.Event()
    reader = EdgeLogReader(source, buffer, stop)
    reader.start()
    try:
        yield reader
    finally:
        stop.set()
        reader.join(10)
    assert not reader.part.is_running


def test_a_line_without_a_node_gets_that_of_the_port(tmp_path: Path) -> None:
    buffer = EdgeLogBuffer()
    noise = metrics.value(metrics.LOG_LINES, outcome="noise")
    with pty_port(tmp_path / "port") as node, reading(LogSource(str(tmp_path / "port"), "attic"), buffer) as reader:
        until(lambda: reader.is_open)
        os.write(node, f"{OLD}\n{NEW}\nnoise\n".encode())
        until(lambda: len(buffer) == 2)
        until(lambda: metrics.value(metrics.LOG_LINES, outcome="noise") == noise + 1)

    assert [row.node for row in buffer.take(9)] == ["attic", "7"]


def test_what_has_arrived_before_the_stop_is_read(tmp_path: Path) -> None:
    buffer = EdgeLogBuffer()
    with pty_port(tmp_path / "port") as node:
        with reading(LogSource(str(tmp_path / "port"), None), buffer) as reader:
            until(lambda: reader.is_open)
            os.write(node, f"{NEW}\n".encode() * 10)

        assert len(buffer) == 10


def test_a_missing_port_is_logged_once_and_opened_when_it_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aoii.server.edge_log_reader.REOPEN_FIRST_S", 0.01)
    monkeypatch.setattr("aoii.server.edge_log_reader.REOPEN_LAST_S", 0.01)
    with reading(LogSource(str(tmp_path / "port"), None), EdgeLogBuffer()) as reader:
        until(lambda: any(record.message == "log port away" for record in caplog.records))
        first = reader.part.last_progress_s
        until(lambda: reader.part.last_progress_s > first)  # it has tried again
        assert not reader.is_open

        with pty_port(tmp_path / "port"):
            until(lambda: reader.is_open)

            assert [record.message for record in caplog.records].count("log port away") == 1
