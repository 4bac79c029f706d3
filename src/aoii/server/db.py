"""The database: SQLite by default, MySQL or MariaDB with the same code; only this and migrations/ know SQLAlchemy.

One transaction for each batch, and an exact answer for each row. The usual batch is one multi-row statement that
either stores everything or shows by its count that some identities are known; only then are those looked up. Nothing
here retries or waits: that is the caller's decision. What the engines say is translated at this border into
`DatabaseAway` (the world: trying again later may help) or `BadRow` (this row never fits).
"""

import contextlib
import logging
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from aoii.broker.messages import Identity, Reading
from aoii.runtime import failpoints
from aoii.runtime.clock import utc
from aoii.security import tls
from aoii.server.database_errors import BadRow, DatabaseAway, translated
from aoii.settings import Database as DatabaseSettings

log = logging.getLogger(__name__)

__all__ = [
    "BadRow",
    "Column",
    "Database",
    "DatabaseAway",
    "EdgeLogRow",
    "NodeSummary",
    "Outcome",
    "ReadingRow",
    "Stats",
    "open_database",
]

Outcome = Literal["stored", "duplicate", "mismatch"]
TableName = Literal["readings", "edge_log"]

CONNECT_TIMEOUT_S = 5
IO_TIMEOUT_S = 10  # with a connect timeout alone, a frozen database hangs its client for ever
LOCK_TIMEOUT_S = 5  # below IO_TIMEOUT_S, so that a lock is reported as a lock
MIGRATION_TIMEOUT_S = 3600  # an index over millions of rows takes minutes
MIGRATION_LOCK_S = 60
PAGE_ROWS = 2000  # rows of one read of a stream; no transaction stays open between two reads
ROUNDS_LIMIT = 5  # times that other writers may come between our look and our insert


@dataclass(frozen=True)
class ReadingRow:
    """One row of `readings`; temperatures in °C, humidity in %RH, errors signed (actual minus predicted).

    Attributes:
        created_at: Local time of the server at the insert.
        gateway: None in rows of the reference system, like all that follows.
        event_time: When the node sampled, UTC without zone.
    """

    id: int
    created_at: datetime
    actual_temp: float
    actual_humidity: float
    pred_temp: float
    pred_humidity: float
    error_temp: float
    error_humidity: float
    transmission_delay_ms: int | None
    gateway: str | None
    node: str | None
    epoch: int | None
    counter: int | None
    kind: str | None
    event_time: datetime | None
    clock_synced: bool | None


@dataclass(frozen=True, kw_only=True)
class EdgeLogRow:
    """One row of `edge_log`: one sample of one node, sent or not; units as in `ReadingRow`.

    Attributes:
        id: None before it is stored.
        created_at: Local time; None: the time of the insert.
        triggered: Whether the node sent it.
        status: The node's own word, at most 20 characters.
        event_time: When the node sampled, UTC without zone, if it said so.
    """

    id: int | None = None
    created_at: datetime | None = None
    actual_temp: float
    actual_humidity: float
    pred_temp: float
    pred_humidity: float
    error_temp: float
    error_humidity: float
    triggered: bool
    status: str
    inference_time_us: int | None
    free_heap: int | None
    total_heap: int | None
    node: str | None = None
    event_time: datetime | None = None


@dataclass(frozen=True)
class Stats:
    """What `/api/stats` says; None where there are no rows. `first_at` and `last_at` are local times of insert."""

    total: int
    avg_temp: float | None
    avg_humidity: float | None
    mae_temp: float | None
    mae_humidity: float | None
    first_at: datetime | None
    last_at: datetime | None


@dataclass(frozen=True)
class NodeSummary:
    """One node as the database knows it; node None stands for all rows without identity."""

    node: str | None
    gateway: str | None
    readings: int
    last_event_time: datetime | None
    last_created_at: datetime


