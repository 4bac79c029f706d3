"""An installation whose machines can be lost: real nodes' code, one or two gateways, a server, a broker, a database.

    field -> ptys -> gateways -> Mosquitto -> server -> MariaDB

Broker and database process live through many trials (`Site`); disks, schema, nodes and stations are new in each, so
that nothing of an earlier loss is left over. A machine is lost with its disk: its processes are killed, its folder is
gone, and what starts there again begins empty.
"""

import contextlib
import functools
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pymysql

from aoii.security import node_keys
from aoii.settings import Database
from faults.copies import Copies, Places, look, read_letters, unbalanced
from faults.field import Field
from faults.proxy import Loop, Proxy
from faults.questions import Questions
from faults.recorder import Recorder
from faults.stack import USER, Broker, Store
from faults.stations import Station
from servers import UNSYNCED, free_port, until

NODES = 6
RING = 126
START_S = 60.0
WAIT_S = 60.0
QUERY_TRIES = 5  # each takes up to 10 s
GONE = (2003, 2006, 2013)  # no connection, or none any more
LAST_TABLE = "marks"
GATEWAYS = ("first", "witness")  # by rank


@dataclass(frozen=True)
class Layout:
    """What an installation is made of.

    Attributes:
        gateways: How many there are.
        ring: Readings that a node holds; 126 on a board.
        ranks: GATEWAY_RANK of each gateway.
        gateway: Further settings of all gateways.
        server: Further settings of the server.
        gateway_variant: What the gateways are run as, by names in `faults.variants`; usually only less patient.
        server_variant: The same for the server.
    """

    gateways: int = 1
    ring: int = RING
    ranks: tuple[int, ...] = (0, 1)
    gateway: dict[str, str] = field(default_factory=dict)
    server: dict[str, str] = field(default_factory=dict)
    gateway_variant: str = "hasty"
    server_variant: str = "hasty"


class Site:
    """Broker and database for one installation after another.

    Args:
        folder: For all files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broker = Broker(folder / "broker")
        self.database = Store(folder / "database", UNSYNCED)
        self._exit = contextlib.ExitStack()
        self._installations = 0

    def __enter__(self) -> "Site":
        with contextlib.ExitStack() as starting:
            for part in (self.broker, self.database):
                starting.enter_context(part)
            self.loop = starting.enter_context(Loop())
            self._exit = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    @contextlib.contextmanager
    def installation(self, layout: Layout, rng: random.Random) -> Iterator["Installation"]:
        """A new installation that runs, with nothing in it."""
        self._installations += 1
        name = f"trial{self._installations}"
        self.broker.restart()  # it remembers sessions
        self.database.heal()
        installation = Installation(self, name, layout, rng)
        try:
            with installation:
                yield installation
        finally:
            self.database.heal()
            self.database.execute(f"DROP DATABASE IF EXISTS {name}")
        if not installation.is_broken:
            shutil.rmtree(self.folder / name)


class Gateway(Station):
    """A gateway's machine: the station, its disk and its serial port."""

    def __init__(self, name: str, folder: Path, environment: dict[str, str], port: int, variant: str) -> None:
        super().__init__("gateway", folder, environment, port, variant)
        self.machine = name
        self.disk = folder / "data"


