"""The system under test: real processes with a proxy on every link, a radio, a recorder, and one way to heal them all.

    nodes and radio -> ptys -> gateway -> proxy -> Mosquitto -> proxy -> server -> proxy -> MariaDB

A scenario breaks parts; `heal` puts every part back, whatever was broken, so that the next trial finds a whole stack.
"""

import contextlib
import random
import signal
from collections.abc import Sequence
from pathlib import Path

import pymysql

from aoii.security import node_keys
from faults.audit import Audit
from faults.old_node import OldNode
from faults.proxy import Loop, Proxy
from faults.radio import Radio
from faults.recorder import Recorder
from faults.stations import Station
from servers import MariaDB, Mosquitto, free_port, until

SCHEMA = "aoii"
USER = "station"  # without administrator's rights, which pass every limit that a trial sets
LOAD_NODES = 32
IDENTITY_INDEX = "SELECT 1 FROM information_schema.statistics WHERE index_name = 'readings_identity'"
OPEN_ACL = "topic readwrite #\ntopic read $SYS/#\n"


class Broker(Mosquitto):
    """A Mosquitto that forgets everything when it is killed, with an ACL that can be taken away."""

    def __init__(self, folder: Path) -> None:
        self._acl = folder / "acl"
        self._usual = f"persistence false\nacl_file {self._acl}"
        super().__init__(folder, extra=self._usual)
        self._is_frozen = False
        self._acl.write_text(OPEN_ACL)
        self._acl.chmod(0o700)

    def freeze(self) -> None:
        """SIGSTOP, if it runs."""
        if self.process is not None:
            super().freeze()
            self._is_frozen = True

    def restart(self, extra: str = "") -> None:
        """SIGKILL and start again, with more lines in its configuration."""
        self.kill()
        self.extra = f"{self._usual}\n{extra}" if extra else self._usual
        self.start()

    def allow(self, acl: str) -> None:
        """Replace the ACL, of the running broker too."""
        self._acl.write_text(acl)
        if self.process is not None:
            self.signal(signal.SIGHUP)

    def heal(self) -> None:
        """Run with the usual configuration."""
        if self._is_frozen and self.process is not None:
            self.thaw()
        self._is_frozen = False
        if self.process is None or self.extra != self._usual:
            self._acl.write_text(OPEN_ACL)
            self.restart()
        elif self._acl.read_text() != OPEN_ACL:
            self.allow(OPEN_ACL)


class Store(MariaDB):
    """A MariaDB with a user for the stations, and a list of what undoes what a scenario did to it."""

    def __init__(self, folder: Path, options: Sequence[str] = ()) -> None:
        super().__init__(folder, options=options)
        self._is_frozen = False
        self._undo: list[str] = []
        self._mend: list[str] = []
        self.sessions = contextlib.ExitStack()  # of a scenario, that hold something; closed by healing

    def start(self) -> None:
        """Start it and make sure that the stations' user exists."""
        super().start()
        self.execute(
            f"CREATE USER IF NOT EXISTS {USER}@'%'",
            f"GRANT ALL ON {SCHEMA}.* TO {USER}@'%'",
            "SET GLOBAL innodb_monitor_enable = 'lock_timeouts'",
        )

    def freeze(self) -> None:
        """SIGSTOP, if it runs."""
        if self.process is not None:
            super().freeze()
            self._is_frozen = True

    def break_by(self, *statements: str, undo: str) -> None:
        """Run statements as administrator; `heal` runs `undo`."""
        self._undo.append(undo)
        self.execute(*statements, database=SCHEMA)

    def spoil(self, *statements: str, mend: str) -> None:
        """As `break_by`, but undone by `mend` alone, because healing would remove what there is to count."""
        self._mend.append(mend)
        self.execute(*statements, database=SCHEMA)

    def mend(self) -> None:
        """Undo what was spoiled."""
        while self._mend:
            self.execute(self._mend.pop(), database=SCHEMA)

    def session(self, user: str = "root") -> "pymysql.Connection[pymysql.cursors.Cursor]":
        """A connection past every proxy, to hold something with."""
        return pymysql.connect(
            host="127.0.0.1", port=self.port, user=user, database=SCHEMA if user == "root" else None, connect_timeout=10
        )

    def status(self, name: str) -> int:
        """One of the engine's own counters."""
        ((_, value),) = self.execute(f"SHOW GLOBAL STATUS LIKE '{name}'")
        return int(str(value))

    def lock_timeouts(self) -> int:
        """How often it answered with error 1205 of its own."""
        ((count,),) = self.execute("SELECT COUNT FROM information_schema.innodb_metrics WHERE NAME = 'lock_timeouts'")
        return int(str(count))

    def heal(self) -> None:
        """Run, with its usual settings."""
        if self._is_frozen and self.process is not None:
            self.thaw()
        self._is_frozen = False
        self.sessions.close()
        if self.process is None:
            self.start()
        until(self._is_undone, 30, "the database takes orders again")

    def _is_undone(self) -> bool:
        while self._undo:
            try:
                self.execute(self._undo[-1], database=SCHEMA)
            except pymysql.err.OperationalError:  # the sessions that we closed have not all ended
                return False
            self._undo.pop()
        return True


