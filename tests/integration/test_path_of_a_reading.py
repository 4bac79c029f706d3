"""One real reading, from a node through running stations into the database and its acknowledgements back.

The files that it takes are those that ARCHITECTURE.md names, and no other.
"""

import contextlib
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aoii.core.forecast import PROVISIONED
from aoii.core.learner import Learner
from aoii.core.store import RamStore
from aoii.edge.node import Node
from aoii.edge.receiver_bridge import ReceiverBridge
from aoii.security import node_keys
from aoii.security.node_keys import NodeKey
from integration.traced_station import SOURCE, Trace
from servers import Mosquitto, free_port, pty_port, until

PAGE = Path(__file__).parent.parent.parent / "ARCHITECTURE.md"
KEY, EPOCH, NODE = bytes(range(16)), 1, 7
LIMIT = 10  # files each way that a stranger is asked to remember


@dataclass(frozen=True)
class Journey:
    """What the page says: files of the reading's way, of its acknowledgements' way, and of what is used on either."""

    there: list[str]
    back: list[str]
    beside: list[str]


def told() -> Journey:
    """The page's three lists."""
    _, _, section = PAGE.read_text(encoding="utf-8").partition("\n## One reading, there and back\n")
    section = section.partition("\n## ")[0]
    _, there, back, beside = re.split(r"\n### ", section)
    parts = (re.findall(r"`([a-z_]+/[a-z_/]+\.py)`", part) for part in (there, back, beside))
    return Journey(*(list(dict.fromkeys(files)) for files in parts))


@dataclass
class TracedStation:
    """A station whose executed files can be asked for."""

    process: subprocess.Popen[bytes]
    out: Path

    def begin(self) -> None:
        self.process.send_signal(signal.SIGUSR1)
        until(self.out.with_suffix(".begun").exists, 30, "the beginning of the trace")

    def executed(self) -> set[str]:
        self.process.send_signal(signal.SIGUSR2)
        until(self.out.exists, 30, "the files that were executed")
        return set(self.out.read_text().split())


@contextlib.contextmanager
def traced(command: str, folder: Path, settings: dict[str, str]) -> Iterator[TracedStation]:
    """A station as a process."""
    out = folder / f"{command}.files"
    tests = Path(__file__).parent.parent
    environ = os.environ | settings | {"PYTHONPATH": f"{tests}:{Path(SOURCE).parent}"}
    arguments = [sys.executable, "-m", "integration.traced_station", str(out), command]
    process = subprocess.Popen(arguments, cwd=folder, env=environ)
    try:
        yield TracedStation(process, out)
    finally:
        process.terminate()
        assert process.wait(30) == 0


class Radio:
    """A node of ours, and the receiver that its packets reach."""

    def __init__(self, far: int) -> None:
        self.node = Node(NODE, EPOCH, KEY, PROVISIONED, Learner(50, 300), RamStore(), random.Random(1).random)
        self.receiver = ReceiverBridge()
        self._far = far
        self._start_s = time.monotonic()

    def now_ms(self) -> int:
        return round(1000 * (time.monotonic() - self._start_s))

    def sample(self, temperature_c: float) -> None:
        """Take a sample; what the node sends goes up."""
        for send in self.node.sample(self.now_ms(), temperature_c, 50.0):
            os.write(self._far, self.receiver.accept_radio_packet(send.data, -90, 8, self.now_ms()))

    def listen(self) -> bool:
        """Hand down what the gateway has said; whether the node knows its reading to be safe."""
        with contextlib.suppress(BlockingIOError):
            self.receiver.accept_usb_bytes(os.read(self._far, 4096), self.now_ms())
        while packet := self.receiver.next_packet(self.now_ms()):
            self.receiver.confirm_sent()
            self.node.receive(packet, self.now_ms())
        return self.node.is_acknowledged


def test_the_page_asks_nobody_to_remember_more_than_ten_files_each_way() -> None:
    journey = told()

    assert 3 < len(journey.there) <= LIMIT
    assert 3 < len(journey.back) <= LIMIT
    assert all((Path(SOURCE) / name).is_file() for name in journey.there + journey.back + journey.beside)


def test_a_reading_takes_the_files_that_the_page_names_and_no_other(tmp_path: Path, mosquitto: Mosquitto) -> None:
    keys = tmp_path / "node_keys"
    node_keys.write_key_file(keys, {NODE: NodeKey(EPOCH, KEY)})
    settings = {
        "AOII_DATA_DIR": str(tmp_path), "MQTT_BROKER": "127.0.0.1", "MQTT_PORT": str(mosquitto.port),
        "MQTT_NAMESPACE": tmp_path.name, "NODE_KEYS_FILE": str(keys), "SERIAL_PORT": str(tmp_path / "receiver"),
        "GATEWAY_STATUS_PORT": str(free_port()), "SERVER_STATUS_PORT": str(free_port()),
    }  # fmt: skip
    with (
        pty_port(tmp_path / "receiver") as far,
        traced("server", tmp_path, settings) as server,
        traced("gateway", tmp_path, settings) as gateway,
    ):
        os.set_blocking(far, False)
        for name in ("GATEWAY_STATUS_PORT", "SERVER_STATUS_PORT"):
            until(lambda name=name: is_ready(settings[name]), 60, f"a station that answers at {name}")  # type: ignore[misc]  # the default argument
        radio = Radio(far)
        deliver(radio, 20.0, tmp_path, 1)  # the first contact, before which nobody is ready
        own = Trace()
        for station in (server, gateway, own):
            station.begin()
        own.install()
        deliver(radio, 25.0, tmp_path, 2)
        sys.setprofile(None)
        executed = set(own.files) | gateway.executed() | server.executed()

    journey = told()
    on_the_way = {*journey.there, *journey.back}
    assert sorted(on_the_way - executed) == []
    assert sorted(executed - on_the_way - set(journey.beside)) == []


def deliver(radio: Radio, temperature_c: float, folder: Path, rows: int) -> None:
    """Have the node send a reading; until it is in the database, and node and gateway know so."""
    radio.sample(temperature_c)
    until(radio.listen, 60, "the gateway's answer")
    until(lambda: count(folder / "aoii.db", "SELECT count(*) FROM readings") == rows, 60, "the row")
    until(lambda: count(folder / "outbox.db", "SELECT count(*) FROM events") == 0, 60, "an outbox that has let go")


def is_ready(port: str) -> bool:
    """Whether the station on this status port is ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def count(path: Path, query: str) -> int:
    """What a query finds in a SQLite file."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        return int(database.execute(query).fetchone()[0])
