"""Packet traces: which packets of each node a real gateway received, from the gaps in their sequence numbers."""

import itertools
import statistics
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from aoii.core.errors import InputError
from aoii.simulation import csv_table
from aoii.simulation.radio import PacketTrace

RESTART = 1000  # a sequence number that jumps back, or forward by more than this, means that the node restarted


def of_node(traces: Mapping[str, PacketTrace], name: str) -> PacketTrace:
    """The trace of the node with this name; the first trace when there is none."""
    return traces.get(name) or next(iter(traces.values()))


def parse(path: Path) -> dict[str, PacketTrace]:
    """The packet traces in a CSV or CSV.gz file with the columns timestamp, seq and perhaps node, by node.

    Raises:
        InputError: The file cannot be read, a row is malformed, or no node has two rows.
    """
    rows: dict[str, list[tuple[datetime, int]]] = {}
    for line, row in csv_table.rows(path, ("timestamp", "seq"), "timestamp,node,temperature,humidity,seq"):
        try:
            entry = csv_table.parse_time(row["timestamp"]), int(row["seq"])
        except ValueError as error:
            raise InputError(f"{path}:{line}: {error}", csv_table.CORRECT_LINE) from error
        rows.setdefault(row.get("node") or "", []).append(entry)
    traces = {node: _trace(entries) for node, entries in rows.items() if len(entries) > 1}
    if not traces:
        raise InputError(f"{path}: no node has two rows", "give a longer trace")
    return traces


def _trace(entries: list[tuple[datetime, int]]) -> PacketTrace:
    received = [True]
    intervals = []
    for (before, last), (at, seq) in itertools.pairwise(entries):
        passed = seq - last
        lost = passed - 1 if 0 < passed <= RESTART else 0
        received += [False] * lost + [True]
        if not lost:
            intervals.append((at - before).total_seconds())
    return PacketTrace(max(statistics.median(intervals or [60.0]), 1.0), tuple(received))