class Stack:
    """Everything, from `with` to its end.

    Args:
        folder: For all files.
        seed: Of the radio.
        nodes: Nodes that send load.
    """

    def __init__(self, folder: Path, seed: int, nodes: int = LOAD_NODES) -> None:
        self.folder = folder
        self.recorder = Recorder()
        self.broker = Broker(folder / "broker")
        self.database = Store(folder / "database")
        self.radio = Radio(folder / "receiver", self.recorder, nodes, random.Random(seed))
        self.old_node = OldNode(folder / "old", self.recorder)
        self._exit = contextlib.ExitStack()

    def __enter__(self) -> "Stack":
        with contextlib.ExitStack() as starting:
            starting.push(self._exit)
            self._start()
            starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def _start(self) -> None:
        for part in (self.broker, self.database):
            self._exit.enter_context(part)
        self._exit.callback(self.database.sessions.close)
        loop = self._exit.enter_context(Loop())
        self.gateway_link = Proxy(loop, self.broker.port)
        self.server_link = Proxy(loop, self.broker.port)
        self.database_link = Proxy(loop, self.database.port)
        self.links = (self.gateway_link, self.server_link, self.database_link)
        keys = self.folder / "node_keys"
        node_keys.write_key_file(keys, self.radio.keys)
        self.gateway = self._station(
            "gateway",
            MQTT_PORT=str(self.gateway_link.port),
            SERIAL_PORT=f"{self.folder / 'receiver'},{self.folder / 'old'}",
            NODE_KEYS_FILE=str(keys),
            GATEWAY_ID="campaign",
        )
        self.server = self._station(
            "server",
            MQTT_PORT=str(self.server_link.port),
            MYSQL_HOST="127.0.0.1",
            MYSQL_PORT=str(self.database_link.port),
            MYSQL_USER=USER,
            INSERT_BASE_DELAY="0.1",  # retries for 3 s instead of 31 s: the same code, more trials
        )
        self._exit.enter_context(self.radio)
        self._exit.enter_context(self.old_node)
        letters = self.folder / "server" / "data" / "dead_letters.db"
        self.audit = Audit(self.recorder, self.database.port, SCHEMA, letters, [self.outbox])
        self._exit.callback(self.audit.close)
        for station in (self.server, self.gateway):
            station.start()
        for station in (self.server, self.gateway):
            station.wait_started()
        key = self.radio.fresh()
        until(lambda: self.recorder.are_accepted([key]), 30, "the first reading is accepted")
        until(lambda: self.database.execute(IDENTITY_INDEX), 30, "the server has made its tables")
        until(lambda: self.audit.has(key), 30, "the first reading is stored")

    def _station(self, name: str, **settings: str) -> Station:
        port = free_port()
        environment = settings | {
            "AOII_DATA_DIR": str(self.folder / name / "data"),
            "MQTT_BROKER": "127.0.0.1",
            f"{name.upper()}_STATUS_PORT": str(port),
        }
        station = Station(name, self.folder / name, environment, port)
        self._exit.callback(station.kill)
        return station

    @property
    def outbox(self) -> Path:
        """The gateway's usual outbox."""
        return self.folder / "gateway" / "data" / "outbox.db"

    @property
    def stations(self) -> tuple[Station, Station]:
        """Gateway and server."""
        return self.gateway, self.server

    def quiet(self) -> None:
        """No new readings; those that wait for their answer are still repeated."""
        self.radio.quiet()
        self.old_node.hush()

    @property
    def is_idle(self) -> bool:
        """Whether the burst is over and everything sent has its answer, or will never have one."""
        return self.radio.is_idle and self.old_node.is_idle

    def heal(self) -> None:
        """Put every part back as it was at the start."""
        self.broker.heal()
        self.database.heal()
        for link in self.links:
            link.heal()
        for station in self.stations:
            station.heal()
