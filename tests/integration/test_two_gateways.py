"""A node of ours that two gateways hear, as processes, with one broker and one server: what the database has of it.

The node is the one of the board, with its link; only its radio and its sensor are played here.
"""

import contextlib
import os
import random
import secrets
import select
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from aoii.core.forecast import PROVISIONED
from aoii.core.frames import Ack, NodeSettings, Uplink, decode_ack, decode_uplink
from aoii.core.link import Send
from aoii.core.store import RamStore
from aoii.core.stream import DOWNLINK, Frame, Reader, encode_usb_uplink
from aoii.edge.node import Node
from aoii.security import node_keys
from aoii.security.node_keys import NodeKey
from edge.predictors import Hold
from servers import Mosquitto, free_port, pty_port, until

KEY = bytes(range(16))
EPOCH = 2
NODE = 7
WANTED = NodeSettings(40, 200, 30, 1800, 300, 2)
SETTINGS = {
    "BETA_TEMP": "0.4", "BETA_HUM": "2", "SAMPLE_PERIOD_S": "30", "HEARTBEAT_S": "1800", "HEARTBEAT_MIN_S": "300",
    "TAU": "2",
}  # fmt: skip
MINUTE_MS = 60_000


@contextlib.contextmanager
def station(command: str, folder: Path, environ: dict[str, str]) -> Iterator[None]:
    """A station of its own, with its files in `folder`, ready."""
    folder.mkdir(exist_ok=True)
    port = free_port()
    name = {"gateway": "GATEWAY_STATUS_PORT", "server": "SERVER_STATUS_PORT"}[command]
    environ = dict(os.environ) | environ | {"AOII_DATA_DIR": str(folder), name: str(port)}
    process = subprocess.Popen([sys.executable, "-m", "aoii.cli", command], cwd=folder, env=environ)
    try:
        until(lambda: is_ready(port), 60, f"{command} in {folder.name}")
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


class Air:
    """The radio between a node and two receivers on pseudo-terminals."""

    def __init__(self, node: Node, ports: list[int]) -> None:
        self.node = node
        self.acks: list[Ack] = []
        self.uplinks: list[Uplink] = []
        self._ports = ports
        self._readers = [Reader() for _ in ports]

    def carry(self, sends: list[Send], now_ms: int, answers: bool = True) -> None:
        """Both gateways hear each packet; the node hears the answer of both, or of none."""
        for send in sends:
            uplink = decode_uplink(send.data, lambda _: KEY)
            assert isinstance(uplink, Uplink)
            self.uplinks.append(uplink)
            for port in self._ports:
                os.write(port, encode_usb_uplink(-90, 8, send.data))
            for number in range(len(self._ports)):
                data = self._answer(number, send.data[1:9])
                ack = decode_ack(data, NODE, EPOCH, KEY)
                assert isinstance(ack, Ack)
                self.acks.append(ack)
                if answers:
                    self.carry(self.node.receive(data, now_ms + 400), now_ms + 400)

    def _answer(self, number: int, mark: bytes) -> bytes:
        found: list[bytes] = []

        def read() -> bool:
            if select.select([self._ports[number]], [], [], 0.1)[0]:
                items = self._readers[number].feed(os.read(self._ports[number], 4096))
                answers = [item.content for item in items if isinstance(item, Frame) and item.type == DOWNLINK]
                found.extend(answer for answer in answers if answer[1:9] == mark)
            return bool(found)

        until(read, 60, f"the answer of gateway {number}")
        return found[0]


def rows(folder: Path) -> list[tuple[int, str, int, int | None, int]]:
    """Counter, kind, hundredths, event time or none, and whether that was trusted, of every row in its order."""
    with contextlib.closing(sqlite3.connect(folder / "aoii.db")) as database:
        return database.execute(
            "SELECT counter, kind, CAST(round(actual_temp * 100) AS INT), event_time, clock_synced "
            "FROM readings WHERE node = ? AND epoch = ? ORDER BY counter",
            (str(NODE), EPOCH),
        ).fetchall()


