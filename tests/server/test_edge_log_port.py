"""The USB port of a node's log, on a pseudo-terminal."""

import os
from pathlib import Path

import pytest

from aoii.core.errors import UnavailableError
from aoii.server import edge_log_port
from aoii.server.edge_log_port import LogPort
from servers import pty_port


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
    monkeypatch.setattr(edge_log_port, "CHECK_S", 0.0)
    name = tmp_path / "port"
    with pty_port(tmp_path / "a"), pty_port(tmp_path / "b"):
        name.symlink_to(tmp_path / "a")
        with LogPort(str(name)) as port:
            name.unlink()
            name.symlink_to(tmp_path / "b")

            with pytest.raises(UnavailableError, match="another device has this name"):
                read_all(port, 1)
