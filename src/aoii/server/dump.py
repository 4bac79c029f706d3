"""Dumps of MariaDB and MySQL by the database's own tools, as of one instant and while everybody works on.

The password goes to the tools in a file that only this user can read: everybody can see a command line. Tables are
dumped with their rows; users and rights are not, and outlive a restore.
"""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, cast

import sqlalchemy as sa

from aoii.core.errors import InputError, UnavailableError
from aoii.runtime.advice import document
from aoii.security import private_file
from aoii.server import tables
from aoii.server.connection import ConnectionPool, open_pool
from aoii.settings import Database as DatabaseSettings

TOOLS = {"dump": ("mariadb-dump", "mysqldump"), "load": ("mariadb", "mysql")}
CHUNK_BYTES = 1 << 20
SAID_LIMIT = 300  # characters of what a tool says that go into an error
COMPLETED = b"-- Dump completed"  # the last line; without it a dump was cut off
END_BYTES = 200  # of a dump, in which that line is
NOT_ROWS = {"alembic_version", "marks"}  # tables that `aoii migrate` fills


def save(place: DatabaseSettings, target: Path, progress: Callable[[int], None] = lambda _: None) -> None:
    """Write a dump of the schema into a new file with mode 0600, and have it on the disk.

    Args:
        place: Where the database is; its user needs the right to read every table.
        target: The file; it must not exist.
        progress: Called with the bytes that were written since the last call.

    Raises:
        UnavailableError: The tool is missing, or the dump fails or is not complete.
    """
    with _options(place) as options:
        command = [
            _tool("dump"), f"--defaults-file={options}", "--single-transaction", "--quick", "--skip-triggers",
            "--skip-add-locks",  # putting it in would need a right that aoii_admin has not
            "--no-tablespaces", "--hex-blob", "--no-autocommit", "--default-character-set=utf8mb4", place.name,
        ]  # fmt: skip
        with (
            private_file.create(target) as file,
            tempfile.TemporaryFile() as said,
            subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, env=_environment()
            ) as process,
        ):
            pipe = cast(IO[bytes], process.stdout)
            while chunk := pipe.read(CHUNK_BYTES):
                file.write(chunk)
                progress(len(chunk))
            _require_success(process.wait(), said, f"database {_name(place)}: no dump can be made")
            file.flush()
            os.fsync(file.fileno())
    if missing := expected_tables(place) - _tables_in(target):
        state = f"database {_name(place)}: this user may not read the table {', '.join(sorted(missing))}"
        remedy = f"dump as a user who may read every table; {document('deploy/mariadb/grants.sql')} gives rights"
        raise UnavailableError(state, remedy)
    if (wrong := problem(target)) is not None:
        raise UnavailableError(f"database {_name(place)}: {wrong}", "see the database's log, and make it again")


def problem(dump: Path) -> str | None:
    """What is wrong with a dump; None if its end is there."""
    with dump.open("rb") as file:
        file.seek(max(0, dump.stat().st_size - END_BYTES))
        return None if COMPLETED in file.read() else "the dump was cut off"


def expected_tables(place: DatabaseSettings) -> set[str]:
    """The tables that a dump must have; a table that the user may not read does not exist for the tool.

    Raises:
        DatabaseAway: The database cannot be asked.
    """
    with contextlib.closing(open_pool(place, create=False)) as pool, pool.transaction() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return {"readings"}  # of the older installation
        version = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalars().all()
    return {"alembic_version", *(tables.ALL if version == [tables.NEWEST] else {"readings"})}


def _tables_in(dump: Path) -> set[str]:
    with dump.open("rb") as file:
        made = (re.match(rb"CREATE TABLE `(\w+)`", line) for line in file if line.startswith(b"CREATE TABLE"))
        return {match[1].decode() for match in made if match is not None}


