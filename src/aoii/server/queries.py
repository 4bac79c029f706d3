"""Everything that is read from the database: for the page, the export, the doctor and the demo. Writes nothing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import sqlalchemy as sa

from aoii.broker.messages import Identity
from aoii.server import local_time
from aoii.server.connection import ConnectionPool
from aoii.server.rows import ChartColumn, EdgeLogRow, NodeSummary, ReadingRow, Stats
from aoii.server.tables import EDGE_LOG, READING_COLUMNS, READINGS

R = TypeVar("R")
Row = TypeVar("Row", ReadingRow, EdgeLogRow)

_TABLES: dict[type, sa.Table] = {ReadingRow: READINGS, EdgeLogRow: EDGE_LOG}
_SELECT: dict[type, sa.Select[Any]] = {ReadingRow: sa.select(*READING_COLUMNS), EdgeLogRow: sa.select(EDGE_LOG)}
PAGE_ROWS = 2000  # rows that `export` and `identities` read at once, each page in a transaction of its own


class Queries:
    """Reads one database; safe to share between threads. Every method may raise `DatabaseAway`.

    Args:
        pool: Connections to the database; closed by `close`.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    @property
    def place(self) -> str:
        """Where the database is, for messages."""
        return self._pool.place

    @property
    def pool(self) -> ConnectionPool:
        """The connections, for what reads and writes the other tables; they are closed by `close`."""
        return self._pool

    @property
    def certificate_expires(self) -> datetime | None:
        """End of the database's certificate at the last connect, UTC; None before, or without TLS."""
        return self._pool.certificate_expires

    def close(self) -> None:
        """Close all connections that are not in use."""
        self._pool.close()

    def ping(self) -> None:
        """Make sure that the database answers and has our tables.

        Raises:
            DatabaseAway: It does not answer, or lacks them.
        """
        with self._pool.transaction() as connection:
            connection.execute(sa.select(*READING_COLUMNS).limit(1)).all()

    def stats(self) -> Stats:
        """Totals and means over all readings."""
        c = READINGS.c
        query = sa.select(
            sa.func.count().label("total"),
            sa.func.avg(c.actual_temp).label("avg_temp"),
            sa.func.avg(c.actual_humidity).label("avg_humidity"),
            sa.func.avg(sa.func.abs(c.error_temp)).label("mae_temp"),
            sa.func.avg(sa.func.abs(c.error_humidity)).label("mae_humidity"),
            sa.func.min(c.created_at).label("first_at"),
            sa.func.max(c.created_at).label("last_at"),
            sa.func.max(c.created_utc).label("last_utc"),
            sa.func.max(sa.case((c.created_utc.is_(None), c.created_at))).label("last_without_utc"),
        )
        return self._rows(_stats, query)[0]

    def recent(self, limit: int, node: str | None = None) -> list[ReadingRow]:
        """The newest `limit` readings, of one node or of all, in the order of their insert."""
        return self._rows(ReadingRow, _newest(READINGS, sa.select(*READING_COLUMNS), limit, node))[::-1]

    def first_of_recent(self, limit: int) -> int:
        """The id of the first of the newest `limit` readings; 0 if there are fewer."""
        query = sa.select(READINGS.c.id).order_by(READINGS.c.id.desc()).limit(1).offset(limit - 1)
        with self._pool.transaction() as connection:
            return connection.execute(query).scalar() or 0

    def readings_after(self, row_id: int, limit: int) -> list[ReadingRow]:
        """At most `limit` readings with an id above `row_id`, ascending."""
        return self._rows(ReadingRow, _after(READINGS, sa.select(*READING_COLUMNS), row_id, limit))

    def edge_log_after(self, row_id: int, limit: int) -> list[EdgeLogRow]:
        """At most `limit` rows of the nodes' logs with an id above `row_id`, ascending."""
        return self._rows(EdgeLogRow, _after(EDGE_LOG, sa.select(EDGE_LOG), row_id, limit))

    def recent_edge_log(self, limit: int, node: str | None = None) -> list[EdgeLogRow]:
        """The newest `limit` rows of the nodes' logs, of one node or of all, in the order of their insert."""
        return self._rows(EdgeLogRow, _newest(EDGE_LOG, sa.select(EDGE_LOG), limit, node))[::-1]

    def nodes(self) -> list[NodeSummary]:
        """Every node with its number of readings and the gateway of its newest one, by name."""
        c = READINGS.c
        per_node = (  # only columns that the index of node and event time has: else 15 s for a million rows in MariaDB
            sa.select(
                sa.func.max(c.id).label("last_id"),
                sa.func.count().label("readings"),
                sa.func.max(c.event_time).label("last_event_time"),
            )
            .group_by(c.node)
            .subquery()
        )
        last = per_node.c
        query = (
            sa.select(
                c.node,
                c.gateway,
                last.readings,
                last.last_event_time,
                c.created_at.label("last_created_at"),
                c.created_utc.label("last_created_utc"),
            )
            .join_from(per_node, READINGS, c.id == last.last_id)
            .order_by(c.node)
        )
        return self._rows(NodeSummary, query)

    def has_node(self, node: str) -> bool:
        """Whether there is a reading of this node."""
        query = sa.select(READINGS.c.id).where(READINGS.c.node == node).limit(1)
        with self._pool.transaction() as connection:
            return connection.execute(query).first() is not None

    def export(
        self, *, node: str | None = None, start: datetime | None = None, end: datetime | None = None
    ) -> Iterator[ReadingRow]:
        """All readings of one node or of all, by id, read page by page.

        Args:
            node: The node's name.
            start: First instant; a time without zone is UTC. Compared with a row's event time, or with the instant of
                its insert if it has none.
            end: First instant that is left out.
        """
        query = sa.select(*READING_COLUMNS)
        if node is not None:
            query = query.where(READINGS.c.node == node)
        if start is not None:
            query = query.where(sa.not_(is_before(start)))
        if end is not None:
            query = query.where(is_before(end))
        for row in self._pages(query):
            yield ReadingRow(**row._mapping)

    def chart_columns(
        self, row: type[Row], node: str | None, start: datetime, end: datetime, width_s: int
    ) -> list[ChartColumn]:
        """The rows of one node in intervals of `width_s` seconds from `start` on, in order; empty ones are left out.

        The database does the work: a year of one sample a minute has 525,600 rows, too many to fetch for a chart of a
        thousand columns.

        Args:
            row: The type of the rows; it says which table has them.
            node: The node's name; None: rows without one.
            start: First instant, UTC without zone. Compared with a row's event time, or with the instant of its insert
                if it has none.
            end: First instant after the span.
            width_s: Seconds, 1 or more.
        """
        columns: list[ChartColumn] = []
        for axis in _time_axes(row, node, start, end):
            second = (
                sa.cast(sa.func.strftime("%s", axis.column), sa.BigInteger) - _unix_s(axis.start)
                if self._pool.is_sqlite
                else sa.func.timestampdiff(sa.text("SECOND"), axis.start, axis.column)
            )
            c = axis.table.c
            first = sa.func.min(axis.column).label("first")
            query = (
                sa.select(
                    first,
                    sa.func.max(axis.column).label("last"),
                    sa.func.count().label("rows"),
                    sa.func.min(c.actual_temp).label("min_temp"),
                    sa.func.max(c.actual_temp).label("max_temp"),
                    sa.func.min(c.actual_humidity).label("min_humidity"),
                    sa.func.max(c.actual_humidity).label("max_humidity"),
                )
                .where(*axis.conditions)
                .group_by(second // width_s)
                .order_by(first)
            )
            columns += [
                replace(one, first=axis.to_utc(one.first), last=axis.to_utc(one.last))
                for one in self._rows(ChartColumn, query)
            ]
        return sorted(columns, key=lambda one: one.first)

    def between(self, row: type[Row], node: str | None, start: datetime, end: datetime, limit: int) -> list[Row]:
        """The first `limit` rows of one node in a span, by time; the other arguments as for `chart_columns`."""
        axes = _time_axes(row, node, start, end)
        rows = [found for axis in axes for found in self._rows(row, axis.ordered(_SELECT[row], limit))]
        return sorted(rows, key=lambda found: found.instant or start)[:limit]

    def identities(self) -> Iterator[Identity]:
        """The identity of every reading that has one, read page by page."""
        c = READINGS.c
        query = sa.select(c.id, c.node, c.epoch, c.counter).where(c.node.is_not(None))
        for row in self._pages(query):
            yield Identity(row.node, row.epoch, row.counter)

    def has(self, identity: Identity) -> bool:
        """Whether the reading with this identity is stored."""
        c = READINGS.c
        query = sa.select(c.id).where(c.node == identity.node, c.epoch == identity.epoch, c.counter == identity.counter)
        with self._pool.transaction() as connection:
            return connection.execute(query).first() is not None

    def _pages(self, query: sa.Select[Any]) -> Iterator[sa.Row[Any]]:
        """All rows of a query over `readings`, by id; each page is a transaction of its own."""
        last_id = -1
        while True:
            with self._pool.transaction() as connection:
                page = connection.execute(_after(READINGS, query, last_id, PAGE_ROWS)).all()
            yield from page
            if len(page) < PAGE_ROWS:
                return
            last_id = page[-1].id

    def _rows(self, make: Callable[..., R], query: sa.Executable) -> list[R]:
        """The rows of a query in one transaction; `make` gets each with its columns by name."""
        with self._pool.transaction() as connection:
            return [make(**row._mapping) for row in connection.execute(query)]


def _newest(table: sa.Table, query: sa.Select[Any], limit: int, node: str | None) -> sa.Select[Any]:
    """The newest `limit` rows of a query, of one node or of all, newest first."""
    query = query.order_by(table.c.id.desc()).limit(limit)
    return query if node is None else query.where(table.c.node == node)


def _after(table: sa.Table, query: sa.Select[Any], row_id: int, limit: int) -> sa.Select[Any]:
    """At most `limit` rows of a query with an id above `row_id`, ascending."""
    return query.where(table.c.id > row_id).order_by(table.c.id).limit(limit)


@dataclass(frozen=True)
class _TimeAxis:
    """The column that dates a node's rows, and which rows lie in a span.

    Attributes:
        conditions: Select the rows in the span.
        start: First instant of the span, in the column's own time.
        is_local: Whether the column has local time; otherwise it has UTC.
    """

    table: sa.Table
    column: sa.ColumnElement[datetime]
    conditions: list[sa.ColumnElement[bool]]
    start: datetime
    is_local: bool

    def ordered(self, query: sa.Select[Any], limit: int) -> sa.Select[Any]:
        """The first `limit` of the selected rows, by time."""
        return query.where(*self.conditions).order_by(self.column).limit(limit)

    def to_utc(self, at: datetime) -> datetime:
        """A time of the column as UTC without zone."""
        return local_time.to_utc(at) if self.is_local else at


def _time_axes(row: type[Row], node: str | None, start: datetime, end: datetime) -> Iterator[_TimeAxis]:
    """The columns that date rows, each with the rows that it dates: event time, insert in UTC, insert in local time."""
    table = _TABLES[row]
    c = table.c
    has_node = c.node == node  # == None becomes IS NULL
    yield _TimeAxis(table, c.event_time, [has_node, c.event_time >= start, c.event_time < end], start, is_local=False)
    undated: list[sa.ColumnElement[bool]] = [has_node, c.event_time.is_(None)]
    in_span = [*undated, c.created_utc >= start, c.created_utc < end]
    yield _TimeAxis(table, c.created_utc, in_span, start, is_local=False)
    low, high = local_time.first_local(start), local_time.first_local(end)
    in_span = [*undated, c.created_utc.is_(None), c.created_at >= low, c.created_at < high]
    yield _TimeAxis(table, c.created_at, in_span, low, is_local=True)


def _unix_s(at: datetime) -> int:
    return int(at.replace(tzinfo=UTC).timestamp())


def _stats(*, last_utc: datetime | None, last_without_utc: datetime | None, **others: Any) -> Stats:
    """The totals; `last_without_utc` is the local time of the last insert among rows without the instant."""
    instants = [last_utc, last_without_utc and local_time.to_utc(last_without_utc)]
    return Stats(**others, last_utc=max((at for at in instants if at), default=None))


def is_before(instant: datetime) -> sa.ColumnElement[bool]:
    """Whether a reading is older than `instant`: by its event time, or by the instant of its insert if it has none."""
    at = (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC).replace(tzinfo=None)
    c = READINGS.c
    return sa.case(
        (c.event_time.is_not(None), c.event_time < at),
        (c.created_utc.is_not(None), c.created_utc < at),
        else_=c.created_at < local_time.first_local(at),
    )
