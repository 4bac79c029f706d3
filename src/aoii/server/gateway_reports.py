"""What gateways have reported that they hold: the newest report of each, kept in the database.

It is kept there, so a restored database remembers what it knew then; the next reports bring it up to date.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from aoii.broker.repair_messages import Report
from aoii.server.connection import ConnectionPool
from aoii.server.gaps import retried
from aoii.server.tables import GATEWAY_FILES, GATEWAY_NUMBERS
from aoii.server.upsert import upsert

_C = GATEWAY_NUMBERS.c
_FILE = sa.select(GATEWAY_FILES).where(GATEWAY_FILES.c.gateway == sa.bindparam("gateway")).with_for_update()
_NUMBERS = sa.select(GATEWAY_NUMBERS).where(
    _C.gateway == sa.bindparam("gateway"), _C.node.in_(sa.bindparam("nodes", expanding=True))
)


@dataclass(frozen=True)
class GatewayFile:
    """The outbox file of a gateway, as it reported it last.

    Attributes:
        file: Sixteen hexadecimal digits.
        seq: The highest sequence number that this file has given.
        reported_at: When the report came, by this machine's clock, UTC; for people, it decides nothing.
    """

    gateway: str
    file: str
    seq: int
    reported_at: datetime


@dataclass(frozen=True)
class GatewayNumbers:
    """The numbers of a node and epoch that a gateway has ever reported.

    Attributes:
        low: The lowest.
        high: The highest. It does not fall when the gateway's disk is replaced: what it had, it had.
        waiting: How many of its readings waited in its outbox at its last report.
    """

    gateway: str
    node: str
    epoch: int
    low: int
    high: int
    waiting: int


class GatewayReports:
    """The tables of the gateways' reports; safe to share between threads. Every method may raise `DatabaseAway`.

    Args:
        pool: Connections to the database; the caller closes it.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    def record(self, gateway: str, report: Report) -> bool:
        """Remember a report, or one of its messages.

        Returns:
            Whether the sequence number of the gateway's file has fallen: then the file is an older copy of itself. The
            lower number is what later reports are compared with. A message that the broker delivers again after a newer
            one looks the same, so the caller must drop those that are repeated.
        """
        return retried(lambda: self._record(gateway, report))

    def _record(self, gateway: str, report: Report) -> bool:
        now = datetime.now(UTC).replace(tzinfo=None)
        with self._pool.transaction(write=True) as connection:
            before = connection.execute(_FILE, {"gateway": gateway}).first()
            file = {"gateway": gateway, "file": report.file, "seq": report.seq, "reported_at": now}
            upsert(connection, GATEWAY_FILES, [file])
            if before is not None and before.file != report.file:  # what waited in the other file waits no more
                sql = sa.update(GATEWAY_NUMBERS).where(GATEWAY_NUMBERS.c.gateway == gateway).values(waiting=0)
                connection.execute(sql)
            upsert(connection, GATEWAY_NUMBERS, list(_numbers(connection, gateway, report)))
            return before is not None and before.file == report.file and report.seq < before.seq

    def files(self) -> list[GatewayFile]:
        """The file of every gateway that has ever reported, by name."""
        with self._pool.transaction() as connection:
            rows = connection.execute(sa.select(GATEWAY_FILES).order_by(GATEWAY_FILES.c.gateway))
            return [GatewayFile(**row._mapping) for row in rows]

    def numbers(self) -> list[GatewayNumbers]:
        """The numbers of every gateway, by gateway, node and epoch."""
        with self._pool.transaction() as connection:
            rows = connection.execute(sa.select(GATEWAY_NUMBERS).order_by(_C.gateway, _C.node, _C.epoch))
            return [GatewayNumbers(**row._mapping) for row in rows]


def _numbers(connection: sa.Connection, gateway: str, report: Report) -> Iterator[dict[str, object]]:
    """The rows that a report makes of those that are there; one for each node and epoch."""
    if not report.holdings:
        return
    of_nodes = {"gateway": gateway, "nodes": sorted({one.node for one in report.holdings})}
    known = {(row.node, row.epoch): row for row in connection.execute(_NUMBERS, of_nodes)}
    for one in {(one.node, one.epoch): one for one in report.holdings}.values():
        row = known.get((one.node, one.epoch))
        low, high = (one.low, one.high) if row is None else (min(row.low, one.low), max(row.high, one.high))
        numbers = {"low": low, "high": high, "waiting": one.waiting}
        yield {"gateway": gateway, "node": one.node, "epoch": one.epoch, **numbers}
