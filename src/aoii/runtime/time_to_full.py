"""Time to full: how long until a buffer has no room, at the rate at which it grows now.

Pure: instants and sizes in, seconds out. What is not known yet is None, and a buffer that does not grow has infinite
time; the two differ, because a station that has just started can say neither that all is well nor that it is not.
"""

import math
from collections import deque

SAMPLES = 60  # kept of each span
FULL_SHARE = 0.99  # of a limit: SQLite refuses a row when its pages do not fit, before the last byte is used

OUTBOX_SPAN_S = 600.0  # a restart of broker or server is over in one half of it; an outage shows after the other
DISK_SPAN_S = 7200.0  # each half is longer than a rotation of logs or the dump of a database takes
REACH_SPAN_S = 86_400.0  # temperatures, and so readings, come and go with the day
REACH_LEAST_S = 3600.0


class Growth:
    """How fast something grows, from its sizes over the last span.

    Args:
        span_s: For how long the past counts as the present, s.
    """

    def __init__(self, span_s: float) -> None:
        self._span_s = span_s
        self._samples: deque[tuple[float, float]] = deque()  # instant and size, rising, 1/SAMPLES of a span apart
        self._newest: tuple[float, float] | None = None

    def record(self, at_s: float, size: float) -> None:
        """Record the size at an instant of a monotonic clock, s; instants do not fall."""
        self._newest = (at_s, size)
        if not self._samples or at_s - self._samples[-1][0] >= self._span_s / SAMPLES:
            self._samples.append(self._newest)
        while len(self._samples) > 1 and self._samples[1][0] <= at_s - self._span_s:
            self._samples.popleft()

    def steady_rate(self) -> float | None:
        """The growth per second that lasts; None until a whole span has passed.

        Of the two halves of the span the slower one counts, and one that shrinks counts as 0. So what grows once, in a
        burst, has no rate: it lies in one half. What goes on to grow is seen when it has lasted for half a span, at a
        lower rate than it has, and at its own after a whole one.
        """
        if self._newest is None:
            return None
        end_s = self._newest[0]
        start, middle = (self._at(end_s - ago_s) for ago_s in (self._span_s, self._span_s / 2))
        if start is None or middle is None or not start[0] < middle[0] < end_s:
            return None
        return max(0.0, min(_slope(start, middle), _slope(middle, self._newest)))

    def mean_rate(self, least_s: float) -> float | None:
        """The mean growth per second over the span, or over what of it has passed.

        None until `least_s` has passed, and while the size is smaller than it was: then it was counted anew.
        """
        if self._newest is None or self._newest[0] - self._samples[0][0] < least_s:
            return None
        rate = _slope(self._samples[0], self._newest)
        return None if rate < 0 else rate

    def _at(self, at_s: float) -> tuple[float, float] | None:
        """The latest sample at or before an instant."""
        return next((sample for sample in reversed(self._samples) if sample[0] <= at_s), None)


def time_to_full_s(room: float, rate: float | None) -> float | None:
    """How long until a buffer is full, s; infinite if it does not grow, 0 if it is full, None if it is not known.

    Args:
        room: What still fits.
        rate: The growth per second, in the same unit; None if it is not known.
    """
    if room <= 0:
        return 0.0  # also when it does not grow any more, because it cannot
    if rate is None:
        return None
    return room / rate if rate > 0 else math.inf


def file_room(limit: float, used: float) -> float:
    """How many bytes still fit into an SQLite file with a limit."""
    return max(0.0, FULL_SHARE * limit - used)


def outbox_room(limit: float, used: float, spare: float, disk: float, kept: float) -> float:
    """How many bytes still fit into an outbox: its limit may allow more than the disk has.

    Args:
        limit: Of the outbox.
        used: What its readings occupy.
        spare: Deleted pages in its file, which need no room on the disk.
        disk: What is free on the disk.
        kept: What the kept readings occupy: all of them make room before a reading is refused.
    """
    return min(file_room(limit, used), spare + disk + kept)


def reach_s(limit: float, used: float, readings: int, rate: float | None) -> float | None:
    """How far back kept readings go at the present rate, once they have filled their room, s.

    They are a ring: when they are full, the oldest make room, which is no fault.

    Args:
        limit: Room for them, bytes.
        used: What they occupy now, bytes.
        readings: How many they are; a few say nothing of the size of one, because an empty file is not small.
        rate: Readings per second that come to them; None if it is not known.

    Returns:
        Infinite if none come, None if nothing is known.
    """
    if rate is None or readings < 1000 or used <= 0:
        return None
    return limit / (rate * used / readings) if rate > 0 else math.inf


def _slope(start: tuple[float, float], end: tuple[float, float]) -> float:
    if end[0] <= start[0]:
        return 0.0
    return (end[1] - start[1]) / (end[0] - start[0])
