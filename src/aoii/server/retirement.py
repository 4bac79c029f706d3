"""Retirement: a node's numbers up to its floor need no row, whatever is or was there; a floor never falls.

Who removes rows on purpose raises the floor first, in the same database. From then on audit, ledger and ingest take
these numbers as *retired*: nobody looks for them, and a late copy is acknowledged and not stored.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

import sqlalchemy as sa

from aoii.server.connection import ConnectionPool
from aoii.server.gaps import NodeEpoch, retried
from aoii.server.ledger_facts import DATED_ROWS
from aoii.server.queries import is_before
from aoii.server.tables import FLOORS, READINGS
from aoii.server.upsert import upsert

DELETED_ROWS = 1000  # that one transaction deletes, so that inserts never wait for long
_R = READINGS.c


class Floors:
    """The table `floors`; safe to share between threads. Every method may raise `DatabaseAway`.

    Args:
        pool: Connections to the database; the caller closes it.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    def all(self) -> dict[NodeEpoch, int]:
        """The floor of every node and epoch that has one."""
        with self._pool.transaction() as connection:
            return {(row.node, row.epoch): row.floor for row in connection.execute(sa.select(FLOORS))}

    def raise_floor(self, node: str, epoch: int, floor: int) -> int:
        """Raise the floor of one node and epoch; see `raise_floors`."""
        return self.raise_floors({(node, epoch): floor})[node, epoch]

    def raise_floors(self, floors: Mapping[NodeEpoch, int]) -> dict[NodeEpoch, int]:
        """Raise floors in one transaction, and return those that hold now: a higher one stays.

        When this returns, every insert that did not see the floor has been committed, so that its row can be found; and
        every later one leaves out the numbers up to it.
        """
        return retried(lambda: self._raise(floors))

    def _raise(self, floors: Mapping[NodeEpoch, int]) -> dict[NodeEpoch, int]:
        now = datetime.now(UTC).replace(tzinfo=None)
        with self._pool.transaction(write=True) as connection:
            known = _of_nodes(connection, {node for node, _ in floors})
            raised = {key: floor for key, floor in floors.items() if floor > known.get(key, -1)}
            rows = [
                {"node": node, "epoch": epoch, "floor": floor, "raised_at": now}
                for (node, epoch), floor in sorted(raised.items())
            ]
            upsert(connection, FLOORS, rows)
        return {key: max(floor, known.get(key, -1)) for key, floor in floors.items()}


def delete_rows(pool: ConnectionPool, key: NodeEpoch, progress: Callable[[int], None]) -> int:
    """Delete the rows up to the floor of a node and epoch, as the database has it; without a floor, none.

    It can be interrupted and called again at any time.

    Args:
        pool: Connections to the database, as a user who may delete readings.
        key: The node and epoch.
        progress: Called after each transaction, with the number of rows that it has deleted.

    Returns:
        How many rows were deleted.

    Raises:
        DatabaseAway: The database is away, or its user may not delete. Finished transactions stay.
    """
    deleted = 0
    while rows := retried(lambda: _delete_page(pool, key)):
        deleted += rows
        progress(rows)
    return deleted


def count_rows(pool: ConnectionPool, key: NodeEpoch, last: int) -> int:
    """How many rows of a node and epoch have a number up to `last`."""
    with pool.transaction() as connection:
        return connection.execute(sa.select(sa.func.count()).where(*_has(key), _R.counter <= last)).scalar_one()


def highest_older(pool: ConnectionPool, key: NodeEpoch, instant: datetime, progress: Callable[[int], None]) -> int:
    """The highest number up to which every row above the floor is older than an instant; -1 if there is none.

    A floor is a number, so one row with a late time keeps all rows with higher numbers.

    Args:
        pool: Connections to the database.
        key: The node and epoch.
        instant: UTC. Compared with a row's event time, or with the instant of its insert if it has none.
        progress: Called after each page, with the number of rows that it has.

    Raises:
        DatabaseAway: The database does not answer.
    """
    with pool.transaction() as connection:
        at = _floor(connection, key)
    highest = -1
    while True:
        page = sa.select(_R.counter, is_before(instant).label("is_old")).where(*_has(key), _R.counter > at)
        each = page.order_by(_R.counter).limit(DATED_ROWS).subquery().c
        young = sa.func.min(sa.case((sa.not_(each.is_old), each.counter)))
        with pool.transaction() as connection:
            rows, last, first_young = connection.execute(
                sa.select(sa.func.count(), sa.func.max(each.counter), young)
            ).one()
            if first_young is not None:
                below = sa.select(sa.func.max(_R.counter)).where(*_has(key), _R.counter > at, _R.counter < first_young)
                older = connection.execute(below).scalar()
                return highest if older is None else int(older)
        if not rows:
            return highest
        progress(rows)
        at = highest = last


def _delete_page(pool: ConnectionPool, key: NodeEpoch) -> int:
    """Delete the first `DELETED_ROWS` rows up to the floor; return their number."""
    with pool.transaction(write=True) as connection:
        below = (*_has(key), _R.counter <= _floor(connection, key))
        page = sa.select(_R.counter).where(*below).order_by(_R.counter).limit(DELETED_ROWS).subquery()
        last = connection.execute(sa.select(sa.func.max(page.c.counter))).scalar()
        if last is None:
            return 0
        return connection.execute(sa.delete(READINGS).where(*_has(key), _R.counter <= last)).rowcount


def _floor(connection: sa.Connection, key: NodeEpoch) -> int:
    """The floor of a node and epoch; -1 if it has none."""
    query = sa.select(FLOORS.c.floor).where(FLOORS.c.node == key[0], FLOORS.c.epoch == key[1])
    floor = connection.execute(query).scalar()
    return -1 if floor is None else int(floor)


def _has(key: NodeEpoch) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return _R.node == key[0], _R.epoch == key[1]


def _of_nodes(connection: sa.Connection, nodes: Iterable[str]) -> dict[NodeEpoch, int]:
    """The floors of nodes, locked until the transaction ends."""
    query = sa.select(FLOORS).where(FLOORS.c.node.in_(sorted(nodes))).with_for_update()
    return {(row.node, row.epoch): row.floor for row in connection.execute(query)}
