"""A gateway and its witness, as processes, at one simulated radio: what the node hears, and what the database has.

The node is the one of the board, with its link; only its radio and its sensor are played here. Its clock is simulated,
the gateways' are real: an exchange on the air is over when nobody has spoken for `QUIET_S`.
"""

import contextlib
import functools
import os
import random
import secrets
import select
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from aoii.core.forecast import PROVISIONED
from aoii.core.frames import Ack, Uplink, decode_ack, decode_uplink
from aoii.core.link import Send
from aoii.core.store import RamStore
from aoii.core.stream import DOWNLINK, Frame, Reader, encode_usb_uplink
from aoii.edge.node import Node
from aoii.gateway.witness import SLOTS_MS
from aoii.security import node_keys
from aoii.security.node_keys import NodeKey
from edge.predictors import Hold
from integration.test_two_gateways import EPOCH, KEY, NODE, SETTINGS, WANTED, is_ready, station
from servers import Mosquitto, free_port, pty_port, until

MINUTE_MS = 60_000
QUIET_S = SLOTS_MS[7] / 1000 + 0.6
FIRST, WITNESS = "first", "witness"


@dataclass
class GatewayProcess:
    """A gateway as a process, and the far end of its receiver's port."""

    name: str
    folder: Path
    environ: dict[str, str]
    far: int
    status_port: int = field(default_factory=free_port)
    reader: Reader = field(default_factory=Reader)
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        environ = dict(os.environ) | self.environ
        environ |= {"AOII_DATA_DIR": str(self.folder), "GATEWAY_STATUS_PORT": str(self.status_port)}
        command = [sys.executable, "-m", "aoii.cli", "gateway"]
        self.process = subprocess.Popen(command, cwd=self.folder, env=environ)
        until(lambda: is_ready(self.status_port), 60, self.name)

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(60)
            self.process = None

    def count(self, sample: str) -> float:
        """A sample that the gateway serves."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.status_port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(sample + " ")), 0.0)


class Air:
    """The radio between a node and the receivers of gateways; each hears the others' acknowledgements too."""

    def __init__(self, gateways: list[GatewayProcess]) -> None:
        self.gateways = gateways
        self.node = Node(NODE, EPOCH, KEY, PROVISIONED, Hold(), RamStore(), random.Random(4).random)
        self.reaching = {gateway.name for gateway in gateways}
        self.is_heard = set(self.reaching)
        self.acks: list[tuple[str, Ack]] = []
        self.confirmed: set[int] = set()  # counters that the node saw acknowledged
        self.packets = 0
        self._counters: dict[int, int] = {}

    def sample(self, minute: int, temperature: float) -> None:
        now_ms = minute * MINUTE_MS
        self.carry(self.node.sample(now_ms, temperature, 50.0), now_ms)

    def retry(self, until_ms: int) -> None:
        """Let the node's timers run."""
        while (deadline_ms := self.node.deadline_ms()) is not None and deadline_ms <= until_ms:
            self.carry(self.node.due(deadline_ms), deadline_ms)

    def carry(self, sends: list[Send], now_ms: int) -> None:
        for send in sends:
            self.packets += 1
            uplink = decode_uplink(send.data, lambda _: KEY)
            assert isinstance(uplink, Uplink)
            self._counters[uplink.frame] = uplink.counter
            for gateway in self.gateways:
                if gateway.name in self.reaching and gateway.process is not None:
                    os.write(gateway.far, encode_usb_uplink(-90, 8, send.data))
            for name, data in list(self._downlinks()):
                ack = decode_ack(data, NODE, EPOCH, KEY)
                assert isinstance(ack, Ack)
                self.acks.append((name, ack))
                if name not in self.is_heard:
                    continue
                further = self.node.receive(data, now_ms + 400)
                assert self.node.link.rejected == 0
                self.confirmed.add(self._counters[ack.frame])
                self.carry(further, now_ms + 400)

    def _downlinks(self) -> Iterator[tuple[str, bytes]]:
        """What the gateways say until nobody has spoken for QUIET_S; the others hear it at once."""
        quiet_s = time.monotonic() + QUIET_S
        while (left_s := quiet_s - time.monotonic()) > 0:
            ready, _, _ = select.select([gateway.far for gateway in self.gateways], [], [], left_s)
            for gateway in self.gateways:
                if gateway.far not in ready:
                    continue
                for item in gateway.reader.feed(os.read(gateway.far, 4096)):
                    if not isinstance(item, Frame) or item.type != DOWNLINK:
                        continue
                    quiet_s = time.monotonic() + QUIET_S
                    for other in self.gateways:
                        if other is not gateway and other.process is not None:
                            os.write(other.far, encode_usb_uplink(-70, 9, item.content))
                    yield gateway.name, item.content


def is_aware(gateway: GatewayProcess) -> bool:
    """Whether it noticed another gateway that answers at once."""
    return gateway.count('aoii_gateway_heard_acks_total{by="first"}') > 0


def stored(folder: Path) -> list[int]:
    """The counters of all rows of the node, in order."""
    with contextlib.closing(sqlite3.connect(folder / "aoii.db")) as database:
        found = database.execute(
            "SELECT counter FROM readings WHERE node = ? AND epoch = ? ORDER BY counter", (str(NODE), EPOCH)
        )
        return [row[0] for row in found]


