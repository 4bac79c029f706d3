"""The table `gaps`: the holes of a node's numbers that are accounted for, each with what is known of it.

Gaps of one node and epoch never overlap, and those beside each other differ in state or detail. Both changes read the
gaps that they touch and write what differs afterwards: the work grows with the number of gaps, never with its square. A
row or a dead letter overrides a gap; whoever notices one clears the gap.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import groupby
from typing import TypeVar

import sqlalchemy as sa

from aoii.server.connection import ConnectionPool
from aoii.server.database_errors import DatabaseAway
from aoii.server.gap import DatedGap, Gap, GapState, NodeEpoch, Numbers, overlaid
from aoii.server.tables import GAPS

__all__ = ["Gap", "GapState", "Gaps", "NodeEpoch", "Numbers", "retried"]

R = TypeVar("R")

DETAIL_LIMIT = 200  # characters, as the column has; what is longer is cut
PAGE = 500  # gaps that one statement removes
_C = GAPS.c
_NEAR = (
    sa.select(GAPS)
    .where(
        _C.node == sa.bindparam("node"),
        _C.epoch == sa.bindparam("epoch"),
        _C.first <= sa.bindparam("high"),
        _C.last >= sa.bindparam("low"),
    )
    .order_by(_C.first)
    .with_for_update()
)
CONFLICT_RETRIES = 5  # the audit, `aoii retire` and `aoii dlq drop` may change gaps at the same moment


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
        new = [DatedGap(replace(gap, detail=gap.detail[:DETAIL_LIMIT]), now) for gap in gaps]
        _check_disjoint(new)
        self._change([(gap.node, gap.epoch, gap.first, gap.last) for gap in gaps], new)

    def clear(self, ranges: Iterable[Numbers]) -> None:
        """Let no gap have these numbers any more, because rows or dead letters account for them."""
        self._change(list(ranges), [])

    def _change(self, ranges: Sequence[Numbers], new: Sequence[DatedGap]) -> None:
        """Remove numbers from all gaps and add new gaps, in one transaction."""
        touched: dict[NodeEpoch, list[tuple[int, int]]] = defaultdict(list)
        for node, epoch, first, last in ranges:
            touched[node, epoch].append((first, last))
        added: dict[NodeEpoch, list[DatedGap]] = defaultdict(list)
        for one in new:
            added[one.gap.node, one.gap.epoch].append(one)
        if touched:
            retried(lambda: self._rewrite(touched, added))

    def _rewrite(
        self, touched: Mapping[NodeEpoch, Sequence[tuple[int, int]]], added: Mapping[NodeEpoch, list[DatedGap]]
    ) -> None:
        with self._pool.transaction(write=True) as connection:
            gone: list[DatedGap] = []
            come: list[DatedGap] = []
            for (node, epoch), ranges in sorted(touched.items()):  # in one order everywhere: fewer deadlocks
                low, high = min(first for first, _ in ranges) - 1, max(last for _, last in ranges) + 1
                near = {"node": node, "epoch": epoch, "low": low, "high": high}
                before = list(_dated(connection.execute(_NEAR, near)))
                after = overlaid(before, ranges, added.get((node, epoch), []))
                kept = set(before) & set(after)
                gone += [one for one in before if one not in kept]
                come += [one for one in after if one not in kept]
            for (node, epoch), of_node in groupby(gone, lambda one: (one.gap.node, one.gap.epoch)):
                firsts = [one.gap.first for one in of_node]
                for begin in range(0, len(firsts), PAGE):
                    page = _C.first.in_(firsts[begin : begin + PAGE])
                    connection.execute(sa.delete(GAPS).where(_C.node == node, _C.epoch == epoch, page))
            if come:
                connection.execute(sa.insert(GAPS), [vars(one.gap) | {"found_at": one.found_at} for one in come])


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


def _check_disjoint(gaps: Iterable[DatedGap]) -> None:
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


def _dated(rows: Iterable[sa.Row[tuple[object, ...]]]) -> Iterator[DatedGap]:
    for row in rows:
        values = dict(row._mapping)
        found_at = values.pop("found_at")
        yield DatedGap(Gap(**values), found_at)
