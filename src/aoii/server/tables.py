"""The tables as our statements see them, and how they are made and brought up to date.

The columns' exact types are in `migrations/`, which makes the tables. Tables of the older installation are brought up
to date too, and keep their rows.
"""

import contextlib
import logging
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from aoii.server.connection import IO_TIMEOUT_S, LOCK_TIMEOUT_S, ConnectionPool, mysql_engine, sqlite_engine
from aoii.server.database_errors import DatabaseAway
from aoii.server.rows import EdgeLogRow, ReadingRow
from aoii.settings import Database as DatabaseSettings

log = logging.getLogger(__name__)

NEWEST = "0004"  # the last version in `migrations/versions/`
MIGRATION_TIMEOUT_S = 3600  # an index over millions of rows takes minutes
MIGRATION_LOCK_S = 60  # how long to wait for another station's migration
WAL_RETRY_S = 0.05
TO_MIGRATE = "run `aoii migrate` once as a user who may change tables, such as aoii_admin"

_TYPES = {int: sa.BigInteger, float: sa.Double, str: sa.String, bool: sa.Boolean, datetime: sa.DateTime}


def _columns(row: type[ReadingRow | EdgeLogRow]) -> Iterator[sa.Column[Any]]:
    """A column for each field of `row`; `kind | None` has the column type of `kind`."""
    for field in fields(row):
        yield sa.Column(field.name, next(sql for kind, sql in _TYPES.items() if field.type in (kind, kind | None)))


_metadata = sa.MetaData()
EDGE_LOG = sa.Table("edge_log", _metadata, *_columns(EdgeLogRow))
READINGS = sa.Table("readings", _metadata, *_columns(ReadingRow), sa.Column("digest", sa.String))
READING_COLUMNS = [column for column in READINGS.c if column.name != "digest"]  # the fields of `ReadingRow`


def _of_node() -> tuple[sa.Column[str], sa.Column[int]]:
    """A part of the primary key: a node and an epoch."""
    return sa.Column("node", sa.String, primary_key=True), sa.Column("epoch", sa.BigInteger, primary_key=True)


GAPS = sa.Table(
    "gaps",
    _metadata,
    *_of_node(),
    sa.Column("first", sa.BigInteger, primary_key=True),
    sa.Column("last", sa.BigInteger),
    sa.Column("state", sa.String),
    sa.Column("detail", sa.String),
    sa.Column("found_at", sa.DateTime),
)
FLOORS = sa.Table(
    "floors", _metadata, *_of_node(), sa.Column("floor", sa.BigInteger), sa.Column("raised_at", sa.DateTime)
)
GATEWAY_FILES = sa.Table(
    "gateway_files",
    _metadata,
    sa.Column("gateway", sa.String, primary_key=True),
    sa.Column("file", sa.String),
    sa.Column("seq", sa.BigInteger),
    sa.Column("reported_at", sa.DateTime),
)
GATEWAY_NUMBERS = sa.Table(
    "gateway_numbers",
    _metadata,
    sa.Column("gateway", sa.String, primary_key=True),
    *_of_node(),
    sa.Column("low", sa.BigInteger),
    sa.Column("high", sa.BigInteger),
    sa.Column("waiting", sa.BigInteger),
)
AUDITS = sa.Table(
    "audits",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("is_full", sa.Boolean),
    sa.Column("asked_at", sa.DateTime),
    sa.Column("started_at", sa.DateTime),
    sa.Column("finished_at", sa.DateTime),
    sa.Column("counts", sa.String),
)
MARKS = sa.Table("marks", _metadata, sa.Column("name", sa.String, primary_key=True), sa.Column("value", sa.BigInteger))
ALL = frozenset(_metadata.tables)
"""The names of all our tables, but for Alembic's own."""
ROWS_BEFORE_AUDIT = "rows_before_audit"  # the mark: the highest `id` in `readings` when there was no audit yet