def load(place: DatabaseSettings, dump: Iterable[bytes], progress: Callable[[int], None] = lambda _: None) -> None:
    """Put a dump into the schema; tables that are in the dump are replaced.

    Args:
        place: Where the database is; its user needs the rights to make and to drop tables.
        dump: The content of the dump, in pieces.
        progress: Called with the bytes of each piece.

    Raises:
        UnavailableError: The tool is missing, or it failed; then a part of the tables may be there.
    """
    with _options(place) as options, tempfile.TemporaryFile() as said:
        command = [_tool("load"), f"--defaults-file={options}", "--default-character-set=utf8mb4", place.name]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said, env=_environment()
        ) as process:
            pipe = cast(IO[bytes], process.stdin)
            with contextlib.suppress(BrokenPipeError), pipe:  # what the tool said is the reason
                for piece in dump:
                    pipe.write(piece)
                    progress(len(piece))
            _require_success(process.wait(), said, f"database {_name(place)}: the dump cannot be put in")


def tables_of(pool: ConnectionPool, schema: str) -> set[str]:
    """The tables of a schema that this user may see.

    Raises:
        DatabaseAway: The database cannot be asked.
    """
    with pool.transaction() as connection:
        return set(sa.inspect(connection).get_table_names(schema))


def filled_tables(pool: ConnectionPool) -> list[str]:
    """The tables of the schema that have rows, but for those that `aoii migrate` fills itself.

    Raises:
        DatabaseAway: The database cannot be asked.
    """
    with pool.transaction() as connection:
        names = sorted(set(sa.inspect(connection).get_table_names()) - NOT_ROWS)
        return [
            name
            for name in names
            if connection.execute(sa.select(sa.literal(1)).select_from(sa.table(name)).limit(1)).first()
        ]


def others_connected(pool: ConnectionPool) -> int:
    """How many other connections have chosen the schema, as far as this user may see them.

    Raises:
        DatabaseAway: The database cannot be asked.
    """
    query = "SELECT count(*) FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
    with pool.transaction() as connection:
        return int(connection.execute(sa.text(query)).scalar_one())


def require_tools() -> None:
    """Make sure that both tools are there.

    Raises:
        UnavailableError: One is missing.
    """
    for kind in TOOLS:
        _tool(kind)


def _tool(kind: str) -> str:
    for name in TOOLS[kind]:
        if found := shutil.which(name):
            return found
    raise UnavailableError(f"{TOOLS[kind][0]} is not installed", "sudo apt-get install mariadb-client")


def _environment() -> dict[str, str]:
    """Our environment without what the tools would take from it, such as MYSQL_PWD; they read no file but ours, too."""
    return {name: text for name, text in os.environ.items() if not name.startswith(("MYSQL_", "MARIADB_"))}


@contextlib.contextmanager
def _options(place: DatabaseSettings) -> Iterator[Path]:
    """A file with how to log in, for this user only, and gone at the end.

    Raises:
        InputError: A value has a line break, which the file cannot hold.
    """
    values: dict[str, object] = {
        "host": place.host, "port": place.port, "protocol": "tcp", "user": place.user, "password": place.password,
    }  # fmt: skip
    if place.tls is not None:
        values |= {"ssl-cert": place.tls.cert, "ssl-key": place.tls.key, "ssl-verify-server-cert": 1}
        values["ssl-ca"] = place.tls.ca if place.tls.ca is not None else "/etc/ssl/certs/ca-certificates.crt"
    lines = ["[client]"]
    for name, value in values.items():
        if value is None:
            continue
        if "\n" in str(value) or "\r" in str(value):
            raise InputError(f"{name} of the database has a line break", "choose one without")
        text = str(value).replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'{name}="{text}"')
    with tempfile.TemporaryDirectory(prefix="aoii-") as folder:  # mode 0700
        path = Path(folder, "client.cnf")
        with private_file.create(path) as file:
            file.write(("\n".join(lines) + "\n").encode())
        yield path


def _require_success(code: int, said: IO[bytes], failed: str) -> None:
    if code != 0:
        said.seek(0)
        text = said.read().decode(errors="replace").strip()
        raise UnavailableError(f"{failed} ({text[:SAID_LIMIT]})", "check the database, its user and the disk")


def _name(place: DatabaseSettings) -> str:
    return f"{place.name} at {place.host}:{place.port}"
