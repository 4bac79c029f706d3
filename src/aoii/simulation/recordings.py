"""Recordings: CSV or CSV.gz with `timestamp[,node],temperature,humidity`, read strictly; a gap stays a gap.

The shipped one is a winter day of the NOAA SURFRAD station San Luis Valley (public domain), one reading a minute.
"""

import itertools
import math
import statistics
from dataclasses import dataclass
from pathlib import Path

from aoii.core.errors import InputError
from aoii.simulation import csv_table

SHIPPED = Path(__file__).parent / "surfrad_slv_20160101_1min.csv.gz"
COLUMNS = ("timestamp", "temperature", "humidity")


@dataclass(frozen=True)
class Series:
    """What one node measured, in order of time.

    Attributes:
        node: Name in the file; empty when the file has no node column.
        start_unix_s: Unix time of the first row; a timestamp without a zone is UTC.
        interval_s: Median interval between rows, s.
        slots: Position of each row in sampling intervals from the first; strictly rising, a jump is a gap.
        timestamps: As they stand in the file.
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
        """From the first row to one interval after the last, s."""
        return (self.slots[-1] + 1) * self.interval_s


def parse(path: Path | None = None) -> list[Series]:
    """All series of a recording, in the order in which their nodes appear; the shipped one by default.

    Raises:
        InputError: The file cannot be read, or a row is malformed; names the file, the line and what to do.
    """
    path = SHIPPED if path is None else path
    rows: dict[str, list[tuple[float, int, int, str]]] = {}
    for line, row in csv_table.rows(path, COLUMNS, "timestamp[,node],temperature,humidity"):
        node, at, temperature_c, humidity_c = _parse(path, line, row)
        rows.setdefault(node, []).append((at, temperature_c, humidity_c, row["timestamp"]))
    if not rows:
        raise InputError(f"{path}: has no rows; give a recording with at least two")
    return [_series(path, node, sorted(readings)) for node, readings in rows.items()]


def _parse(path: Path, line: int, row: dict[str, str]) -> tuple[str, float, int, int]:
    try:
        at = csv_table.instant(row["timestamp"])
        temperature, humidity = float(row["temperature"]), float(row["humidity"])
    except ValueError as error:
        raise InputError(f"{path}:{line}: {error}; correct or remove the line") from error
    if not (math.isfinite(temperature) and math.isfinite(humidity)):
        raise InputError(f"{path}:{line}: a reading is not a finite number; correct or remove the line")
    if not (-327 < temperature < 327 and -1 < humidity < 327):
        raise InputError(
            f"{path}:{line}: no sensor reads {temperature:g} °C, {humidity:g} %RH; correct or remove the line"
        )
    return row.get("node") or "", at.timestamp(), round(temperature * 100), round(humidity * 100)


def _series(path: Path, node: str, readings: list[tuple[float, int, int, str]]) -> Series:
    if len(readings) < 2:
        raise InputError(f"{path}: node {node or '(unnamed)'} has one row only; a series needs at least two")
    instants = [at for at, *_ in readings]
    intervals = [b - a for a, b in itertools.pairwise(instants)]
    interval_s = statistics.median(intervals)
    if interval_s <= 0:
        raise InputError(f"{path}: node {node or '(unnamed)'} repeats its timestamps; give one row for each sample")
    slots = [0]
    for passed_s in intervals:  # from row to row: the logger's clock may drift, and each row is a sample of its own
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
