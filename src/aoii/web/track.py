"""Points of one kind and node: in order of event time, limited in number, and with their order of arrival.

Points arrive in any order. The order of arrival lets any number of subscribers ask what is new to them, so there is no
queue for each.
"""

import itertools
from bisect import bisect_left, bisect_right, insort
from collections import deque
from typing import Generic, TypeVar

from aoii.web.points import EstimatePoint, Packet, Sample, event_ms

P = TypeVar("P", Sample, EstimatePoint, Packet)


class Track(Generic[P]):
    """Points in order of event time; when there are too many, the oldest are dropped."""

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