class Installation:
    """One installation, from `with` to its end.

    Attributes:
        recorder: What was sent, and what the nodes saw acknowledged.
        questions: What the server has asked for.
        letters: The server's file of dead letters.
        is_broken: Its files are of interest, and stay.
    """

    def __init__(self, site: Site, schema: str, layout: Layout, rng: random.Random) -> None:
        self.site = site
        self.schema = schema
        self.layout = layout
        self.folder = site.folder / schema
        self.folder.mkdir()
        self.is_broken = False
        self.recorder = Recorder()
        names = GATEWAYS[: layout.gateways]
        links = [self.folder / f"receiver-{name}" for name in names]
        self.field = Field(links, self.recorder, NODES, layout.ring, random.Random(rng.random()))
        keys = self.folder / "node_keys"  # not on a gateway's disk: there must be a copy of it elsewhere
        node_keys.write_key_file(keys, self.field.keys)
        self.database_link = Proxy(site.loop, site.database.port)
        self.broker_links = {name: Proxy(site.loop, site.broker.port) for name in ("server", *names)}
        self.gateways = [self._gateway(*each) for each in zip(names, links, layout.ranks, strict=False)]
        server = self._environment("server", "server") | self._of_server()
        self.server = Station(
            "server", self.folder / "server", server, int(server["SERVER_STATUS_PORT"]), layout.server_variant
        )
        self.letters = self.folder / "server" / "data" / "dead_letters.db"
        self._exit = contextlib.ExitStack()

    def _environment(self, station: str, machine: str) -> dict[str, str]:
        return {
            "AOII_DATA_DIR": str(self.folder / machine / "data"),
            "MQTT_BROKER": "127.0.0.1",
            "MQTT_PORT": str(self.broker_links[machine].port),
            f"{station.upper()}_STATUS_PORT": str(free_port()),
        }

    def _gateway(self, name: str, link: Path, rank: int) -> Gateway:
        environment = self._environment("gateway", name) | {
            "GATEWAY_ID": name,
            "GATEWAY_RANK": str(rank),
            "SERIAL_PORT": str(link),
            "NODE_KEYS_FILE": str(self.folder / "node_keys"),
            "RADIO_SPREADING": "7",  # a witness's slot is shortest
        }
        environment |= self.layout.gateway
        port = int(environment["GATEWAY_STATUS_PORT"])
        return Gateway(name, self.folder / name, environment, port, self.layout.gateway_variant)

    def _of_server(self) -> dict[str, str]:
        return {
            "MYSQL_HOST": "127.0.0.1",
            "MYSQL_PORT": str(self.database_link.port),
            "MYSQL_USER": USER,
            "MYSQL_DATABASE": self.schema,
            "INSERT_BASE_DELAY": "0.1",  # retries for 3 s instead of 31 s: the same code, more trials
        } | self.layout.server

    def __enter__(self) -> "Installation":
        with contextlib.ExitStack() as starting:
            starting.push(self._exit)
            self.make_schema()
            for station in self.stations:
                self._exit.callback(station.kill)
            self._exit.enter_context(self.field)
            self.questions = self._exit.enter_context(Questions(self.site.broker.port))
            for station in self.stations:
                station.start()
            self.await_part()
            until(self._has_tables, START_S, "the server has made its tables")
            starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    @property
    def stations(self) -> list[Station]:
        """Server and gateways."""
        return [self.server, *self.gateways]

    def await_part(self) -> None:
        """Wait until all stations take part."""
        for station in self.stations:
            until(station.takes_part, START_S, f"{station.name} takes part; see {self.folder}")

    def _has_tables(self) -> bool:
        """Whether the last of the tables is there."""
        where = f"table_schema = '{self.schema}' AND table_name = '{LAST_TABLE}'"
        return bool(self.site.database.execute(f"SELECT 1 FROM information_schema.tables WHERE {where}"))  # noqa: S608 - ours

    def heal(self) -> None:
        """Have everything run that is not lost for good."""
        self.site.broker.heal()
        self.site.database.heal()
        for link in (self.database_link, *self.broker_links.values()):
            link.heal()
        for station in self.stations:
            station.heal()

    # Looking.

    def look(self) -> Copies:
        """All copies of all readings, now."""
        disks = {gateway.machine: gateway.disk for gateway in self.gateways}
        return look(Places(self._query, self.letters, disks, self.field.held))

    def _query(self, statement: str) -> list[tuple[object, ...]]:
        """Rows; asked again when the database does not come to it in time, as on a machine that stalls."""
        for _ in range(QUERY_TRIES - 1):
            try:
                return self.site.database.execute(statement, database=self.schema)
            except pymysql.err.OperationalError as error:
                if error.args[0] not in GONE:
                    raise
        return self.site.database.execute(statement, database=self.schema)

    def look_at_letters(self) -> int:
        """Number of dead letters, which can be counted while the database is away."""
        return len(read_letters(self.letters))

    def unbalanced(self, copies: Copies) -> list[str]:
        """The nodes and epochs whose ledger does not add up."""
        settings = Database(
            sqlite_path=Path("unused"), host="127.0.0.1", port=self.site.database.port, user="root", password="",
            name=self.schema, tls=None, backup_dir=None, backup_interval_h=24,
        )  # fmt: skip
        return unbalanced(settings, copies.letters)

    # Losing machines.

    def lose_disk(self, station: Station) -> None:
        """Kill a station, and take its disk away; what starts there begins empty."""
        station.kill()
        shutil.rmtree(self._disk(station))

    def copy_disk(self, station: Station) -> Path:
        """A copy of a station's disk as it is now, made while the station does not run."""
        station.kill()
        copy = self.folder / f"copy-{time.monotonic_ns()}"
        shutil.copytree(self._disk(station), copy)
        station.start()
        return copy

    def put_back(self, station: Station, copy: Path) -> None:
        """Replace a station's disk with an older copy of it."""
        self.lose_disk(station)
        shutil.copytree(copy, self._disk(station))

    @staticmethod
    def _disk(station: Station) -> Path:
        return station.folder / "data"

    def make_schema(self) -> None:
        """Make the empty schema, with the rights of the stations' user."""
        self.site.database.execute(f"CREATE DATABASE {self.schema}", f"GRANT ALL ON {self.schema}.* TO {USER}@'%'")

    def lose_schema(self) -> None:
        """Take the schema away with everything in it, and put an empty one in its place."""
        self.site.database.execute(f"DROP DATABASE {self.schema}")
        self.make_schema()

    def dump(self) -> Path:
        """A backup of the database, made as an operator makes it, while everything runs."""
        path = self.folder / f"dump-{time.monotonic_ns()}.sql"
        with path.open("wb") as file:
            command = ["mariadb-dump", "--no-defaults", *self._client(), "--single-transaction", self.schema]
            subprocess.run(command, check=True, stdout=file, timeout=WAIT_S)
        return path

    def restore(self, dump: Path) -> None:
        """Put a backup back, over whatever is there."""
        with dump.open("rb") as file:
            command = ["mariadb", "--no-defaults", *self._client(), self.schema]
            subprocess.run(command, check=True, stdin=file, timeout=WAIT_S)

    def _client(self) -> list[str]:
        return ["--host=127.0.0.1", f"--port={self.site.database.port}", "--user=root", "--skip-ssl"]

    def request_audit(self, is_full: bool) -> None:
        """What `aoii audit` does first."""
        statement = f"INSERT INTO audits (is_full, asked_at) VALUES ({int(is_full)}, UTC_TIMESTAMP())"  # noqa: S608
        self.site.database.execute(statement, database=self.schema)

    def delete_newest(self, share: float) -> int:
        """Delete the newest rows, this share of them, as a cluster does that drops commits; how many."""
        execute = functools.partial(self.site.database.execute, database=self.schema)
        ((rows,),) = execute("SELECT COUNT(*) FROM readings")
        count = round(int(str(rows)) * share)
        execute(f"DELETE FROM readings ORDER BY id DESC LIMIT {count}")  # noqa: S608 - a number
        return count

    def delete_ends(self, count: int) -> None:
        """Delete so many rows of each node, the oldest and the newest."""
        ends = "SELECT node, MIN(counter) AS low, MAX(counter) AS high FROM readings GROUP BY node"
        self.site.database.execute(
            f"DELETE readings FROM readings JOIN ({ends}) AS ends ON ends.node = readings.node "
            f"WHERE counter < low + {count} OR counter > high - {count}",
            database=self.schema,
        )
