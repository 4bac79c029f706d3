"""Sets of whole numbers as sorted ranges: their union, intersection and difference, in linear time. Pure.

A million numbers without a hole are one range, so a set costs what it has holes. Every function takes and returns
*sorted* sets: ascending ranges, each with its first and its last number, disjoint and not adjacent.
"""

from collections.abc import Iterable

Range = tuple[int, int]
"""First and last number, both included."""

Ranges = tuple[Range, ...]
"""A set: ascending, disjoint, not adjacent."""


def united(ranges: Iterable[Range]) -> Ranges:
    """The set of all numbers of `ranges`, which may overlap and come in any order."""
    found: list[Range] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            if last > found[-1][1]:
                found[-1] = found[-1][0], last
        else:
            found.append((first, last))
    return tuple(found)


def union(one: Ranges, other: Ranges) -> Ranges:
    """The numbers that are in either set."""
    if not one or not other:
        return one or other
    return united((*one, *other))


def intersection(one: Ranges, other: Ranges) -> Ranges:
    """The numbers that are in both sets."""
    found: list[Range] = []
    at = beside = 0
    while at < len(one) and beside < len(other):
        first = max(one[at][0], other[beside][0])
        last = min(one[at][1], other[beside][1])
        if first <= last:
            found.append((first, last))
        if one[at][1] < other[beside][1]:
            at += 1
        else:
            beside += 1
    return tuple(found)


def difference(one: Ranges, other: Ranges) -> Ranges:
    """The numbers of `one` that are not in `other`."""
    if not one or not other:
        return one
    found: list[Range] = []
    beside = 0
    for first, last in one:
        while beside < len(other) and other[beside][1] < first:
            beside += 1
        after = beside
        rest = first
        while after < len(other) and other[after][0] <= last:
            if rest < other[after][0]:
                found.append((rest, other[after][0] - 1))
            rest = other[after][1] + 1
            after += 1
        if rest <= last:
            found.append((rest, last))
        beside = max(beside, after - 1)  # the last one may reach into the next range
    return tuple(found)


def count(ranges: Ranges) -> int:
    """How many numbers a set has."""
    return sum(last - first + 1 for first, last in ranges)
