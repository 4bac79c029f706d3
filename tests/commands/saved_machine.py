"""A machine whose files the stations' own code has written, for the tests of backup and restore."""

import contextlib
import functools
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from aoii.gateway.drivers import labels_file, outbox_rows
from aoii.gateway.drivers.outbox_file import OutboxFile
from aoii.gateway.drivers.outbox_transaction import Transaction
from aoii.gateway.node_labels import NodeLabel
from aoii.security import node_keys
from aoii.security.node_keys import NodeKey
from aoii.server.db import open_database
from aoii.server.dead_letters.letters import open_letters
from aoii.server.dead_letters.store import DeadLetters
from aoii.server.gaps import Gap, Gaps
from aoii.settings import Database as DatabaseSettings
from gateway.drivers.outbox_files import add, opened, who
from server.samples import a_reading, an_edge_log_row, run_sql
from servers import free_port

TABLES = ("readings", "edge_log", "gaps", "floors", "gateway_files", "gateway_numbers", "audits", "marks")
ODD = "a 'b\" #;\\n=c"  # every sign is meant, as settings are literal
WRITER = """
import sys, time
from pathlib import Path
from aoii.broker.messages import Identity
from aoii.gateway.drivers.outbox_file import OutboxFile
from aoii.server.db import open_database
from aoii.settings import load
from server.samples import a_reading
values = load(env_file=Path(sys.argv[1]), station="server")
outbox = OutboxFile(values.gateway.outbox_path, 1 << 26, keep_bytes=1 << 26)
database = open_database(values.database)
for counter in range(1000, 1_000_000):
    one = Identity("9", 1, counter)
    outbox.submit(lambda transaction: transaction.insert(one, "d", 1, b"payload", counter)).result()
    outbox.submit(lambda transaction: transaction.set_state("9", b"state")).result()
    database.insert_readings([a_reading(counter, "9")])
    if counter == 1003:
        print("writes", flush=True)
"""


LABELS = {"7": NodeLabel("온실", "왼쪽 줄", flashed=1)}


def acknowledge(store: OutboxFile, *numbers: int) -> None:
    """As the server does: the readings leave the outbox, and are kept."""
    store.submit(functools.partial(Transaction.delete, identities=[who(one) for one in numbers])).result()


class Machine:
    """A machine with one file of settings, whose files were written by the stations' own code.

    Attributes:
        place: Where its database is.
        env: Its file of settings.
        data: Its data folder.
        backups: Where archives go.
    """

    def __init__(self, folder: Path, place: DatabaseSettings) -> None:
        self.place = place
        self.env = folder / "etc" / "aoii.env"
        self.data = folder / "data"
        self.backups = folder / "backups"
        self.keys = folder / "etc" / "secrets" / "node_keys"
        for made in (self.keys.parent, self.data, self.backups):
            made.mkdir(parents=True, exist_ok=True)
        lines = [f"AOII_DATA_DIR={self.data}", f"NODE_KEYS_FILE={self.keys}", f"BACKUP_DIR={self.backups}"]
        lines += [f"{name}_STATUS_PORT={free_port()}" for name in ("GATEWAY", "SERVER", "CSV", "EDGE_LOG", "EDGE")]
        if place.host is not None:
            lines += [f"MYSQL_HOST={place.host}", f"MYSQL_PORT={place.port}", f"MYSQL_DATABASE={place.name}"]
            lines += [f"MYSQL_USER={place.user}"]
        self.env.write_text("\n".join(lines) + "\n")

    def fill(self) -> None:
        node_keys.write_key_file(self.keys, {7: NodeKey(1, bytes(range(16)))})
        labels_file.write(self.data / "nodes.json", LABELS)
        with contextlib.closing(open_database(self.place, migrate=True)) as database:
            database.insert_readings([a_reading(number) for number in range(1, 41)])
            database.insert_edge_log([an_edge_log_row(), an_edge_log_row(status="ü; -- '\"\n")])
            Gaps(database.pool).record([Gap("7", 1, 41, 42, "lost")])
        with contextlib.closing(DeadLetters(self.data / "dead_letters.db", 1)) as letters:
            letters.add([a_reading(50)], "bad_row", "too long")
        with opened(self.outbox, keep_bytes=1 << 20) as store:
            for counter in range(1, 6):
                add(store, counter).result()
            store.submit(lambda transaction: transaction.set_state("7", b"state")).result()
            acknowledge(store, 1, 2)

    @property
    def outbox(self) -> Path:
        return self.data / "outbox.db"

    def rows(self) -> dict[str, list[tuple[object, ...]]]:
        """Every row of every table of the database."""
        found = {table: run_sql(self.place, f"SELECT * FROM {table}") for table in TABLES}  # noqa: S608 - constants
        return {table: sorted(rows, key=repr) for table, rows in found.items()}

    def wipe(self) -> None:
        for path in (*self.data.iterdir(), self.env, self.keys):
            path.unlink()
        self.data.rmdir()
        self.keys.parent.rmdir()
        if self.place.host is not None:
            run_sql(self.place, f"DROP DATABASE {self.place.name}", f"CREATE DATABASE {self.place.name}")

    def archives(self) -> list[Path]:
        return sorted(path for path in self.backups.iterdir() if not path.name.startswith("."))


Run = Callable[..., tuple[int, str, str]]


def saved(machine: Machine, run: Run, *words: object) -> Path:
    """A backup of the machine; its archive."""
    code, out, err = run("--env-file", machine.env, "backup", *words)
    assert code == 0, out + err
    return machine.archives()[-1]


@contextlib.contextmanager
def writing(machine: Machine) -> Iterator[subprocess.Popen[str]]:
    """A process that accepts readings and stores them, as fast as it can, with the stations' own code."""
    path = os.pathsep.join(sys.path)
    command = [sys.executable, "-c", WRITER, str(machine.env)]
    environ = {"PYTHONPATH": path, "PATH": os.environ["PATH"]}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "writes\n"
            yield process
        finally:
            process.kill()


def outbox_of(path: Path) -> tuple[str, list[tuple[int, int]], int]:
    """The name of an outbox file, sequence number and counter of each reading, and how many states it has."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        events = connection.execute("SELECT seq, counter FROM events ORDER BY seq").fetchall()
        states = connection.execute("SELECT count(*) FROM nodes").fetchone()[0]
        return outbox_rows.file_id(connection), events, states


def letters_of(machine: Machine) -> list[object]:
    with contextlib.closing(open_letters(machine.data / "dead_letters.db")) as letters:
        return list(letters.letters(100, 0))
