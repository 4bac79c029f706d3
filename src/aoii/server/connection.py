"""Connections to the database: SQLite by default, MySQL or MariaDB with a host name.

Time limits, TLS and session settings are set here, and nowhere else. Errors of the engines leave this file as
`DatabaseAway` (a later try may succeed) or `BadRow` (the row never fits). Nothing here retries.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from aoii.security import tls
from aoii.server.database_errors import BadRow, DatabaseAway, translated
from aoii.settings import Database as DatabaseSettings

CONNECT_TIMEOUT_S = 5
IO_TIMEOUT_S = 10  # for one answer: without it, a client waits for ever when the database freezes
LOCK_TIMEOUT_S = 5  # below IO_TIMEOUT_S, so that a lock is reported as a lock


class ConnectionPool:
    """Connections of one engine to one database; safe to share between threads.

    Args:
        settings: Where the database is.
        engine: Made by `sqlite_engine` or `mysql_engine`.

    Attributes:
        certificate_expires: End of the database's certificate at the last connect, UTC; None before, or without TLS.
    """

    def __init__(self, settings: DatabaseSettings, engine: sa.Engine) -> None:
        self.settings = settings
        self.engine = engine
        self.certificate_expires: datetime | None = None
        if not self.is_sqlite:
            event.listen(engine, "connect", self._read_certificate)

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is a local file."""
        return self.settings.host is None

    @property
    def place(self) -> str:
        """Where the database is, for messages."""
        at = self.settings
        return str(at.sqlite_path) if self.is_sqlite else f"{at.name} at {at.host}:{at.port}"

    def close(self) -> None:
        """Close all connections that are not in use."""
        self.engine.dispose()

    @contextlib.contextmanager
    def transaction(self, *, write: bool = False) -> Iterator[sa.Connection]:
        """A transaction, committed at the end of the block, rolled back on an error.

        Args:
            write: Whether the block writes; SQLite then takes its write lock at the beginning.

        Raises:
            DatabaseAway: The database does not answer, or does not accept the statement now.
            BadRow: A value does not fit its column.
        """
        try:
            with self.engine.connect().execution_options(aoii_write=write) as connection, connection.begin():
                yield connection
        except (SQLAlchemyError, OSError, OverflowError, RuntimeError, UnicodeError) as error:
            # PyMySQL raises RuntimeError for an unsupported login, UnicodeError for a host that is not a valid name.
            ours = self.translate(error)
            if isinstance(ours, DatabaseAway) and ours.reason == "refused":
                self.close()  # a GRANT has no effect on the connections that are open
            raise ours from error

    def translate(self, error: Exception) -> DatabaseAway | BadRow:
        """Our error for an error of SQLAlchemy or of a driver."""
        if isinstance(error, sa.exc.TimeoutError):
            return DatabaseAway(
                "conflict", f"database {self.place}: all connections of the pool are in use", "try again"
            )
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        encryption = self.settings.tls
        meaning = None if encryption is None else tls.explain(str(cause), self.place, encryption)
        if meaning is not None:
            return DatabaseAway("refused", meaning.problem, meaning.remedy)
        return translated(cause, self.engine.dialect.name, self.place)

    def _read_certificate(self, connection: object, record: object) -> None:
        # Only the driver's private socket knows the certificate.
        self.certificate_expires = tls.expires_of_peer(getattr(connection, "_sock", None))


def open_pool(settings: DatabaseSettings, *, create: bool) -> ConnectionPool:
    """A pool that connects at the first transaction.

    Args:
        settings: Where the database is.
        create: Whether a missing SQLite file is made.

    Raises:
        InputError: A TLS file is missing or not valid.
    """
    if settings.host is None:
        engine = sqlite_engine(settings.sqlite_path, create=create, lock_timeout_s=LOCK_TIMEOUT_S)
    else:
        engine = mysql_engine(settings, settings.name, IO_TIMEOUT_S)
    return ConnectionPool(settings, engine)


def sqlite_engine(path: Path, *, create: bool, lock_timeout_s: float) -> sa.Engine:
    """An engine for a SQLite file.

    Args:
        path: The file.
        create: Whether a missing file and its folder are made; a reader must not leave an empty file.
        lock_timeout_s: How long to wait for another writer.
    """
    uri = f"file:{quote(str(path.absolute()))}?mode={'rwc' if create else 'rw'}"

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
        # A writer takes its lock at once: SQLite may reject a reader that becomes a writer without waiting.
        write = connection.get_execution_options().get("aoii_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def mysql_engine(settings: DatabaseSettings, schema: str | None, io_timeout_s: float) -> sa.Engine:
    """An engine for MySQL or MariaDB.

    Args:
        settings: Host, user and TLS files.
        schema: The schema to use; None: no schema.
        io_timeout_s: How long to wait for one answer.

    Raises:
        InputError: A TLS file is missing or not valid.
    """
    return sa.create_engine(
        sa.URL.create("mysql+pymysql", settings.user, settings.password, settings.host, settings.port, schema),
        pool_pre_ping=True,
        pool_timeout=LOCK_TIMEOUT_S,
        isolation_level="REPEATABLE READ",  # its locks keep a floor from appearing where an insert has seen none
        connect_args={
            "password": settings.password.encode(),  # as text, PyMySQL takes Latin-1 only
            "charset": "utf8mb4",
            "connect_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": io_timeout_s,
            "write_timeout": io_timeout_s,
            **({} if settings.tls is None else {"ssl": tls.context(settings.tls)}),
            "client_flag": 0,  # no FOUND_ROWS: a known row must not count as changed
            "init_command": "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', "
            f"innodb_lock_wait_timeout = {LOCK_TIMEOUT_S}",
        },
    )
