"""Reads what the ledger counts: rows, gaps, floors and reports from the database, all as of one instant.

Rows are read from the index of their identities, in pages: no statement takes longer than a page, and of a page without
holes nothing is read but how many rows it has.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa

from aoii.broker.messages import Identity
from aoii.server import ranges
from aoii.server.connection import ConnectionPool
from aoii.server.gap import Gap, NodeEpoch
from aoii.server.ledger import Account, Facts, account, first_number
from aoii.server.ranges import Range
from aoii.server.tables import FLOORS, GAPS, GATEWAY_NUMBERS, READINGS

PAGE_ROWS = 100_000  # rows of one node and epoch that a statement looks at: 0.1 s in MariaDB
DATED_ROWS = 20_000  # the same for a statement that also looks at their times, which the index does not have
_R = READINGS.c

# Made once: SQLAlchemy takes several times as long to make such a statement as to execute it.
_OF_NODE = (_R.node == sa.bindparam("node"), _R.epoch == sa.bindparam("epoch"))
_WANTED = sa.select(_R.counter).where(*_OF_NODE, _R.counter > sa.bindparam("after"))


def _page_of(wanted: sa.Select[Any]) -> sa.Select[Any, Any, int]:
    """Lowest and highest number, and how many there are, of the first `rows_limit` that are wanted."""
    page = wanted.order_by(_R.counter).limit(sa.bindparam("rows_limit")).subquery()
    return sa.select(sa.func.min(page.c.counter), sa.func.max(page.c.counter), sa.func.count())


_PAGE = _page_of(_WANTED)
_BOUNDED_PAGE = _page_of(_WANTED.where(_R.counter <= sa.bindparam("bound")))


@dataclass(frozen=True)
class _Page:
    """Rows of a node and epoch, in the order of their numbers."""

    first: int
    last: int
    rows: int


class LedgerFacts:
    """The facts of every node and epoch, as of one instant; made by `open_facts`.

    Args:
        connection: In a transaction that sees one state of the database until its end.
        letters: Numbers of dead letters, by node and epoch.
        node: The node; None for all.
        progress: Called after each page, with the number of rows that it has.
    """

    def __init__(
        self,
        connection: sa.Connection,
        letters: Mapping[NodeEpoch, Collection[int]],
        node: str | None,
        progress: Callable[[int], None],
    ) -> None:
        self._connection = connection
        self._progress = progress
        self._letters = letters
        self._gaps: dict[NodeEpoch, list[Gap]] = defaultdict(list)
        for row in connection.execute(_of(GAPS, node, "first", "last", "state", "detail").order_by(GAPS.c.first)):
            self._gaps[row.node, row.epoch].append(Gap(**row._mapping))
        self._floors = {(row.node, row.epoch): row.floor for row in connection.execute(_of(FLOORS, node, "floor"))}
        self._highs: dict[NodeEpoch, int] = {}
        for row in connection.execute(_of(GATEWAY_NUMBERS, node, "high")):
            self._highs[row.node, row.epoch] = max(row.high, self._highs.get((row.node, row.epoch), -1))
        of_rows = {(row.node, row.epoch) for row in connection.execute(_of(READINGS, node).distinct())}
        of_letters = {key for key in letters if node in (None, key[0])}
        known = of_rows | of_letters | {*self._gaps, *self._floors, *self._highs}
        self.keys: Sequence[NodeEpoch] = sorted(
            key for key in known if None not in key
        )  # a row of another program may have a node alone

    def facts(self, key: NodeEpoch, bounds: Iterable[int] = ()) -> Facts:
        """What is known of a node and epoch.

        Args:
            key: One of `keys`.
            bounds: Numbers at which a piece of the rows ends, for an account of a part of the numbers.
        """
        floor = self._floors.get(key, first_number(key[1]) - 1)
        rows: list[tuple[int, int]] = []
        holes: list[Range] = []
        at = self._floors.get(key, -1)  # a number below the first one, which no node uses, spoils the balance
        for bound in (*sorted(bounds), None):
            for page in self._pages(key, at, bound, PAGE_ROWS):
                rows.append((page.last, page.rows))
                if page.first > at + 1:
                    holes.append((at + 1, page.first - 1))
                if page.rows != page.last - page.first + 1:
                    holes += self._holes(key, page)
                at = page.last
        gaps, letters = self._gaps.get(key, []), self._letters.get(key, ())
        return Facts(*key, floor, rows, ranges.united(holes), gaps, letters, self._highs.get(key, -1))

    def days(self, key: NodeEpoch) -> list[tuple[date, int]]:
        """Each day on which a node sampled, UTC, ascending, with the highest number among its rows.

        Rows without a time of their sample count for the day of their insert; rows up to the floor do not count.
        """
        at = sa.func.coalesce(_R.event_time, _R.created_utc, _R.created_at)
        day = sa.func.date(at).label("day")
        highest: dict[date, int] = {}
        for page in self._pages(key, self._floors.get(key, -1), None, DATED_ROWS):
            within = _R.counter.between(page.first, page.last)
            query = sa.select(day, sa.func.max(_R.counter)).where(*_has(key), within).group_by(day)
            for each, last in self._connection.execute(query):
                on = date.fromisoformat(str(each))
                highest[on] = max(last, highest.get(on, -1))
        return sorted(highest.items())

    def _pages(self, key: NodeEpoch, after: int, bound: int | None, rows_limit: int) -> Iterator[_Page]:
        """The rows of a node and epoch with a number above `after`, up to `bound`, in pages of `rows_limit`."""
        while True:
            values = {"node": key[0], "epoch": key[1], "after": after, "bound": bound, "rows_limit": rows_limit}
            first, last, rows = self._connection.execute(_PAGE if bound is None else _BOUNDED_PAGE, values).one()
            if not rows:
                return
            yield _Page(first, last, rows)
            self._progress(rows)
            after = last

    def _holes(self, key: NodeEpoch, page: _Page) -> list[Range]:
        """The holes between the rows of a page."""
        following = sa.func.lead(_R.counter).over(order_by=_R.counter).label("following")
        within = _R.counter.between(page.first, page.last)
        each = sa.select(_R.counter, following).where(*_has(key), within).subquery()
        query = sa.select(each.c.counter, each.c.following).where(each.c.following > each.c.counter + 1)
        return [(counter + 1, following - 1) for counter, following in self._connection.execute(query)]


def _ignore(rows: int) -> None:
    """Nobody watches the progress."""


@contextmanager
def open_facts(
    pool: ConnectionPool,
    letters: Iterable[Identity],
    node: str | None = None,
    progress: Callable[[int], None] = _ignore,
) -> Iterator[LedgerFacts]:
    """The facts of the ledger, while the block runs.

    Args:
        pool: Connections to the database.
        letters: The identities of the dead letters. They are read first: one that is replayed meanwhile is a row then.
        node: Only this node; None for all.
        progress: Called after each page of rows, with the number of rows that it has.

    Raises:
        DatabaseAway: The database does not answer.
    """
    numbers: dict[NodeEpoch, set[int]] = defaultdict(set)
    for who in letters:
        numbers[who.node, who.epoch].add(who.counter)
    with pool.transaction() as connection:
        yield LedgerFacts(connection, numbers, node, progress)


def read_accounts(
    pool: ConnectionPool, letters: Iterable[Identity], progress: Callable[[int], None] = _ignore
) -> list[Account]:
    """The account of every node and epoch; arguments and errors as for `open_facts`."""
    with open_facts(pool, letters, progress=progress) as found:
        return [account(found.facts(key)) for key in found.keys]


def _of(table: sa.Table, node: str | None, *columns: str) -> sa.Select[tuple[object, ...]]:
    """Node, epoch and further columns of a table's rows, of one node or of all."""
    c = table.c
    query = sa.select(c.node, c.epoch, *(c[name] for name in columns))
    return query if node is None else query.where(c.node == node)


def _has(key: NodeEpoch) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return _R.node == key[0], _R.epoch == key[1]
