"""Ranges of numbers, each with a value: disjoint, in order, and one where two touch that have equal values. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Generic, TypeVar

V = TypeVar("V")


class NumberRanges(Generic[V]):
    """Which numbers have which value. A range is `(first, last, value)`; a number outside all ranges has none.

    `cut` and `within` find nothing where `first` is above `last`. A range of 2**63 numbers costs as much as one.
    """

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int, V]] = []

    def __len__(self) -> int:
        return len(self._ranges)

    def __iter__(self) -> Iterator[tuple[int, int, V]]:
        return iter(self._ranges)

    def put(self, first: int, last: int, value: V) -> None:
        """Give the numbers `first`..`last` this value, whatever they had before."""
        self.cut(first, last)
        at = bisect_left(self._ranges, first, key=_first)
        begin, end = at, at
        if at and self._ranges[at - 1][1:] == (first - 1, value):
            begin, first = at - 1, self._ranges[at - 1][0]
        if at < len(self._ranges) and self._ranges[at][0] == last + 1 and self._ranges[at][2] == value:
            end, last = at + 1, self._ranges[at][1]
        self._ranges[begin:end] = [(first, last, value)]

    def cut(self, first: int, last: int) -> list[tuple[int, int, V]]:
        """Take the value from the numbers `first`..`last`; return what they had, in order."""
        begin, end = self._touched(first, last)
        touched = self._ranges[begin:end]
        if not touched:
            return []
        left = [(one, first - 1, value) for one, _, value in touched[:1] if one < first]
        right = [(last + 1, one, value) for _, one, value in touched[-1:] if one > last]
        self._ranges[begin:end] = left + right
        return _clipped(touched, first, last)

    def within(self, first: int, last: int) -> list[tuple[int, int, V]]:
        """What the numbers `first`..`last` have, in order."""
        begin, end = self._touched(first, last)
        return _clipped(self._ranges[begin:end], first, last)

    def highest_below(self, number: int) -> int | None:
        """The highest number below `number` that has a value; None if there is none."""
        at = bisect_left(self._ranges, number, key=_first)
        return min(self._ranges[at - 1][1], number - 1) if at else None

    def _touched(self, first: int, last: int) -> tuple[int, int]:
        """Where the ranges begin and end that have a number in `first`..`last`."""
        begin = bisect_left(self._ranges, first, key=_last)
        return begin, bisect_right(self._ranges, last, key=_first) if first <= last else begin


def _clipped(ranges: list[tuple[int, int, V]], first: int, last: int) -> list[tuple[int, int, V]]:
    return [(max(one, first), min(other, last), value) for one, other, value in ranges]


def _first(one: tuple[int, int, object]) -> int:
    return one[0]


def _last(one: tuple[int, int, object]) -> int:
    return one[1]
