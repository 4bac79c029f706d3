"""One node over any range of time, read from the database: every point of a short range, the extremes of a long one.

A short range comes as points and a summary, made by the same code as the live view (fleet.py). A long one is cut into
columns of equal width, a few for each pixel; of each the least and the greatest values are kept, so no spike is lost.
Where a node's log has a hole, the line has one: it refuses to draw what nobody measured. A hole narrower than a column
is seen after zooming in.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from aoii.core.errors import InputError
from aoii.server.db import Database
from aoii.server.rows import Column, EdgeLogRow, ReadingRow
from aoii.web.fleet import TRACK_LIMIT, UNNAMED, Fleet
from aoii.web.points import Rules
from aoii.web.subscribers import short

GAP_PERIODS = 3  # as in the live view (static/series.js)
COLUMNS = 700  # about as many as a chart has pixels, divided by two
RANGE_LIMIT_S = 20 * 366 * 86400


@dataclass(frozen=True)
class Range:
    """A span of time, Unix ms; `end_ms` is the first instant after it."""

    start_ms: int
    end_ms: int

    def __post_init__(self) -> None:
        if not self.start_ms < self.end_ms:
            raise InputError("start is not before end; give an earlier start")
        if self.end_ms - self.start_ms > 1000 * RANGE_LIMIT_S:
            raise InputError("the range is longer than 20 years; give a later start")


def read(database: Database, node: str, span: Range, rules: Rules) -> dict[str, object]:
    """The node's history as JSON.

    Raises:
        UnavailableError: The database is away.
    """
    name = None if node == UNNAMED else node
    start, end = _utc(span.start_ms), _utc(span.end_ms)
    logs = database.edge_log_between(name, start, end, TRACK_LIMIT + 1)
    readings = database.readings_between(name, start, end, TRACK_LIMIT + 1)
    content: dict[str, object] = {"node": node, "start_ms": span.start_ms, "end_ms": span.end_ms}
    if max(len(logs), len(readings)) <= TRACK_LIMIT:
        return content | _exact(logs, readings, node, span, rules)
    width_s = max(1, (span.end_ms - span.start_ms) // 1000 // COLUMNS)
    measured = database.columns("edge_log", name, start, end, width_s)
    arrived = database.columns("readings", name, start, end, width_s)
    gap_ms = GAP_PERIODS * 1000 * rules.period_s
    return content | {
        "exact": False,
        "width_s": width_s,
        "measured": list(envelope(measured, gap_ms)),
        "arrived": [_extremes(column) for column in arrived],
        "summary": _counted(measured, arrived, rules),
    }


def _exact(
    logs: list[EdgeLogRow], readings: list[ReadingRow], node: str, span: Range, rules: Rules
) -> dict[str, object]:
    fleet = Fleet(rules)
    for row in logs:
        fleet.logged(row)
    for reading in readings:
        fleet.stored(reading)
    length_s = (span.end_ms - span.start_ms) / 1000
    if node not in fleet:
        return {"exact": True, "samples": [], "packets": [], "estimates": [], "summary": None}
    points = fleet.points(node, length_s)
    return {
        "exact": True,
        "samples": short(points.samples),
        "packets": short(points.packets),
        "estimates": [],
        "summary": asdict(fleet.summary(node, length_s, span.end_ms)),
    }


def envelope(columns: list[Column], gap_ms: int) -> Iterator[list[float | None]]:
    """The columns as points `[ms, least and greatest temperature, least and greatest humidity]`, with holes as None.

    A column stands at its middle. The line is cut where more than `gap_ms` lie between the last row of a column and the
    first of the next; it reaches to just these rows.
    """
    before: list[float | None] | None = None
    for column, following in zip(columns, [*columns[1:], None], strict=True):
        middle_ms, *extremes = _extremes(column)[:5]
        first_ms, last_ms = _ms(column.first), _ms(column.last)
        if before is None and first_ms != middle_ms:
            yield [first_ms, *extremes]
        before = [middle_ms, *extremes]
        yield before
        if following is None or _ms(following.first) - last_ms > gap_ms:
            if last_ms != middle_ms:
                yield [last_ms, *extremes]
            yield [last_ms + 1, None, None, None, None]
            before = None


def _extremes(column: Column) -> list[float | None]:
    """`[ms of the middle, least and greatest temperature, least and greatest humidity, rows]`."""
    values = (column.min_temp, column.max_temp, column.min_humidity, column.max_humidity)
    return [(_ms(column.first) + _ms(column.last)) // 2, *(round(value, 2) for value in values), column.rows]


def _counted(measured: list[Column], arrived: list[Column], rules: Rules) -> dict[str, object]:
    """What can be said of a range that is too long to judge each of its instants."""
    both = measured + arrived
    start_ms, end_ms = min(_ms(c.first) for c in both), max(_ms(c.last) for c in both)
    return {
        "start_ms": start_ms,
        "end_ms": end_ms,
        "packets": sum(column.rows for column in arrived),
        "periodic": (end_ms - start_ms) // (1000 * rules.period_s) + 1,
        "logged": bool(measured),
        "samples": sum(column.rows for column in measured),
    }


def _utc(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC).replace(tzinfo=None)


def _ms(at: datetime) -> int:
    return round(at.replace(tzinfo=UTC).timestamp() * 1000)