@pytest.fixture
def field_of_two(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[tuple[GatewayProcess, GatewayProcess, Path]]:
    """A gateway, its witness, and the folder of the one server; the gateways are not started."""
    keys = tmp_path / "node_keys"
    node_keys.write_key_file(keys, {NODE: NodeKey(EPOCH, KEY)})
    shared = SETTINGS | {
        "MQTT_BROKER": "127.0.0.1", "MQTT_PORT": str(mosquitto.port), "NODE_KEYS_FILE": str(keys),
        "MQTT_NAMESPACE": secrets.token_hex(4), "RADIO_SPREADING": "7",
    }  # fmt: skip
    with contextlib.ExitStack() as stack:
        stack.enter_context(station("server", tmp_path / "server", shared))
        gateways = []
        for rank, name in enumerate((FIRST, WITNESS)):
            link = tmp_path / f"receiver-{name}"
            far = stack.enter_context(pty_port(link))
            environ = shared | {"GATEWAY_ID": name, "SERIAL_PORT": str(link), "GATEWAY_RANK": str(rank)}
            gateways.append(GatewayProcess(name, tmp_path / name, environ, far))
            stack.callback(gateways[-1].kill)
        yield gateways[0], gateways[1], tmp_path / "server"


def test_a_witness_stores_everything_and_answers_only_what_the_first_did_not(
    field_of_two: tuple[GatewayProcess, GatewayProcess, Path],
) -> None:
    first, witness, server = field_of_two
    first.start()
    witness.start()
    air = Air([first, witness])

    # The first answers everything; the witness stays silent and has everything.
    for minute in range(6):
        air.sample(minute, 20.0 + 2 * (minute // 2))
    assert {name for name, _ in air.acks} == {FIRST}
    assert air.node.settings == WANTED
    assert witness.count('aoii_gateway_witness_answers_total{result="first"}') == len(air.acks)
    assert witness.count('aoii_gateway_heard_acks_total{by="first"}') == len(air.acks)

    # The node does not hear the first answer: the witness hears that the first answers again, and leaves it to it.
    air.is_heard = {WITNESS}
    before = len(air.acks)
    air.sample(7, 5.0)
    air.sample(8, 5.0)
    air.retry(8 * MINUTE_MS + 10_000)
    assert {name for name, _ in air.acks[before:]} == {FIRST}
    air.is_heard = {FIRST, WITNESS}
    air.retry(9 * MINUTE_MS - 1)

    # The first does not hear the node: the witness answers the second copy, and tells neither time nor settings.
    air.reaching = {WITNESS}
    before, packets = len(air.acks), air.packets
    air.sample(9, 30.0)
    air.sample(10, 30.0)
    air.retry(11 * MINUTE_MS - 1)
    assert air.packets == packets + 2
    (said,) = air.acks[before:]
    assert said[0] == WITNESS
    assert (said[1].unix_s, said[1].settings, said[1].generation) == (0, None, air.node.link.generation)
    assert air.node.is_acknowledged

    until(lambda: set(stored(server)) >= air.confirmed, 60, "every reading that the node saw acknowledged")
    assert len(stored(server)) == len(set(stored(server)))
    for gateway in (first, witness):
        assert not any(
            gateway.count(f'aoii_gateway_rejected_total{{reason="{reason}"}}') for reason in ("length", "mac", "type")
        )


def test_the_first_killed_in_the_midst_of_a_burst_costs_retries_and_nothing_else(
    field_of_two: tuple[GatewayProcess, GatewayProcess, Path],
) -> None:
    first, witness, server = field_of_two
    first.start()
    witness.start()
    air = Air([first, witness])
    chance = random.Random(15)

    minute = 0
    for minute in range(0, 24, 2):  # tau is 2: the second wrong sample in a row is sent
        if minute == 12:
            first.kill()  # and never comes back
        air.reaching = {name for name in (FIRST, WITNESS) if chance.random() < 0.8}
        air.is_heard = {name for name in (FIRST, WITNESS) if chance.random() < 0.8}
        air.sample(minute, 20.0 + minute)
        air.sample(minute + 1, 20.0 + minute)
        air.retry((minute + 2) * MINUTE_MS - 1)
    air.reaching = air.is_heard = {FIRST, WITNESS}
    air.retry((minute + 60) * MINUTE_MS)

    assert air.node.is_acknowledged
    assert air.node.link.ring.waiting == 0
    assert len(air.confirmed) >= 12  # one event for each step
    until(lambda: set(stored(server)) >= air.confirmed, 60, "every reading that the node saw acknowledged")
    rows = stored(server)
    assert len(rows) == len(set(rows))
    assert {name for name, _ in air.acks} == {FIRST, WITNESS}


def test_two_gateways_that_both_answer_at_once_say_so(
    field_of_two: tuple[GatewayProcess, GatewayProcess, Path],
) -> None:
    first, second, server = field_of_two
    second.environ |= {"GATEWAY_RANK": "0", "BETA_TEMP": "0.3"}
    first.start()
    second.start()
    air = Air([first, second])

    for minute in range(0, 8, 2):
        air.sample(minute, 20.0 + minute)
        air.sample(minute + 1, 20.0 + minute)

    for gateway in (first, second):
        until(functools.partial(is_aware, gateway), 30, gateway.name)
    conflicts = [
        gateway.count(f'aoii_gateway_settings_conflicts_total{{sign="{sign}"}}')
        for gateway in (first, second)
        for sign in ("heard", "moved")
    ]
    assert sum(conflicts) > 0
    assert first.count("aoii_gateway_settings_checksum") != second.count("aoii_gateway_settings_checksum")
    until(lambda: set(stored(server)) >= air.confirmed, 60, "every reading that the node saw acknowledged")
