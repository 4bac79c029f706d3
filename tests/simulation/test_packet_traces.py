"""Packet traces: gaps in the numbers are losses, and any file is a trace or one error."""

import contextlib
import gzip
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aoii.core.errors import InputError
from aoii.simulation import packet_traces
from aoii.simulation.radio import PacketTrace

HEADER = "timestamp,node,temperature,humidity,seq\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "trace.csv"
    path.write_text(text)
    return path


def rows(*entries: tuple[int, int], node: str = "a") -> str:
    return "".join(f"2026-01-01T{minute // 60:02}:{minute % 60:02}:00,{node},20,40,{seq}\n" for minute, seq in entries)


def test_missing_numbers_are_losses_and_a_restart_is_none(tmp_path: Path) -> None:
    text = HEADER + rows((0, 7), (1, 8), (4, 11), (5, 1), (6, 2), (7, 60_000))

    trace = packet_traces.parse(write(tmp_path, text))["a"]

    assert trace.received == (True, True, False, False, True, True, True, True)
    assert trace.interval_s == 60.0


def test_nodes_are_kept_apart_and_gzip_is_read(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv.gz"
    path.write_bytes(gzip.compress((HEADER + rows((0, 1), (1, 2)) + rows((0, 1), (2, 3), node="b")).encode()))

    assert {node: len(one.received) for node, one in packet_traces.parse(path).items()} == {"a": 2, "b": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("timestamp,temperature\n", "lacks seq"),
        (HEADER, "no node has two rows"),
        (HEADER + "now,a,20,40,1\n", ":2: "),
        (HEADER + "2026-01-01,a,20,40,one\n", ":2: "),
        (HEADER + "2026-01-01\n", ":2: "),
    ],
)
def test_a_file_that_is_not_a_trace_is_rejected_with_the_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        packet_traces.parse(write(tmp_path, text))


def test_a_file_that_does_not_exist_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        packet_traces.parse(tmp_path / "none.csv")


@given(st.binary(max_size=200))
@example(b"\r\x00")
def test_any_bytes_are_a_trace_or_one_error(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.csv"
        path.write_bytes(HEADER.encode() + content)
        with contextlib.suppress(InputError):
            assert packet_traces.parse(path)


def test_a_node_without_a_trace_of_its_name_has_the_first() -> None:
    first, second = PacketTrace(60.0, (True,)), PacketTrace(60.0, (False,))

    assert packet_traces.of_node({"a": first, "b": second}, "b") is second
    assert packet_traces.of_node({"a": first, "b": second}, "c") is first
