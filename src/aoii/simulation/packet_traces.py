"""Packet traces: which packets of each node a real gateway received, from the gaps in their sequence numbers."""

import itertools
import statistics
from collections.abc import Mapping
from pathlib import Path

from aoii.core.errors import InputError
from aoii.runtime.numerals import whole
from aoii.simulation import csv_table
from aoii.simulation.field_formats import parse_instant
from aoii.simulation.radio import PacketTrace

NEEDED = ("timestamp", "seq")
RESTART = 1000  # a sequence number that jumps back, or forward by more than this, means that the node restarted


def of_node(traces: Mapping[str, PacketTrace], name: str) -> PacketTrace:
    """The trace of the node with this name; the first trace when there is none."""
    return traces.get(name) or next(iter(traces.values()))


def parse(path: Path) -> dict[str, PacketTrace]:
    """The packet traces in a CSV or CSV.gz file with the columns timestamp, seq and perhaps node, by node.

    Raises:
        InputError: The file cannot be read, a row is malformed, or no node has two rows.
    """
    rows: dict[str, list[tuple[float, int]]] = {}
    table = csv_table.read(path)
    if lacking := [name for name in NEEDED if name not in table.columns]:
        raise InputError(f"{path}: lacks {', '.join(lacking)}", "a packet trace has the columns timestamp,seq[,node]")
    for line, row in table.rows({name: name for name in (*NEEDED, "node")}):
        try:
            entry = parse_instant(row["timestamp"]), whole(row["seq"])
        except ValueError as error:
            raise InputError(f"{path}:{line}: {error}", csv_table.CORRECT_LINE) from error
        rows.setdefault(row.get("node") or "", []).append(entry)
    traces = {node: _trace(entries) for node, entries in rows.items() if len(entries) > 1}
    if not traces:
        raise InputError(f"{path}: no node has two rows", "give a longer trace")
    return traces


def _trace(entries: list[tuple[float, int]]) -> PacketTrace:
    received = [True]
    intervals = []
    for (before, last), (at, seq) in itertools.pairwise(entries):
        passed = seq - last
        lost = passed - 1 if 0 < passed <= RESTART else 0
        received += [False] * lost + [True]
        if not lost:
            intervals.append(at - before)
    return PacketTrace(max(statistics.median(intervals or [60.0]), 1.0), tuple(received))
