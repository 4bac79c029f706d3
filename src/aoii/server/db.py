"""Writes readings and rows of the nodes' logs into the database, a batch in one transaction.

Connections are in `connection.py`, the tables in `tables.py`; what only reads is in `queries.py`.

Each reading of a batch gets an exact status. Usually one multi-row statement stores the whole batch. The identities are
looked up only if the statement's count shows that the table has some of them. Nothing here waits, or tries again when
the database fails: the caller decides that.

Each transaction first reads the floors of its nodes, and leaves out what is not above them. It locks them until its
end: who raises a floor waits for the inserts that have not seen it, so that no row appears below a floor later.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import sqlalchemy as sa

from aoii.broker.messages import DeliveryStatus, Identity, Reading
from aoii.runtime import failpoints
from aoii.runtime.clock import utc
from aoii.server import local_time, tables
from aoii.server.connection import open_pool
from aoii.server.database_errors import BadRow, DatabaseAway
from aoii.server.queries import Queries
from aoii.server.rows import EdgeLogRow
from aoii.server.tables import EDGE_LOG, READINGS
from aoii.settings import Database as DatabaseSettings

__all__ = ["BadRow", "Database", "DatabaseAway", "EdgeLogRow", "open_database"]

ROUNDS_LIMIT = 5  # inserts of a batch; a third one is needed when others insert its readings after our look-up


def _inserted_columns(table: sa.Table) -> list[str]:
    """The names of the columns that an insert sets: all but `id`."""
    return [column.name for column in table.c if column.name != "id"]


def _insert_sql(table: sa.Table, placeholder: str, ending: str = "") -> str:
    """A statement for the driver itself: 43k rows/s on MariaDB, in batches of hundreds; made by SQLAlchemy, 26k."""
    names = _inserted_columns(table)
    return f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join([placeholder] * len(names))}){ending}"  # noqa: S608


# Never INSERT IGNORE: it stores a truncated text and turns NULL into 0.0 with a mere warning.
_INSERT_READINGS = {
    "sqlite": _insert_sql(READINGS, "?", " ON CONFLICT (node, epoch, counter) DO NOTHING"),
    "mysql": _insert_sql(READINGS, "%s", " ON DUPLICATE KEY UPDATE id = id"),
}
_FLOORS = {  # MariaDB has no FOR SHARE; SQLite's transaction has locked the whole file already
    "sqlite": ("SELECT node, epoch, floor FROM floors WHERE node IN ({})", "?"),
    "mysql": ("SELECT node, epoch, floor FROM floors WHERE node IN ({}) LOCK IN SHARE MODE", "%s"),
}
_INSERT_EDGE_LOG = {"sqlite": _insert_sql(EDGE_LOG, "?"), "mysql": _insert_sql(EDGE_LOG, "%s")}


class Database(Queries):
    """One database to read and to write; safe to share between threads.

    Args:
        settings: Where the database is.
        create: Whether a missing SQLite file is made.

    Raises:
        InputError: A TLS file is missing or not valid.
    """

    def __init__(self, settings: DatabaseSettings, *, create: bool) -> None:
        super().__init__(open_pool(settings, create=create))
        dialect = self._pool.engine.dialect.name
        self._insert_readings = _INSERT_READINGS[dialect]
        self._insert_edge_log = _INSERT_EDGE_LOG[dialect]
        self._floors = _FLOORS[dialect]

    def migrate(self) -> None:
        """Bring the tables to the newest version; see `tables.migrate`.

        Raises:
            DatabaseAway: It cannot be done now. Finished steps stay; the next call continues there.
        """
        try:
            tables.migrate(self._pool.settings)
        except DatabaseAway:
            self._pool.close()  # its connections keep the rights that they began with
            raise

    def check_writable(self) -> None:
        """Make sure that the database would take a row, without storing one.

        Raises:
            DatabaseAway: It would not take a row now.
        """
        with self._pool.transaction(write=True) as connection:  # a read-only database rejects the statement itself
            connection.execute(sa.update(READINGS).where(READINGS.c.id == -1).values(kind=None))
            connection.rollback()

    def insert_reading(self, row: Reading) -> DeliveryStatus:
        """`insert_readings` for a batch of one."""
        return self.insert_readings([row])[0]

    def insert_readings(self, rows: Sequence[Reading]) -> list[DeliveryStatus]:
        """Store rows in one transaction.

        Returns:
            The status of each row, in their order. A row without identity is always `stored`. A row whose counter is
            not above the floor of its node and epoch is `retired`. A row whose identity is known, from the table or
            from earlier in `rows`, is a `duplicate`, or a `mismatch` if its content differs. Only those that are
            `stored` change the table.

        Raises:
            DatabaseAway: Either nothing was stored, or it is unknown whether all rows were: insert the same rows again.
            BadRow: A row does not fit; nothing was stored.
        """
        digests = [row.digest() for row in rows]
        first: dict[Identity, int] = {}
        for index, row in enumerate(rows):
            if row.identity is not None:
                first.setdefault(row.identity, index)
        fresh = [index for index, row in enumerate(rows) if row.identity is None or first[row.identity] == index]
        known, stored, retired = self._insert_unknown(rows, digests, fresh)
        statuses: list[DeliveryStatus] = []
        for index, row in enumerate(rows):
            if index in stored or row.identity is None:
                statuses.append("stored")
            elif first[row.identity] in retired:
                statuses.append("retired")
            else:
                digest = known.get(row.identity, digests[first[row.identity]])  # in the table, or earlier in `rows`
                statuses.append("duplicate" if digest == digests[index] else "mismatch")
        return statuses

    def insert_edge_log(self, rows: Sequence[EdgeLogRow]) -> None:
        """Store rows in one transaction.

        Raises:
            DatabaseAway: As for `insert_readings`. These rows have no identity, so inserting them again may store them
                twice.
            BadRow: A row does not fit; nothing was stored.
        """
        now = _utc_now()
        values = [_edge_log_values(row, now) for row in rows]
        if values:
            with self._pool.transaction(write=True) as connection:
                connection.exec_driver_sql(self._insert_edge_log, values)

    def _insert_unknown(
        self, rows: Sequence[Reading], digests: Sequence[str], fresh: Sequence[int]
    ) -> tuple[Mapping[Identity, str | None], set[int], set[int]]:
        """Insert those of the `fresh` rows that the table does not have and that are above their floor.

        Returns:
            The digest of each identity that was looked up and found, the indexes of the rows that were stored, and
            those of the rows that are retired.

        Raises:
            DatabaseAway: Other writers came between look-up and insert every time.
        """
        now = _utc_now()
        created_at, created_utc = _text(local_time.to_local(now)), _text(now)  # once: they cost more than a row
        values = {index: _reading_values(rows[index], digests[index], created_at, created_utc) for index in fresh}
        known: Mapping[Identity, str | None] = {}
        retired: set[int] = set()
        for _ in range(ROUNDS_LIMIT):
            unknown = [index for index in fresh if index not in retired and rows[index].identity not in known]
            if not unknown:
                return known, set(), retired
            is_done, below = self._insert_above_floors({index: rows[index].identity for index in unknown}, values)
            retired |= below
            if is_done:
                return known, set(unknown) - retired, retired
            known = self._digests([identity for index in fresh if (identity := rows[index].identity)])
        raise DatabaseAway("conflict", "other writers keep inserting the same readings; or `readings` has another "
                           "unique key than (node, epoch, counter), which must then be dropped")  # fmt: skip

    def _insert_above_floors(
        self, identities: Mapping[int, Identity | None], values: Mapping[int, tuple[object, ...]]
    ) -> tuple[bool, set[int]]:
        """Insert in one transaction those of the rows that are above their floor.

        Args:
            identities: The identity of each row, by its index.
            values: The values of these rows, and maybe of others, by index.

        Returns:
            Whether all of them were inserted, or none of them, because the table has some; and the indexes of those
            that are not above their floor.
        """
        with self._pool.transaction(write=True) as connection:
            floors = self._floors_of(connection, {who.node for who in identities.values() if who is not None})
            retired = {
                index
                for index, who in identities.items()
                if who is not None and who.counter <= floors.get((who.node, who.epoch), -1)
            }
            fresh = [values[index] for index in identities if index not in retired]
            stored = connection.exec_driver_sql(self._insert_readings, fresh).rowcount if fresh else 0
            if stored != len(fresh):
                connection.rollback()
            failpoints.reach("before_database_commit")
        failpoints.reach("after_database_commit")
        return stored == len(fresh), retired

    def _floors_of(self, connection: sa.Connection, nodes: Collection[str]) -> dict[tuple[str, int], int]:
        """The floors of these nodes, by node and epoch, which nobody raises before the transaction has ended."""
        if not nodes:
            return {}
        sql, placeholder = self._floors
        rows = connection.exec_driver_sql(sql.format(", ".join([placeholder] * len(nodes))), tuple(sorted(nodes)))
        return {(node, epoch): floor for node, epoch, floor in rows}

    def _digests(self, identities: Sequence[Identity]) -> dict[Identity, str | None]:
        """Digest of each of `identities` that is in the table."""
        c = READINGS.c
        keys = [(identity.node, identity.epoch, identity.counter) for identity in identities]
        query = sa.select(c.node, c.epoch, c.counter, c.digest).where(sa.tuple_(c.node, c.epoch, c.counter).in_(keys))
        with self._pool.transaction() as connection:
            return {Identity(row.node, row.epoch, row.counter): row.digest for row in connection.execute(query)}


def open_database(settings: DatabaseSettings, migrate: bool = False) -> Database:
    """The database: to be read only, or with `migrate` to be read and written.

    Without `migrate` nothing is made or checked; a missing database shows at the first query.

    Args:
        settings: Where the database is.
        migrate: Make the tables, or bring them to the newest version.

    Raises:
        DatabaseAway: With `migrate`: it cannot be reached, or its tables cannot be made now.
        InputError: A TLS file is missing or not valid.
    """
    database = Database(settings, create=migrate)
    if migrate:
        database.migrate()
    return database


def _utc_now() -> datetime:
    """Now, UTC without zone."""
    return datetime.now(UTC).replace(tzinfo=None)


def _text(at: datetime) -> str:
    """A time as text that both engines accept."""
    return at.isoformat(" ", "microseconds")


def _reading_values(row: Reading, digest: str, created_at: str, created_utc: str) -> tuple[object, ...]:
    """One reading in the order of the columns of `readings`; an error is reading minus estimate."""
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
        created_utc,
        digest if who else None,
    )


def _edge_log_values(row: EdgeLogRow, now: datetime) -> tuple[object, ...]:
    """One row in the order of the columns of `edge_log`."""
    if row.created_at is None:
        created_at, created_utc = local_time.to_local(now), now
    else:  # of two equal hours, `datetime.now` says which one it is
        created_at, created_utc = row.created_at, row.created_at.astimezone(UTC).replace(tzinfo=None)
    stamped = replace(row, created_at=created_at, created_utc=created_utc)
    values = (getattr(stamped, name) for name in _inserted_columns(EDGE_LOG))
    return tuple(_text(value) if isinstance(value, datetime) else value for value in values)
