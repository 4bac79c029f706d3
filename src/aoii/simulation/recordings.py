"""Recordings: measured temperature and humidity in CSV or CSV.gz, `timestamp[,node],temperature,humidity`.

A malformed row is an error, and a gap stays a gap. The shipped recording is a winter day of the NOAA SURFRAD station
San Luis Valley (public domain), one reading a minute.
"""

import itertools
import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aoii.core.errors import InputError
from aoii.simulation import csv_table

SHIPPED = Path(__file__).parent / "surfrad_slv_20160101_1min.csv.gz"
COLUMNS = ("timestamp", "temperature", "humidity")

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


def parse(path: Path | None = None) -> list[Series]:
    """All series of a recording, in the order in which their nodes appear; of the shipped recording by default.

    Raises:
        InputError: The file cannot be read, a row is malformed, or a node has no two rows at different times.
    """
    path = SHIPPED if path is None else path
    rows: dict[str, list[tuple[float, int, int, str]]] = {}
    for line, row in csv_table.rows(path, COLUMNS, "timestamp[,node],temperature,humidity"):
        node, at, temperature_c, humidity_c = _parse(path, line, row)
        rows.setdefault(node, []).append((at, temperature_c, humidity_c, row["timestamp"]))
    if not rows:
        raise InputError(f"{path}: has no rows", "give a recording with at least two")
    return [_series(path, node, sorted(readings)) for node, readings in rows.items()]


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


def _parse(path: Path, line: int, row: dict[str, str]) -> tuple[str, float, int, int]:
    try:
        at = csv_table.parse_time(row["timestamp"])
        temperature, humidity = float(row["temperature"]), float(row["humidity"])
    except ValueError as error:
        raise InputError(f"{path}:{line}: {error}", csv_table.CORRECT_LINE) from error
    if not (math.isfinite(temperature) and math.isfinite(humidity)):
        raise InputError(f"{path}:{line}: temperature or humidity is not finite", csv_table.CORRECT_LINE)
    if not (-327 < temperature < 327 and -1 < humidity < 327):
        raise InputError(f"{path}:{line}: {temperature:g} °C, {humidity:g} %RH is out of range", csv_table.CORRECT_LINE)
    return row.get("node") or "", at.timestamp(), round(temperature * 100), round(humidity * 100)


def _series(path: Path, node: str, readings: list[tuple[float, int, int, str]]) -> Series:
    if len(readings) < 2:
        raise InputError(f"{path}: node {node or '(unnamed)'} has one row only", "a series needs at least two")
    instants = [at for at, *_ in readings]
    intervals = [b - a for a, b in itertools.pairwise(instants)]
    interval_s = statistics.median(intervals)
    if interval_s <= 0:
        raise InputError(f"{path}: node {node or '(unnamed)'} repeats its timestamps", "give one row for each sample")
    slots = [0]
    for passed_s in intervals:  # from row to row, because a logger's clock may drift
        slots.append(slots[-1] + max(1, round(passed_s / interval_s)))
    return Series(
        node=node,
        start_unix_s=instants[0],
        interval_s=interval_s,
        slots=tuple(slots),
        timestamps=tuple(text for *_, text in readings),
        temperature_c=tuple(t for _, t, _, _ in readings),
        humidity_c=tuple(h for _, _, h, _ in readings),
    )