def migrate(settings: DatabaseSettings) -> None:
    """Bring the tables to the newest version; make a missing SQLite file or schema first.

    Any number of stations may call this at the same moment: one migrates, the others wait for it, `MIGRATION_LOCK_S`
    at most.

    Raises:
        DatabaseAway: It cannot be done now. Finished steps stay; the next call continues there.
    """
    is_admitted = False
    try:
        with _exclusive_migration(settings) as (pool, connection):
            is_admitted = True  # a refusal from here on is about the tables, not about the login
            before, after = _upgrade(pool, connection)
    except DatabaseAway as error:
        if is_admitted and error.reason == "refused":
            raise DatabaseAway("refused", error.problem, TO_MIGRATE) from error
        raise
    if before != after:
        log.info("database migrated", extra={"event": "database_migrated", "from": before, "to": after})


def _upgrade(pool: ConnectionPool, connection: sa.Connection) -> tuple[str | None, str | None]:
    """The versions of the tables before and after.

    Raises:
        DatabaseAway: A newer aoii made the tables.
    """
    if _has_newest_version(connection):
        return NEWEST, NEWEST
    logging.getLogger("alembic").setLevel(logging.WARNING)  # importing it logs its plugins
    from aoii.server.migrations import upgrade

    try:
        return upgrade(connection)
    except LookupError as error:
        raise DatabaseAway(
            "schema", f"database {pool.place}: a newer aoii made its tables ({error})", "install that version"
        ) from error


def _has_newest_version(connection: sa.Connection) -> bool:
    """Whether nothing is to do, as at nearly every start: importing Alembic would take a third of the start's time."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return False
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalars().all() == [NEWEST]


@contextlib.contextmanager
def _exclusive_migration(settings: DatabaseSettings) -> Iterator[tuple[ConnectionPool, sa.Connection]]:
    """A pool for this migration alone, and a transaction in it that excludes every other migration."""
    if settings.host is None:
        engine = sqlite_engine(settings.sqlite_path, create=True, lock_timeout_s=MIGRATION_LOCK_S)
    else:
        engine = mysql_engine(settings, settings.name, io_timeout_s=MIGRATION_TIMEOUT_S)
    with contextlib.closing(ConnectionPool(settings, engine)) as pool:  # its end closes the session, which has the lock
        if pool.is_sqlite:
            _switch_to_wal(pool)
        else:
            _create_schema(settings)
        with pool.transaction(write=True) as connection:
            if not pool.is_sqlite:
                _lock_schema(pool, connection)
            yield pool, connection


def _switch_to_wal(pool: ConnectionPool) -> None:
    """Let readers work beside one writer; the file remembers that.

    The switch fails while others use the file, so it is tried again for `LOCK_TIMEOUT_S`.

    Raises:
        DatabaseAway: The file cannot be opened, or stayed in use.
    """
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            with contextlib.closing(pool.engine.raw_connection()) as connection:
                connection.cursor().execute("PRAGMA journal_mode = WAL")
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            if time.monotonic() > deadline:
                raise pool.translate(error) from error
            time.sleep(WAL_RETRY_S)
        else:
            return


def _create_schema(settings: DatabaseSettings) -> None:
    """Create the schema when it is missing and our rights allow it."""
    pool = ConnectionPool(settings, mysql_engine(settings, None, IO_TIMEOUT_S))
    with contextlib.closing(pool), pool.transaction() as connection:
        if settings.name not in sa.inspect(connection).get_schema_names():
            quoted = pool.engine.dialect.identifier_preparer.quote(settings.name)
            connection.exec_driver_sql(f"CREATE DATABASE IF NOT EXISTS {quoted} CHARACTER SET utf8mb4")


def _lock_schema(pool: ConnectionPool, connection: sa.Connection) -> None:
    """Take the migration lock. It belongs to the session, so the implicit commits of DDL do not release it.

    Raises:
        DatabaseAway: Another station still has it after `MIGRATION_LOCK_S`.
    """
    name = f"aoii migration of {pool.settings.name}"[:64]
    if not connection.execute(sa.select(sa.func.get_lock(name, MIGRATION_LOCK_S))).scalar_one():
        raise DatabaseAway("conflict", f"database {pool.place}: another station is still migrating it", "wait")
