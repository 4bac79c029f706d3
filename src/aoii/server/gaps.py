"""Gaps: the holes of a node's numbers that the table `gaps` accounts for, each with what is known of it.

Gaps of one node and epoch never overlap, and those beside each other differ in state or detail. Both changes read the
gaps that they touch, decide in one sweep what follows, and write the difference: the work grows with the number of gaps
and never with its square. A row or a dead letter overrides a gap; whoever notices one clears the gap.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from typing import Literal, TypeVar

import sqlalchemy as sa

from aoii.server.connection import ConnectionPool
from aoii.server.database_errors import DatabaseAway
from aoii.server.tables import GAPS

R = TypeVar("R")

GapState = Literal["open", "void", "unknown", "lost", "retired"]
"""What is known of numbers without a row.

`open`: somebody is being asked; `void`: no reading with them was ever acknowledged; `unknown`: nobody can say;
`lost`: a gateway once had the readings, and nobody has them now; `retired`: a person removed them.
"""

DETAIL_LIMIT = 200  # characters, as the column has; what is longer is cut
PAGE = 500  # gaps that one statement removes
CONFLICT_RETRIES = 5  # the audit, `aoii retire` and `aoii dlq drop` may change gaps at the same moment

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


@dataclass(frozen=True)
class _Dated:
    """A gap as the table has it, with when its oldest number got this state and detail."""

    gap: Gap
    found_at: datetime


class Gaps:
    """The table `gaps`; safe to share between threads. Every method may raise `DatabaseAway`; then nothing has changed.

    Args:
        pool: Connections to the database; the caller closes it.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    def all(self, node: str | None = None) -> list[Gap]:
        """The gaps of one node or of all, by node, epoch and number."""
        query = sa.select(GAPS).order_by(GAPS.c.node, GAPS.c.epoch, GAPS.c.first)
        if node is not None:
            query = query.where(GAPS.c.node == node)
        with self._pool.transaction() as connection:
            return [one.gap for one in _dated(connection.execute(query))]

    def record(self, gaps: Sequence[Gap]) -> None:
        """Give exactly these numbers the state and detail that the gaps say; older gaps are cut.

        Args:
            gaps: In any order. They must not overlap.

        Raises:
            ValueError: Two of them overlap, or one ends before it begins.
        """
        now = datetime.now(UTC).replace(tzinfo=None)
        new = [_Dated(replace(gap, detail=gap.detail[:DETAIL_LIMIT]), now) for gap in gaps]
        _check_disjoint(new)
        self._change([(gap.node, gap.epoch, gap.first, gap.last) for gap in gaps], new)

    def clear(self, ranges: Iterable[Numbers]) -> None:
        """Let no gap have these numbers any more, because rows or dead letters account for them."""
        self._change(list(ranges), [])

    def _change(self, ranges: Sequence[Numbers], new: Sequence[_Dated]) -> None:
        """Remove numbers from all gaps and add new gaps, in one transaction."""
        touched: dict[NodeEpoch, list[tuple[int, int]]] = defaultdict(list)
        for node, epoch, first, last in ranges:
            touched[node, epoch].append((first, last))
        added: dict[NodeEpoch, list[_Dated]] = defaultdict(list)
        for one in new:
            added[one.gap.node, one.gap.epoch].append(one)
        if touched:
            retried(lambda: self._rewrite(touched, added))

    def _rewrite(
        self, touched: Mapping[NodeEpoch, Sequence[tuple[int, int]]], added: Mapping[NodeEpoch, list[_Dated]]
    ) -> None:
        c = GAPS.c
        with self._pool.transaction(write=True) as connection:
            gone: list[_Dated] = []
            come: list[_Dated] = []
            for (node, epoch), ranges in sorted(touched.items()):  # in one order everywhere: fewer deadlocks
                low, high = min(first for first, _ in ranges) - 1, max(last for _, last in ranges) + 1
                near = sa.select(GAPS).where(c.node == node, c.epoch == epoch, c.first <= high, c.last >= low)
                before = list(_dated(connection.execute(near.order_by(c.first).with_for_update())))
                after = overlaid(before, ranges, added.get((node, epoch), []))
                kept = set(before) & set(after)
                gone += [one for one in before if one not in kept]
                come += [one for one in after if one not in kept]
            for (node, epoch), of_node in groupby(gone, lambda one: (one.gap.node, one.gap.epoch)):
                firsts = [one.gap.first for one in of_node]
                for begin in range(0, len(firsts), PAGE):
                    page = c.first.in_(firsts[begin : begin + PAGE])
                    connection.execute(sa.delete(GAPS).where(c.node == node, c.epoch == epoch, page))
            if come:
                connection.execute(sa.insert(GAPS), [vars(one.gap) | {"found_at": one.found_at} for one in come])


def overlaid(before: Sequence[_Dated], ranges: Iterable[tuple[int, int]], new: Iterable[_Dated]) -> list[_Dated]:
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
    after: list[_Dated] = []
    for one in changed:
        if after and after[-1].gap.last + 1 == one.gap.first and _label(after[-1]) == _label(one):
            found_at = min(after[-1].found_at, one.found_at)
            after[-1] = _Dated(replace(after[-1].gap, last=one.gap.last), found_at)
        else:
            after.append(one)
    return after


def retried(act: Callable[[], R]) -> R:
    """What `act` returns; it is called again at once when another writer came between.

    Raises:
        DatabaseAway: The database is away, or others came between every time.
    """
    for _ in range(CONFLICT_RETRIES):
        try:
            return act()
        except DatabaseAway as error:
            if error.reason != "conflict":
                raise
    return act()


def _cut(before: Sequence[_Dated], ranges: Sequence[tuple[int, int]]) -> Iterator[_Dated]:
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


def _redated(before: Sequence[_Dated], new: Sequence[_Dated]) -> Iterator[_Dated]:
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


def _check_disjoint(gaps: Iterable[_Dated]) -> None:
    ordered = sorted((one.gap for one in gaps), key=lambda gap: (gap.node, gap.epoch, gap.first))
    for gap in ordered:
        if gap.first > gap.last:
            raise ValueError(f"{gap} ends before it begins")
    for _, group in groupby(ordered, lambda gap: (gap.node, gap.epoch)):
        last = -1
        for gap in group:
            if gap.first <= last:
                raise ValueError(f"{gap} overlaps the one before it")
            last = gap.last


def _dated(rows: Iterable[sa.Row[tuple[object, ...]]]) -> Iterator[_Dated]:
    for row in rows:
        values = dict(row._mapping)
        found_at = values.pop("found_at")
        yield _Dated(Gap(**values), found_at)


def _first(one: _Dated) -> int:
    return one.gap.first


def _label(one: _Dated) -> tuple[GapState, str]:
    return one.gap.state, one.gap.detail
