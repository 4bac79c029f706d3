"""Whether a dump can be put back: it is put into a database of its own beside the real one, which is then removed.

That database is named after the real one, such as `aoii_trial_0123abcd`, so that a right for such names is enough. It
goes through the replication and the binary log of the server like any other.
"""

import contextlib
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, cast

import sqlalchemy as sa

from aoii.core.errors import UnavailableError
from aoii.runtime.advice import document
from aoii.server import dump, durability
from aoii.server.connection import ConnectionPool, mysql_engine
from aoii.server.database_errors import DatabaseAway
from aoii.settings import Database as DatabaseSettings

ANSWER_S = 3600.0  # for counting or dropping a table of many gigabytes
CHUNK_BYTES = 1 << 20
NAME_LIMIT = 40  # characters of the real name; a name has 64 at most
ROOM_FACTOR = 1.2  # of what the tables take: a new copy is a little larger while it is made


class Trial(NamedTuple):
    """What came of it.

    Attributes:
        readings: How many readings came back; None: it was not tried.
        why_not: Why it was not tried, for people; empty if it was.
    """

    readings: int | None
    why_not: str = ""


def restore_for_trial(place: DatabaseSettings, file: Path, progress: Callable[[int], None] = lambda _: None) -> Trial:
    """Put a dump into a database of its own, count its readings, and remove that database.

    What trials that were killed have left is removed first.

    Args:
        place: The database that was dumped, and a user; without the right to make the other one, nothing is tried.
        file: The dump.
        progress: Called with the bytes of each piece that was put in.

    Raises:
        UnavailableError: The database does not answer, or the dump cannot be put back.
    """
    if not _has_room(place):
        return Trial(None, "the disk of the database has no room for a second copy")
    trial = replace(place, name=f"{_prefix(place)}{secrets.token_hex(4)}")
    with contextlib.closing(ConnectionPool(place, mysql_engine(place, None, ANSWER_S))) as pool, _held(pool, trial):
        for left in _leftovers(pool, place):
            _run(pool, f"DROP DATABASE `{left}`")
        try:
            _run(pool, f"CREATE DATABASE `{trial.name}`")
        except DatabaseAway as error:
            if error.reason != "refused":
                raise
            right = f"{document('deploy/mariadb/grants.sql')} has the right that {place.user} needs"
            return Trial(None, f"its user may not make a database for that; {right}")
        try:
            with file.open("rb") as content:
                dump.load(trial, iter(lambda: content.read(CHUNK_BYTES), b""), progress)
            _require_tables(pool, trial)
            count = _run(pool, f"SELECT count(*) FROM `{trial.name}`.readings")[0][0]  # noqa: S608 - our own name
            return Trial(cast(int, count))
        finally:
            _run(pool, f"DROP DATABASE `{trial.name}`")


def _require_tables(pool: ConnectionPool, trial: DatabaseSettings) -> None:
    if missing := dump.expected_tables(trial) - dump.tables_of(pool, trial.name):
        state = f"database {pool.place}: what was put back for trial lacks {', '.join(sorted(missing))}"
        raise UnavailableError(state, "see the database's log, and make the backup again")


@contextlib.contextmanager
def _held(pool: ConnectionPool, trial: DatabaseSettings) -> Iterator[None]:
    """Hold the lock that tells other backups that this trial is no leftover; it goes with our connection."""
    with pool.transaction() as connection:
        connection.execute(sa.text("SELECT GET_LOCK(:name, 0)"), {"name": trial.name})
        yield


def _leftovers(pool: ConnectionPool, place: DatabaseSettings) -> list[str]:
    """The databases of trials that were killed."""
    name = re.compile(re.escape(_prefix(place)) + "[0-9a-f]{8}")
    found = [str(row[0]) for row in _run(pool, "SHOW DATABASES")]
    return [one for one in found if name.fullmatch(one) and _run(pool, f"SELECT IS_FREE_LOCK('{one}')")[0][0] == 1]


def _prefix(place: DatabaseSettings) -> str:
    return f"{place.name[:NAME_LIMIT]}_trial_"


def _run(pool: ConnectionPool, statement: str) -> list[tuple[object, ...]]:
    with pool.transaction() as connection:
        done = connection.execute(sa.text(statement))
        return [tuple(row) for row in done] if done.returns_rows else []


def _has_room(place: DatabaseSettings) -> bool:
    """Whether a second copy fits on the database's disk; True where that cannot be seen from here."""
    folder = durability.durability_facts(place).files
    if folder is None:
        return True
    with contextlib.closing(ConnectionPool(place, mysql_engine(place, None, ANSWER_S))) as pool:
        size = "SELECT sum(data_length + index_length) FROM information_schema.tables WHERE table_schema = :name"
        with pool.transaction() as connection:
            taken = connection.execute(sa.text(size), {"name": place.name}).scalar()
    return shutil.disk_usage(folder).free > ROOM_FACTOR * float(taken or 0)
