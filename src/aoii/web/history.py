"""One node over any range of time, from the database: every point of a short range, the extremes of a long one.

The code of the live view (fleet.py) turns a short range into points and a summary. A long range is divided into columns
of equal width, about one for every two pixels. Each column keeps its lowest and highest values, so no spike is lost.
Where the node's log has a gap, so has the line; a gap narrower than a column shows only after zooming in.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from aoii.core.errors import InputError
from aoii.runtime.clock import utc
from aoii.server.db import Database
from aoii.server.rows import ChartColumn, EdgeLogRow, ReadingRow
from aoii.web.fleet import TRACK_LIMIT, UNNAMED, Fleet
from aoii.web.fleet_settings import FleetSettings
from aoii.web.page_json import Json, encode_points, encode_rows, encode_summary
from aoii.web.points import NO_POINTS, Extremes, unix_ms

GAP_PERIODS = 3  # a longer gap between samples is a gap in the line; as LOG_GAP_PERIODS in static/series.js
COLUMN_COUNT = 700  # of a long range; half the pixels of a wide chart
RANGE_LIMIT_S = 20 * 366 * 86400
PRESENT = {
    "states",
    "liveness",
    "last_heard_ms",
    "health",
    "error_bound",
    "name",
    "place",
}  # of a summary: nothing about a past range


@dataclass(frozen=True)
class Range:
    """A range of time.

    Attributes:
        start_ms: Its first instant, Unix ms.
        end_ms: The first instant after it, Unix ms.

    Raises:
        InputError: The range is empty or longer than 20 years.
    """

    start_ms: int
    end_ms: int

    def __post_init__(self) -> None:
        if not self.start_ms < self.end_ms:
            raise InputError("start is not before end", "give an earlier start")
        if self.end_ms - self.start_ms > 1000 * RANGE_LIMIT_S:
            raise InputError("the range is longer than 20 years", "give a later start")


def read_history(database: Database, node: str, span: Range, settings: FleetSettings) -> Json:
    """The node's history over a range, as JSON for the page.

    Raises:
        UnavailableError: The database is away.
    """
    name = None if node == UNNAMED else node
    start, end = utc(span.start_ms), utc(span.end_ms)
    logs = database.between(EdgeLogRow, name, start, end, TRACK_LIMIT + 1)
    readings = database.between(ReadingRow, name, start, end, TRACK_LIMIT + 1)
    content: Json = {"node": node, "start_ms": span.start_ms, "end_ms": span.end_ms}
    if max(len(logs), len(readings)) <= TRACK_LIMIT:
        return content | _every_point(logs, readings, node, span, settings)
    width_s = max(1, (span.end_ms - span.start_ms) // 1000 // COLUMN_COUNT)
    measured = database.chart_columns(EdgeLogRow, name, start, end, width_s)
    arrived = database.chart_columns(ReadingRow, name, start, end, width_s)
    line = envelope(measured, GAP_PERIODS * 1000 * settings.period_s)
    return content | {
        "exact": False,
        "width_s": width_s,
        "measured": encode_rows("extremes", line),
        "arrived": encode_rows("extremes", map(_extremes, arrived)),
        "summary": _totals(measured, arrived, settings),
    }


def envelope(columns: list[ChartColumn], gap_ms: int) -> Iterator[Extremes]:
    """The columns as a line of extremes, each at the middle of its rows.

    If more than `gap_ms` milliseconds lie between the last row of a column and the first of the next, the line ends at
    the last row, has a gap, and starts again at the first.
    """
    is_start = True
    for column, following in zip(columns, [*columns[1:], None], strict=True):
        extremes = _extremes(column)
        first_ms, last_ms = unix_ms(column.first), unix_ms(column.last)
        if is_start and first_ms != extremes.at_ms:
            yield extremes._replace(at_ms=first_ms)
        yield extremes
        is_start = following is None or unix_ms(following.first) - last_ms > gap_ms
        if is_start:
            if last_ms != extremes.at_ms:
                yield extremes._replace(at_ms=last_ms)
            yield Extremes(last_ms + 1, None, None, None, None)


def _every_point(
    logs: list[EdgeLogRow], readings: list[ReadingRow], node: str, span: Range, settings: FleetSettings
) -> Json:
    """The points and the summary of a short range; no summary if nothing is in it."""
    fleet = Fleet(settings)
    for row in logs:
        fleet.add_log_row(row)
    for reading in readings:
        fleet.add_reading(reading)
    length_s = (span.end_ms - span.start_ms) / 1000
    if node not in fleet:
        return {"exact": True, "summary": None} | encode_points(NO_POINTS)
    summary = encode_summary(fleet.summary(node, length_s, span.end_ms)) or {}
    summary = {name: value for name, value in summary.items() if name not in PRESENT}
    return {"exact": True, "summary": summary} | encode_points(fleet.points(node, length_s))


def _extremes(column: ChartColumn) -> Extremes:
    """A column's extremes, at the middle between its first and its last row."""
    middle_ms = (unix_ms(column.first) + unix_ms(column.last)) // 2
    return Extremes(middle_ms, column.min_temp, column.max_temp, column.min_humidity, column.max_humidity)


def _totals(measured: list[ChartColumn], arrived: list[ChartColumn], settings: FleetSettings) -> Json:
    """What is known of a range that is too long to judge each of its sample instants."""
    both = measured + arrived
    start_ms, end_ms = min(unix_ms(column.first) for column in both), max(unix_ms(column.last) for column in both)
    return {
        "start_ms": start_ms,
        "end_ms": end_ms,
        "packets": sum(column.rows for column in arrived),
        "periodic": settings.instants(start_ms, end_ms),
        "logged": bool(measured),
        "samples": sum(column.rows for column in measured),
    }
