"""The points that the page draws: a node's samples, the gateway's estimates, and the packets that arrived.

Temperatures are in °C, humidities in %RH, times in Unix ms.
"""

import itertools
from bisect import bisect_left, bisect_right, insort
from collections import deque
from datetime import UTC, datetime
from typing import Generic, NamedTuple, TypeVar

Key = tuple[int, int]
"""What tells one packet of a node from another: see `Packet.key`."""


class Sample(NamedTuple):
    """One row of a node's own log.

    Attributes:
        at_ms: Event time.
        temp: Measured temperature.
        hum: Measured humidity.
        pred_temp: Estimate just before the sample, from the last forecast that the gateway acknowledged to the node.
        pred_hum: The same for humidity.
        sent: Whether the node began to send this sample.
        heartbeat: Whether it sent the sample only as a heartbeat.
    """

    at_ms: int
    temp: float
    hum: float
    pred_temp: float
    pred_hum: float
    sent: bool
    heartbeat: bool


class EstimatePoint(NamedTuple):
    """The gateway's estimate at an instant, from its `EST` message."""

    at_ms: int
    temp: float
    hum: float


class Packet(NamedTuple):
    """A reading that reached the gateway, with the estimate just before it.

    Attributes:
        at_ms: Event time.
        temp: Measured temperature.
        hum: Measured humidity.
        pred_temp: Estimate just before the reading.
        pred_hum: The same for humidity.
        kind: Why it was sent: `event`, `heartbeat`, `backfill`, or `legacy` (old firmware).
        qos: 1 at or over a threshold, 0 below both.
        key: Epoch and counter; for a row without identity, another pair that is unique within its node.
    """

    at_ms: int
    temp: float
    hum: float
    pred_temp: float
    pred_hum: float
    kind: str
    qos: int
    key: Key


class Points(NamedTuple):
    """Points of one node."""

    samples: list[Sample]
    estimates: list[EstimatePoint]
    packets: list[Packet]


NO_POINTS = Points([], [], [])


class Extremes(NamedTuple):
    """The lowest and highest values in one column of a long range, at the middle of its rows; None: a gap."""

    at_ms: int
    min_temp: float | None
    max_temp: float | None
    min_hum: float | None
    max_hum: float | None


def hundredths(point: Sample | Packet) -> tuple[int, int]:
    """The reading in integer hundredths, to match a packet with its sample."""
    return round(point.temp * 100), round(point.hum * 100)


def unix_ms(at: datetime) -> int:
    """Unix ms of an instant in UTC without zone, as in the database."""
    return round(at.replace(tzinfo=UTC).timestamp() * 1000)


def event_ms(point: Sample | EstimatePoint | Packet) -> int:
    """Event time, as a sort key."""
    return point.at_ms


P = TypeVar("P", Sample, EstimatePoint, Packet)


class Track(Generic[P]):
    """Points of one kind and node, in order of event time; when there are too many, the oldest are dropped.

    Points arrive in any order. The order of arrival is kept as well, so that any number of open pages can ask for what
    is new to them without a list for each page.
    """

    def __init__(self) -> None:
        self._points: list[P] = []
        self._arrivals: deque[tuple[int, P]] = deque()
        self._dropped_version = 0  # arrivals up to this version are no longer in `_arrivals`

    def ends(self) -> tuple[int, ...]:
        """Event times of the earliest and the latest point; empty without points."""
        return (self._points[0].at_ms, self._points[-1].at_ms) if self._points else ()

    @property
    def last(self) -> P | None:
        """The latest point by event time."""
        return self._points[-1] if self._points else None

    def add(self, point: P, version: int, limit: int) -> list[P]:
        """Add a point that arrived at `version` and keep at most `limit`; return the points dropped."""
        insort(self._points, point, key=event_ms)
        self._arrivals.append((version, point))
        while len(self._arrivals) > limit:
            self._dropped_version = self._arrivals.popleft()[0]
        excess = max(0, len(self._points) - limit)
        dropped = self._points[:excess]
        del self._points[:excess]
        return dropped

    def between(self, start_ms: int, end_ms: int) -> list[P]:
        """Points from `start_ms` to `end_ms`, Unix ms, both included."""
        first = bisect_left(self._points, start_ms, key=event_ms)
        return self._points[first : bisect_right(self._points, end_ms, key=event_ms)]

    def since(self, version: int) -> list[P] | None:
        """Points that arrived after `version`, in order of arrival; None if some of them are no longer known."""
        if version < self._dropped_version:
            return None
        new = list(itertools.takewhile(lambda arrival: arrival[0] > version, reversed(self._arrivals)))
        return [point for _, point in reversed(new)]
