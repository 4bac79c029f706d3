"""Gaps as values: holes of a node's numbers that are accounted for, and what a change makes of them. Pure.

A change is decided in one sweep over the gaps that it touches, so that thousands take no more than thousands of steps.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

GapState = Literal["open", "void", "unknown", "lost", "retired"]
"""What is known of numbers without a row.

`open`: somebody is being asked; `void`: no reading with them was ever acknowledged; `unknown`: nobody can say;
`lost`: a gateway once had the readings, and nobody has them now; `retired`: a person removed them.
"""

NodeEpoch = tuple[str, int]
"""A node's name and an epoch."""

Numbers = tuple[str, int, int, int]
"""Node, epoch, first and last number."""


@dataclass(frozen=True)
class Gap:
    """The numbers `first`..`last` of a node and epoch, which have no row.

    Attributes:
        detail: Why they have this state, for people; may be empty.
    """

    node: str
    epoch: int
    first: int
    last: int
    state: GapState
    detail: str = ""


def numbers_by_state(gaps: Iterable[Gap]) -> Counter[str]:
    """How many numbers have each state."""
    counts: Counter[str] = Counter()
    for gap in gaps:
        counts[gap.state] += gap.last - gap.first + 1
    return counts


@dataclass(frozen=True)
class DatedGap:
    """A gap as the table has it, with when its oldest number got this state and detail."""

    gap: Gap
    found_at: datetime


def overlaid(before: Sequence[DatedGap], ranges: Iterable[tuple[int, int]], new: Iterable[DatedGap]) -> list[DatedGap]:
    """The gaps of one node and epoch after a change.

    Args:
        before: What is there, ascending.
        ranges: Numbers that these lose; they may overlap.
        new: What is added, among these numbers.

    Returns:
        Ascending, disjoint, and none that could be one with its neighbour. What stays as it was keeps its time, also
        numbers that lose a state and get the same again.
    """
    new = sorted(new, key=_first)
    changed = sorted((*_cut(before, sorted(ranges)), *_redated(before, new)), key=_first)
    after: list[DatedGap] = []
    for one in changed:
        if after and after[-1].gap.last + 1 == one.gap.first and _label(after[-1]) == _label(one):
            found_at = min(after[-1].found_at, one.found_at)
            after[-1] = DatedGap(replace(after[-1].gap, last=one.gap.last), found_at)
        else:
            after.append(one)
    return after


def _cut(before: Sequence[DatedGap], ranges: Sequence[tuple[int, int]]) -> Iterator[DatedGap]:
    """What is left of gaps, ascending, without the numbers of sorted ranges; both are passed through once."""
    at = 0
    for one in before:
        first = one.gap.first
        while at < len(ranges) and ranges[at][0] <= one.gap.last:
            if first < ranges[at][0]:
                yield replace(one, gap=replace(one.gap, first=first, last=ranges[at][0] - 1))
            first = max(first, ranges[at][1] + 1)
            if ranges[at][1] >= one.gap.last:
                break  # it may reach into the next gap
            at += 1
        if first <= one.gap.last:
            yield replace(one, gap=replace(one.gap, first=first))


def _redated(before: Sequence[DatedGap], new: Sequence[DatedGap]) -> Iterator[DatedGap]:
    """New gaps, each with the time of the oldest one of equal state and detail that it covers."""
    at = 0
    for one in new:
        while at < len(before) and before[at].gap.last < one.gap.first:
            at += 1
        found_at, beside = one.found_at, at
        while beside < len(before) and before[beside].gap.first <= one.gap.last:
            if _label(before[beside]) == _label(one):
                found_at = min(found_at, before[beside].found_at)
            beside += 1
        at = max(at, beside - 1)
        yield replace(one, found_at=found_at)


def _first(one: DatedGap) -> int:
    return one.gap.first


def _label(one: DatedGap) -> tuple[GapState, str]:
    return one.gap.state, one.gap.detail