@pytest.fixture
def ports(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[tuple[list[int], Path]]:
    """The far ends of the receivers of two gateways, and the folder of the one server."""
    folder = tmp_path
    keys = folder / "node_keys"
    node_keys.write_key_file(keys, {NODE: NodeKey(EPOCH, KEY)})
    shared = SETTINGS | {
        "MQTT_BROKER": "127.0.0.1", "MQTT_PORT": str(mosquitto.port), "NODE_KEYS_FILE": str(keys),
        "MQTT_NAMESPACE": secrets.token_hex(4),
    }  # fmt: skip
    with contextlib.ExitStack() as stack:
        far = []
        stack.enter_context(station("server", folder / "server", shared))
        for name in ("attic", "cellar"):
            link = folder / f"receiver-{name}"
            far.append(stack.enter_context(pty_port(link)))
            environ = shared | {"GATEWAY_ID": name, "SERIAL_PORT": str(link)}
            stack.enter_context(station("gateway", folder / name, environ))
        yield far, folder / "server"


def make(store: RamStore) -> Node:
    return Node(NODE, EPOCH, KEY, PROVISIONED, Hold(), store, random.Random(4).random)


def test_one_row_for_each_reading_settings_that_arrive_and_honest_times(ports: tuple[list[int], Path]) -> None:
    far, server = ports
    store = RamStore()

    # Both hear everything; the settings of the first contact are in force from then on, and told by the next frame.
    air = Air(make(store), far)
    air.carry(air.node.sample(0, 20.0, 50.0), 0)
    assert air.node.settings == WANTED
    assert air.acks[0].settings == WANTED
    assert air.node.sample(MINUTE_MS, 20.4, 50.0) == []  # wrong by the new threshold, but tau is 2 now
    air.carry(air.node.sample(2 * MINUTE_MS, 20.4, 50.0), 2 * MINUTE_MS)
    assert [uplink.generation for uplink in air.uplinks] == [0, air.acks[0].generation]
    assert air.acks[2].settings is None  # so the first gateway knows that they are in force
    assert air.node.is_acknowledged

    # Two events without an answer that gets through, then the power goes: both are in the flash, with their time.
    assert air.node.sample(9 * MINUTE_MS, 10.0, 50.0) == []
    for minute in (10, 12):
        air.carry(air.node.sample(minute * MINUTE_MS, minute, 50.0), minute * MINUTE_MS, answers=False)
    until(lambda: len(rows(server)) == 4, 60, "what both gateways acknowledged, though nobody heard it")
    air = Air(make(store), far)
    air.carry(air.node.sample(0, 30.0, 50.0), 0)
    while (deadline_ms := air.node.deadline_ms()) is not None:
        air.carry(air.node.due(deadline_ms), deadline_ms)

    until(lambda: len(rows(server)) == 5, 60, "every reading as one row")
    found = rows(server)
    assert [row[1:3] for row in found] == [
        ("event", 2000), ("event", 2040), ("event", 1000), ("event", 1200), ("event", 3000),
    ]  # fmt: skip
    assert all(time is not None and synced == 1 for *_, time, synced in found)


def test_backlog_whose_time_nobody_knows_is_a_row_without_a_time(ports: tuple[list[int], Path]) -> None:
    far, server = ports
    before = len(rows(server))
    store = RamStore()
    first = max(row[0] for row in rows(server)) + 1 if before else 1

    # A node that never heard the time takes a reading, and loses its power before anybody hears of it.
    node = make(store)
    while node.link._counters.next_counter() < first + 1000:
        node.link._counters.next_frame()
    assert node.sample(0, 15.0, 40.0) != []
    air = Air(make(store), far)
    air.carry(air.node.sample(0, 31.0, 50.0), 0)
    while (deadline_ms := air.node.deadline_ms()) is not None:
        air.carry(air.node.due(deadline_ms), deadline_ms)

    until(lambda: len(rows(server)) == before + 2, 60, "the backlog")
    lost = next(row for row in rows(server) if row[2] == 1500)
    assert lost[1] == "backfill"
    assert lost[3:] == (None, 0)