@dataclass(frozen=True)
class Column:
    """The rows of one stretch of time in few numbers: when, how many, and the least and greatest values of all.

    Attributes:
        first, last: Times of the first and the last row, UTC without zone.
    """

    first: datetime
    last: datetime
    rows: int
    min_temp: float
    max_temp: float
    min_humidity: float
    max_humidity: float


# What the queries need to know of the tables; the tables themselves are made by migrations/.
_metadata = sa.MetaData()
_MEASURED = ("actual_temp", "actual_humidity", "pred_temp", "pred_humidity", "error_temp", "error_humidity")
_readings = sa.Table(
    "readings",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("created_at", sa.DateTime),
    *(sa.Column(name, sa.Double) for name in _MEASURED),
    sa.Column("transmission_delay_ms", sa.BigInteger),
    sa.Column("gateway", sa.String),
    sa.Column("node", sa.String),
    sa.Column("epoch", sa.BigInteger),
    sa.Column("counter", sa.BigInteger),
    sa.Column("kind", sa.String),
    sa.Column("event_time", sa.DateTime),
    sa.Column("clock_synced", sa.Boolean),
    sa.Column("digest", sa.String),
)
_edge_log = sa.Table(
    "edge_log",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("created_at", sa.DateTime),
    *(sa.Column(name, sa.Double) for name in _MEASURED),
    sa.Column("triggered", sa.Boolean),
    sa.Column("status", sa.String),
    sa.Column("inference_time_us", sa.BigInteger),
    sa.Column("free_heap", sa.BigInteger),
    sa.Column("total_heap", sa.BigInteger),
    sa.Column("node", sa.String),
    sa.Column("event_time", sa.DateTime),
)
_READING_COLUMNS = [column for column in _readings.c if column.name != "digest"]


def _insert_sql(table: sa.Table, mark: str, ending: str = "") -> str:
    """A statement of the driver's own: 43k rows/s in hundreds on MariaDB, 26k when SQLAlchemy makes it."""
    names = [column.name for column in table.c if column.name != "id"]
    return f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join([mark] * len(names))}){ending}"  # noqa: S608


# Never INSERT IGNORE: it stores a truncated text and turns NULL into 0.0 with a mere warning.
_INSERT_READINGS = {
    "sqlite": _insert_sql(_readings, "?", " ON CONFLICT (node, epoch, counter) DO NOTHING"),
    "mysql": _insert_sql(_readings, "%s", " ON DUPLICATE KEY UPDATE id = id"),
}
_INSERT_EDGE_LOG = {"sqlite": _insert_sql(_edge_log, "?"), "mysql": _insert_sql(_edge_log, "%s")}


