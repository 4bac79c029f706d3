"""What a database says about how a commit reaches its disk, and whether its files are on the outbox's disk.

It reads and decides nothing; `commands/doctor_durability.py` judges.
"""

import contextlib
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from aoii.runtime import disks
from aoii.server.connection import ConnectionPool, open_pool
from aoii.settings import Database as DatabaseSettings

VARIABLES = (
    "innodb_flush_log_at_trx_commit",
    "innodb_doublewrite",
    "innodb_flush_method",
    "log_bin",
    "sync_binlog",
    "datadir",
)


@dataclass(frozen=True)
class DurabilityFacts:
    """What a database says of itself.

    Attributes:
        synchronous: SQLite's `PRAGMA synchronous` on a connection of ours, 0 to 3; None for MySQL and MariaDB.
        variables: Of MySQL or MariaDB: those of `VARIABLES` that it has; empty for SQLite.
        engine: Of MySQL or MariaDB: the engine of the table `readings`; None: the table is not there.
        files: Where its files are on this machine; None: on another machine, or where they cannot be seen.
        is_here: Whether the database is on this machine.
    """

    synchronous: int | None
    variables: Mapping[str, str]
    engine: str | None
    files: Path | None
    is_here: bool


def durability_facts(settings: DatabaseSettings) -> DurabilityFacts:
    """Ask the database, on a connection as those that write have it.

    Raises:
        DatabaseAway: It does not answer; or its SQLite file is not there.
        InputError: A TLS file is missing or not valid.
    """
    with contextlib.closing(open_pool(settings, create=False)) as pool:
        return _of_sqlite(pool) if settings.host is None else _of_mysql(pool, settings.host)


def shares_disk(pool: ConnectionPool, file: Path) -> bool | None:
    """Whether the disk that holds the database holds a file, or would, so that one that dies takes both.

    Returns:
        None: It cannot be seen, as where the files of a database on this machine are closed to this user.

    Raises:
        DatabaseAway: MySQL or MariaDB does not answer; SQLite is not asked.
    """
    host = pool.settings.host
    if host is None:
        return disks.are_on_one_disk(pool.settings.sqlite_path, file)
    facts = _of_mysql(pool, host)
    if not facts.is_here:
        return False
    return None if facts.files is None else disks.are_on_one_disk(facts.files, file)


def _of_sqlite(pool: ConnectionPool) -> DurabilityFacts:
    with pool.transaction() as connection:
        synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
    return DurabilityFacts(int(synchronous), {}, None, pool.settings.sqlite_path, is_here=True)


def _of_mysql(pool: ConnectionPool, host: str) -> DurabilityFacts:
    names = ", ".join(f"'{name}'" for name in VARIABLES)
    engine = "SELECT engine FROM information_schema.tables WHERE table_schema = database() AND table_name = 'readings'"
    with pool.transaction() as connection:
        rows = connection.exec_driver_sql(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})").all()
        found = connection.execute(sa.text(engine)).scalar()
    variables = {str(name): str(value) for name, value in rows}
    is_here = _is_own_address(host)
    folder = Path(variables.get("datadir", ""))
    is_seen = is_here and folder.is_absolute() and _is_there(folder)
    return DurabilityFacts(None, variables, found, folder if is_seen else None, is_here)


def _is_there(folder: Path) -> bool:
    with contextlib.suppress(OSError):  # a folder above it may be closed to us
        return folder.is_dir()
    return False


def _is_own_address(host: str) -> bool:
    """Whether a host that has just been reached is this machine: only an address of its own can be bound."""
    with contextlib.suppress(OSError):
        for family, kind, protocol, _, address in socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM):
            with contextlib.suppress(OSError), socket.socket(family, kind, protocol) as probe:
                probe.bind(address)
                return True
    return False
