"""Recordings: measured temperature and humidity in CSV or CSV.gz, `timestamp[,node],temperature,humidity`.

A malformed row is an error, and a gap stays a gap. The shipped recording is a winter day of the NOAA SURFRAD station
San Luis Valley (public domain), one reading a minute.
"""

import itertools
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from aoii.core.errors import InputError
from aoii.simulation import recording_rows
from aoii.simulation.recording_rows import AS_THEY_ARE, Choices, Row
from aoii.simulation.repeated_instants import resolve_repeats

SHIPPED = Path(__file__).parent / "surfrad_slv_20160101_1min.csv.gz"

Sample = tuple[int, tuple[int, int]]  # instant in ms; temperature and humidity in hundredths


@dataclass(frozen=True)
class Series:
    """The readings of one node, in order of time.

    Attributes:
        node: Name in the file; empty when the file names no node.
        start_unix_s: Unix time of the first row; a timestamp without a zone is UTC.
        interval_s: Median interval between rows, s.
        slots: Sampling intervals from the first row to each row; strictly rising, a jump is a gap.
        timestamps: As written in the file.
        temperature_c: Readings in 0.01 °C.
        humidity_c: Readings in 0.01 %RH.
    """

    node: str
    start_unix_s: float
    interval_s: float
    slots: tuple[int, ...]
    timestamps: tuple[str, ...]
    temperature_c: tuple[int, ...]
    humidity_c: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.slots)

    @property
    def span_s(self) -> float:
        """Seconds from the first row to one interval after the last."""
        return (self.slots[-1] + 1) * self.interval_s


def parse(path: Path | None = None, say: Callable[[str], None] = lambda note: None) -> list[Series]:
    """All series of a recording, in the order in which their nodes appear; of the shipped recording by default.

    Args:
        path: The file, as `recording_rows.read` takes it.
        say: Called with each thing that whoever uses the recording should know, with the name of the file.

    Raises:
        InputError: The file cannot be read, a row is malformed, or a node has no two rows at different times.
    """
    path = SHIPPED if path is None else path
    by_node = rows_by_node(path, AS_THEY_ARE, say)
    return [_series(node, readings) for node, readings in by_node.items()]


def rows_by_node(path: Path, choices: Choices, say: Callable[[str], None]) -> dict[str, list[Row]]:
    """The rows of each node in order of time; arguments and errors are those of `parse`, and how to read.

    Args:
        path: The file.
        choices: What to do where a file can be read in several ways.
        say: As in `parse`.
    """
    by_node: dict[str, list[Row]] = {}
    rows, notes = recording_rows.read(path, choices)
    for row in rows:
        by_node.setdefault(row.node, []).append(row)
    if not by_node:
        raise InputError(f"{path}: has no rows", "give a recording with at least two")
    for node, readings in by_node.items():
        kept, note = resolve_repeats(path, readings, choices.repeats)
        by_node[node] = sorted(kept)
        notes += [note] if note else []
        if len(kept) < 2:
            raise InputError(f"{path}: node {node or '(unnamed)'} has one row only", "a series needs at least two")
    for note in notes:
        say(f"{path.name}: {note}")
    return by_node


def replay_samples(series: Series, first: int, boot_ms: int, period_ms: int) -> Iterator[Sample]:
    """Samples of one node without end: the recording from row `first` on, then from its beginning, again and again.

    A gap in the recording stays a gap.

    Args:
        series: The recording of the node.
        first: Row of the first sample.
        boot_ms: Instant of the first sample.
        period_ms: Sampling interval of the node, by which the recording's own is replaced.
    """
    base_ms = boot_ms - series.slots[first] * period_ms
    lap_ms = (series.slots[-1] + 1) * period_ms
    row = first
    while True:
        yield base_ms + series.slots[row] * period_ms, (series.temperature_c[row], series.humidity_c[row])
        row += 1
        if row == len(series):
            row = 0
            base_ms += lap_ms


def _series(node: str, readings: list[Row]) -> Series:
    instants = [row.unix_s for row in readings]
    intervals = [b - a for a, b in itertools.pairwise(instants)]
    interval_s = statistics.median(intervals)
    slots = [0]
    for passed_s in intervals:  # from row to row, because a logger's clock may drift
        slots.append(slots[-1] + max(1, round(passed_s / interval_s)))
    return Series(
        node=node,
        start_unix_s=instants[0],
        interval_s=interval_s,
        slots=tuple(slots),
        timestamps=tuple(row.timestamp for row in readings),
        temperature_c=tuple(row.temperature_c for row in readings),
        humidity_c=tuple(row.humidity_c for row in readings),
    )