class Database:
    """A pool of connections to one database; safe to share between threads. Made by `open_database`."""

    def __init__(self, settings: DatabaseSettings, *, create: bool) -> None:
        self._settings = settings
        self._is_sqlite = settings.host is None
        self.certificate_expires: datetime | None = None  # of the database's, as it showed it last
        if self._is_sqlite:
            self._engine = _sqlite_engine(settings.sqlite_path, create, LOCK_TIMEOUT_S)
        else:
            self._engine = _mysql_engine(settings, settings.name, IO_TIMEOUT_S)
            event.listen(self._engine, "connect", self._connected)
        self._insert_readings = _INSERT_READINGS[self._engine.dialect.name]
        self._insert_edge_log = _INSERT_EDGE_LOG[self._engine.dialect.name]

    def close(self) -> None:
        """Close all connections that are not in use."""
        self._engine.dispose()

    def migrate(self) -> None:
        """Bring the tables to the present revision; a database of the reference system is taken over with its rows.

        Any number of stations may call this at the same moment; one works and the others wait for it.

        Raises:
            DatabaseAway: It could not be done now; what was done stays, and calling again goes on from there.
        """
        logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells its plugins when it is imported
        from aoii.server.migrations import upgrade  # it takes 0.2 s to import

        with self._migration() as connection:
            try:
                before, after = upgrade(connection)
            except LookupError as error:
                raise DatabaseAway(
                    "schema", f"database {self.place}: a newer aoii made its tables ({error}); install that version"
                ) from error
        if before != after:
            log.info("database migrated", extra={"event": "database_migrated", "from": before, "to": after})

    def ping(self, write: bool = False) -> None:
        """Make sure that the database answers and has our tables, and with `write` that it would take a row.

        Raises:
            DatabaseAway: It does not.
        """
        with self._transaction(write=write) as connection:
            if write:  # touches no row; a read-only database refuses the statement itself
                connection.execute(sa.update(_readings).where(_readings.c.id == -1).values(kind=None))
                connection.rollback()
            else:
                connection.execute(sa.select(*_READING_COLUMNS).limit(1)).all()

    def insert_reading(self, row: Reading) -> Outcome:
        """`insert_readings` for a batch of one."""
        return self.insert_readings([row])[0]

    def insert_readings(self, rows: Sequence[Reading]) -> list[Outcome]:
        """Store rows in one transaction; what became of each, in their order.

        A row without identity is always `stored`. One whose identity is known, from the table or from earlier in
        `rows`, is a `duplicate`, or a `mismatch` when its content is another; neither changes the table.

        Raises:
            DatabaseAway: Nothing was stored, or it is not known whether all or nothing was: insert the same rows again.
            BadRow: A row does not fit; nothing was stored.
        """
        created_at = _text(datetime.now())  # noqa: DTZ005 - local on purpose
        first: dict[Identity, str] = {}
        digests = [row.digest() for row in rows]
        fresh: list[int] = []
        for index, row in enumerate(rows):
            if row.identity is None or row.identity not in first:
                fresh.append(index)
            if row.identity is not None:
                first.setdefault(row.identity, digests[index])
        values = {index: _values(rows[index], digests[index], created_at) for index in fresh}
        known: dict[Identity, str | None] = {}
        for _ in range(ROUNDS_LIMIT):
            unknown = [index for index in fresh if rows[index].identity not in known]
            if self._all_stored([values[index] for index in unknown]):
                break
            known = self._digests([identity for index in fresh if (identity := rows[index].identity)])
        else:
            raise DatabaseAway("conflict", "other writers keep inserting the same readings; or `readings` has another "
                               "unique key than (node, epoch, counter), which must then be dropped")  # fmt: skip
        stored = set(unknown)
        outcomes: list[Outcome] = []
        for index, row in enumerate(rows):
            who = row.identity
            if index in stored or who is None:
                outcomes.append("stored")
            else:
                same = known.get(who, first[who]) == digests[index]
                outcomes.append("duplicate" if same else "mismatch")
        return outcomes

    def insert_edge_log(self, rows: Sequence[EdgeLogRow]) -> None:
        """Store rows in one transaction.

        Raises:
            DatabaseAway: As for `insert_readings`; there is no identity, so inserting again may double the rows.
            BadRow: A row does not fit; nothing was stored.
        """
        now = datetime.now()  # noqa: DTZ005 - local on purpose
        values = [_edge_log_values(row, now) for row in rows]
        if values:
            with self._transaction(write=True) as connection:
                connection.exec_driver_sql(self._insert_edge_log, values)

    def stats(self) -> Stats:
        """Totals and means over all readings."""
        c = _readings.c
        query = sa.select(
            sa.func.count(),
            sa.func.avg(c.actual_temp),
            sa.func.avg(c.actual_humidity),
            sa.func.avg(sa.func.abs(c.error_temp)),
            sa.func.avg(sa.func.abs(c.error_humidity)),
            sa.func.min(c.created_at),
            sa.func.max(c.created_at),
        )
        with self._transaction() as connection:
            return Stats(*connection.execute(query).one())

    def recent(self, limit: int, node: str | None = None) -> list[ReadingRow]:
        """The newest `limit` readings, of one node or of all, in the order of their insert."""
        query = sa.select(*_READING_COLUMNS).order_by(_readings.c.id.desc()).limit(limit)
        if node is not None:
            query = query.where(_readings.c.node == node)
        return self._reading_rows(query)[::-1]

    def readings_after(self, row_id: int, limit: int) -> list[ReadingRow]:
        """At most `limit` readings with an id above `row_id`, ascending."""
        query = sa.select(*_READING_COLUMNS).where(_readings.c.id > row_id)
        return self._reading_rows(query.order_by(_readings.c.id).limit(limit))

    def edge_log_after(self, row_id: int, limit: int) -> list[EdgeLogRow]:
        """At most `limit` rows of the nodes' logs with an id above `row_id`, ascending."""
        query = sa.select(_edge_log).where(_edge_log.c.id > row_id)
        return self._edge_log_rows(query.order_by(_edge_log.c.id).limit(limit))

    def recent_edge_log(self, limit: int, node: str | None = None) -> list[EdgeLogRow]:
        """The newest `limit` rows of the nodes' logs, of one node or of all, in the order of their insert."""
        query = sa.select(_edge_log).order_by(_edge_log.c.id.desc()).limit(limit)
        if node is not None:
            query = query.where(_edge_log.c.node == node)
        return self._edge_log_rows(query)[::-1]

    def nodes(self) -> list[NodeSummary]:
        """Every node with its number of readings and the gateway that heard it last, by name."""
        c = _readings.c
        per_node = (
            sa.select(
                sa.func.max(c.id).label("last_id"),
                sa.func.count().label("readings"),
                sa.func.max(c.event_time).label("last_event_time"),
                sa.func.max(c.created_at).label("last_created_at"),
            )
            .group_by(c.node)
            .subquery()
        )
        last = per_node.c
        query = (
            sa.select(c.node, c.gateway, last.readings, last.last_event_time, last.last_created_at)
            .join_from(per_node, _readings, c.id == last.last_id)
            .order_by(c.node)
        )
        with self._transaction() as connection:
            return [NodeSummary(*row) for row in connection.execute(query)]

    def export(
        self, *, node: str | None = None, start: datetime | None = None, end: datetime | None = None
    ) -> Iterator[ReadingRow]:
        """All readings of one node or of all, by id, read page by page.

        Args:
            node: The node's name.
            start: First instant; a time without zone is UTC. Compared with the event time, or with `created_at` where a
                row has none.
            end: First instant after the last one.
        """
        query = sa.select(*_READING_COLUMNS)
        if node is not None:
            query = query.where(_readings.c.node == node)
        if start is not None:
            query = query.where(sa.not_(_before(start)))
        if end is not None:
            query = query.where(_before(end))
        last_id = -1
        while True:
            page = self._reading_rows(query.where(_readings.c.id > last_id).order_by(_readings.c.id).limit(PAGE_ROWS))
            yield from page
            if len(page) < PAGE_ROWS:
                return
            last_id = page[-1].id

    def columns(self, table: TableName, node: str | None, start: datetime, end: datetime, width_s: int) -> list[Column]:
        """The rows of one node in stretches of `width_s` seconds from `start` on, in order; empty ones are left out.

        The database does the work: 3 of a year's 525,600 rows would be too many to fetch for each that is drawn.

        Args:
            table: `readings` or `edge_log`.
            node: The node's name; None: rows without one.
            start: First instant, UTC without zone. Compared with the event time; where the node has none at all, with
                `created_at`.
            end: First instant after the last one.
            width_s: Seconds, 1 or more.
        """
        for timing in self._timings(table, node, start, end):
            second = (
                sa.cast(sa.func.strftime("%s", timing.column), sa.BigInteger) - _second(timing.start)
                if self._is_sqlite
                else sa.func.timestampdiff(sa.text("SECOND"), timing.start, timing.column)
            )
            c = timing.table.c
            query = (
                sa.select(
                    sa.func.min(timing.column),
                    sa.func.max(timing.column),
                    sa.func.count(),
                    sa.func.min(c.actual_temp),
                    sa.func.max(c.actual_temp),
                    sa.func.min(c.actual_humidity),
                    sa.func.max(c.actual_humidity),
                )
                .where(*timing.conditions)
                .group_by(second // width_s)
                .order_by(sa.func.min(timing.column))
            )
            with self._transaction() as connection:
                found = [Column(timing.utc(row[0]), timing.utc(row[1]), *row[2:]) for row in connection.execute(query)]
            if found:
                return found
        return []

    def readings_between(self, node: str | None, start: datetime, end: datetime, limit: int) -> list[ReadingRow]:
        """The first `limit` readings of one node in a span, by time; node and times as for `columns`."""
        for timing in self._timings("readings", node, start, end):
            query = sa.select(*_READING_COLUMNS).where(*timing.conditions).order_by(timing.column).limit(limit)
            if rows := self._reading_rows(query):
                return rows
        return []

    def edge_log_between(self, node: str | None, start: datetime, end: datetime, limit: int) -> list[EdgeLogRow]:
        """The first `limit` rows of one node's log in a span, by time; node and times as for `columns`."""
        for timing in self._timings("edge_log", node, start, end):
            query = sa.select(_edge_log).where(*timing.conditions).order_by(timing.column).limit(limit)
            if rows := self._edge_log_rows(query):
                return rows
        return []

    def _timings(self, name: TableName, node: str | None, start: datetime, end: datetime) -> "list[_Timing]":
        """How to tell a node's time: by its event time, or where no row has one by the local time of insert."""
        table = _readings if name == "readings" else _edge_log
        c = table.c
        found = []
        for column, is_local in ((c.event_time, False), (c.created_at, True)):
            low, high = (_local(start), _local(end)) if is_local else (start, end)
            conditions = [c.node == node, column >= low, column < high]  # None becomes IS NULL
            if is_local:
                conditions.append(c.event_time.is_(None))
            found.append(_Timing(table, column, conditions, low, is_local))
        return found

    def identities(self) -> Iterator[tuple[str, int, int]]:
        """(node, epoch, counter) of every reading that has one, read page by page."""
        c = _readings.c
        query = sa.select(c.id, c.node, c.epoch, c.counter).where(c.node.is_not(None)).order_by(c.id).limit(PAGE_ROWS)
        last_id = -1
        while True:
            with self._transaction() as connection:
                page = connection.execute(query.where(c.id > last_id)).all()
            for row in page:
                yield row.node, row.epoch, row.counter
            if len(page) < PAGE_ROWS:
                return
            last_id = page[-1].id

    def _connected(self, connection: object, record: object) -> None:
        # The driver keeps its socket to itself; without it the end of this certificate is not known.
        self.certificate_expires = tls.expires_of_peer(getattr(connection, "_sock", None))

    def _all_stored(self, values: list[tuple[object, ...]]) -> bool:
        """Insert `values`; False, and nothing kept, when the database knew some of them."""
        if not values:
            return True
        with self._transaction(write=True) as connection:
            stored = connection.exec_driver_sql(self._insert_readings, values).rowcount
            if stored != len(values):
                connection.rollback()
            failpoints.reach("before_database_commit")
        failpoints.reach("after_database_commit")
        return stored == len(values)

    def _digests(self, identities: Sequence[Identity]) -> dict[Identity, str | None]:
        """Digest of each of `identities` that is in the table."""
        c = _readings.c
        keys = [(identity.node, identity.epoch, identity.counter) for identity in identities]
        query = sa.select(c.node, c.epoch, c.counter, c.digest).where(sa.tuple_(c.node, c.epoch, c.counter).in_(keys))
        with self._transaction() as connection:
            return {Identity(row.node, row.epoch, row.counter): row.digest for row in connection.execute(query)}

    def _reading_rows(self, query: sa.Select[Any]) -> list[ReadingRow]:
        with self._transaction() as connection:
            return [ReadingRow(*row) for row in connection.execute(query)]

    def _edge_log_rows(self, query: sa.Select[Any]) -> list[EdgeLogRow]:
        with self._transaction() as connection:
            return [EdgeLogRow(**row._mapping) for row in connection.execute(query)]

    @contextlib.contextmanager
    def _transaction(self, *, write: bool = False, engine: sa.Engine | None = None) -> Iterator[sa.Connection]:
        """A transaction that commits at its end; errors leave it rolled back and translated."""
        try:
            with (
                (engine or self._engine).connect().execution_options(aoii_write=write) as connection,
                connection.begin(),
            ):
                yield connection
        except (SQLAlchemyError, OSError, OverflowError, RuntimeError, UnicodeError) as error:
            # From PyMySQL: RuntimeError, a login that it cannot do; UnicodeError, a host that is no name.
            ours = self._translated(error)
            if isinstance(ours, DatabaseAway) and ours.reason == "refused":
                self._engine.dispose()  # a connection keeps the rights that it began with, even after a GRANT
            raise ours from error

    def _translated(self, error: Exception) -> DatabaseAway | BadRow:
        if isinstance(error, sa.exc.TimeoutError):
            return DatabaseAway("conflict", f"database {self.place}: all connections of the pool are in use; try again")
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        encryption = self._settings.tls
        meaning = None if encryption is None else tls.explained(str(cause), self.place, encryption)
        if meaning is not None:
            return DatabaseAway("refused", meaning)
        return translated(cause, self._engine.dialect.name, self.place)

    @contextlib.contextmanager
    def _migration(self) -> Iterator[sa.Connection]:
        """A transaction that no other migration can have at the same time."""
        if self._is_sqlite:
            engine = _sqlite_engine(self._settings.sqlite_path, create=True, lock_timeout_s=MIGRATION_LOCK_S)
        else:
            engine = _mysql_engine(self._settings, self._settings.name, io_timeout_s=MIGRATION_TIMEOUT_S)
        try:
            if self._is_sqlite:
                self._switch_to_wal(engine)
            else:
                self._create_schema()
            with self._transaction(write=True, engine=engine) as connection:
                if not self._is_sqlite:  # a session's lock: the implicit commits of DDL do not end it
                    name = f"aoii migration of {self._settings.name}"[:64]
                    taken = connection.execute(sa.select(sa.func.get_lock(name, MIGRATION_LOCK_S))).scalar_one()
                    if not taken:
                        raise DatabaseAway(
                            "conflict", f"database {self.place}: another station still migrates it; wait"
                        )
                yield connection
        finally:
            engine.dispose()  # closes the session, and its lock with it

    def _switch_to_wal(self, engine: sa.Engine) -> None:
        """Readers beside one writer; the mode stays in the file. Refused while others use the file: then again."""
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                with contextlib.closing(engine.raw_connection()) as connection:
                    connection.cursor().execute("PRAGMA journal_mode = WAL")
            except (SQLAlchemyError, sqlite3.Error, OSError) as error:
                if time.monotonic() > deadline:
                    raise self._translated(error) from error
                time.sleep(0.05)
            else:
                return

    def _create_schema(self) -> None:
        """Create the schema when the server has none of that name and lets us."""
        engine = _mysql_engine(self._settings, None, IO_TIMEOUT_S)
        try:
            with self._transaction(engine=engine) as connection:
                if self._settings.name not in sa.inspect(connection).get_schema_names():
                    quoted = engine.dialect.identifier_preparer.quote(self._settings.name)
                    connection.exec_driver_sql(f"CREATE DATABASE IF NOT EXISTS {quoted} CHARACTER SET utf8mb4")
        finally:
            engine.dispose()

    @property
    def place(self) -> str:
        """Where the database is, for messages."""
        at = self._settings
        return str(at.sqlite_path) if self._is_sqlite else f"{at.name} at {at.host}:{at.port}"


def open_database(settings: DatabaseSettings, migrate: bool = False) -> Database:
    """A database to read from, or with `migrate` to write to: its tables are made or brought up to date first.

    Without `migrate` nothing is touched and nothing is checked; a database that is missing shows at the first query.

    Raises:
        DatabaseAway: It cannot be reached, or its tables cannot be made.
        InputError: The files for TLS are none.
    """
    database = Database(settings, create=migrate)
    if migrate:
        database.migrate()
    return database


def _sqlite_engine(path: Path, create: bool, lock_timeout_s: float) -> sa.Engine:
    uri = f"file:{quote(str(path.absolute()))}?mode={'rwc' if create else 'rw'}"  # a reader makes no empty file

    def connect() -> sqlite3.Connection:
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            uri, uri=True, timeout=lock_timeout_s, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    engine = sa.create_engine("sqlite://", creator=connect, poolclass=sa.pool.QueuePool, pool_timeout=LOCK_TIMEOUT_S)

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # A writer takes its lock at once: a reader that turns writer may be refused without any wait.
        write = connection.get_execution_options().get("aoii_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _mysql_engine(settings: DatabaseSettings, schema: str | None, io_timeout_s: float) -> sa.Engine:
    return sa.create_engine(
        sa.URL.create("mysql+pymysql", settings.user, settings.password, settings.host, settings.port, schema),
        pool_pre_ping=True,
        pool_timeout=LOCK_TIMEOUT_S,
        connect_args={
            "charset": "utf8mb4",
            "connect_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": io_timeout_s,
            "write_timeout": io_timeout_s,
            **({} if settings.tls is None else {"ssl": tls.context(settings.tls)}),
            "client_flag": 0,  # without FOUND_ROWS a row that was known does not count as changed
            "init_command": "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', "
            f"innodb_lock_wait_timeout = {LOCK_TIMEOUT_S}",
        },
    )


def _text(at: datetime) -> str:
    """A time as both engines take it as text."""
    return at.isoformat(" ", "microseconds")


def _values(row: Reading, digest: str, created_at: str) -> tuple[object, ...]:
    """One reading in the order of the columns of `readings`; the errors get their sign back here."""
    who = row.identity
    return (
        created_at,
        row.actual_t,
        row.actual_h,
        row.pred_t,
        row.pred_h,
        round(row.actual_t - row.pred_t, 6),
        round(row.actual_h - row.pred_h, 6),
        row.transmission_delay_ms,
        row.gateway,
        who.node if who else None,
        who.epoch if who else None,
        who.counter if who else None,
        row.kind,
        None if row.event_unix_ms is None else _text(utc(row.event_unix_ms)),
        int(row.clock_synced) if who else None,
        digest if who else None,
    )


def _edge_log_values(row: EdgeLogRow, now: datetime) -> tuple[object, ...]:
    return (
        _text(row.created_at or now),
        row.actual_temp,
        row.actual_humidity,
        row.pred_temp,
        row.pred_humidity,
        row.error_temp,
        row.error_humidity,
        int(row.triggered),
        row.status,
        row.inference_time_us,
        row.free_heap,
        row.total_heap,
        row.node,
        None if row.event_time is None else _text(row.event_time),
    )


@dataclass(frozen=True)
class _Timing:
    """One way to tell the time of rows: which column, which rows, and from when on, as the column tells time."""

    table: sa.Table
    column: sa.ColumnElement[datetime]
    conditions: list[sa.ColumnElement[bool]]
    start: datetime
    is_local: bool

    def utc(self, at: datetime) -> datetime:
        """A time of the column as UTC without zone."""
        return at.astimezone(UTC).replace(tzinfo=None) if self.is_local else at


def _local(at: datetime) -> datetime:
    """UTC without zone to local time without zone."""
    return at.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)


def _second(at: datetime) -> int:
    return int(at.replace(tzinfo=UTC).timestamp())


def _before(instant: datetime) -> sa.ColumnElement[bool]:
    """Whether a reading is older than `instant`: by its event time in UTC, else by its local time of insert."""
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    at_utc = aware.astimezone(UTC).replace(tzinfo=None)
    at_local = aware.astimezone().replace(tzinfo=None)
    return sa.case(
        (_readings.c.event_time.is_(None), _readings.c.created_at < at_local), else_=_readings.c.event_time < at_utc
    )
