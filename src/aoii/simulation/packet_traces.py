"""Packet traces: which packets a real gateway heard of each node, read strictly from the gaps in their numbers."""

import itertools
import statistics
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from aoii.core.errors import InputError
from aoii.simulation import csv_table
from aoii.simulation.radio import PacketTrace

RESTART = 1000  # a sequence number that jumps further than this, or back, is a node that began anew, not a loss


def of_node(traces: Mapping[str, PacketTrace], name: str) -> PacketTrace:
    """The trace of the node with this name, else the first."""
    return traces.get(name) or next(iter(traces.values()))


def parse(path: Path) -> dict[str, PacketTrace]:
    """The packet traces of a file by node: CSV or CSV.gz with the columns timestamp, seq and perhaps node.

    Raises:
        InputError: The file cannot be read, or a row is malformed; names the file, the line and what to do.
    """
    rows: dict[str, list[tuple[datetime, int]]] = {}
    for line, row in csv_table.rows(path, ("timestamp", "seq"), "timestamp,node,temperature,humidity,seq"):
        try:
            entry = csv_table.instant(row["timestamp"]), int(row["seq"])
        except ValueError as error:
            raise InputError(f"{path}:{line}: {error}; correct or remove the line") from error
        rows.setdefault(row.get("node") or "", []).append(entry)
    traces = {node: _trace(entries) for node, entries in rows.items() if len(entries) > 1}
    if not traces:
        raise InputError(f"{path}: no node has two rows; give a longer trace")
    return traces


def _trace(entries: list[tuple[datetime, int]]) -> PacketTrace:
    heard = [True]
    intervals = []
    for (before, last), (at, seq) in itertools.pairwise(entries):
        passed = seq - last
        lost = passed - 1 if 0 < passed <= RESTART else 0
        heard += [False] * lost + [True]
        if not lost:
            intervals.append((at - before).total_seconds())
    return PacketTrace(max(statistics.median(intervals or [60.0]), 1.0), tuple(heard))
