"""Floors: a node's numbers up to its floor need no row, whatever is or was there; a floor never falls.

Who removes rows on purpose raises the floor first, in the same database. From then on audit, ledger and ingest take
these numbers as *retired*: nobody looks for them, and a late copy is acknowledged and not stored.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import sqlalchemy as sa

from aoii.server.connection import ConnectionPool
from aoii.server.gaps import NodeEpoch, retried
from aoii.server.tables import FLOORS
from aoii.server.upsert import upsert


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


def _of_nodes(connection: sa.Connection, nodes: Iterable[str]) -> dict[NodeEpoch, int]:
    """The floors of nodes, locked until the transaction ends."""
    query = sa.select(FLOORS).where(FLOORS.c.node.in_(sorted(nodes))).with_for_update()
    return {(row.node, row.epoch): row.floor for row in connection.execute(query)}
