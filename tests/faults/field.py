"""The nodes of a field and the air between them and one or two gateways: the board's own code, with its ring.

Only radio, sensor and clock are played here. A node's clock is its own and simulated: it stands still while the node
waits for an answer, and goes to the next instant of interest at once, so a day takes seconds. The gateways' clocks are
real. An answer that has not come after `silence_s` is one that the node does not hear in its window; if it comes later,
the node hears it later. The recorder is told what the node itself took for acknowledged, and nothing else.
"""

import contextlib
import os
import random
import select
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aoii.core.link import WAITING, Send
from aoii.core.stream import DOWNLINK, Frame, Reader, encode_usb_uplink
from faults.field_node import FieldNode
from faults.radio import EPOCH, READ_BYTES, keys_of
from faults.recorder import Key, Recorder
from servers import pty_port

SILENCE_S = 0.4  # a gateway that lives answers within 10 ms
AIR_S = 0.06  # an acknowledgement on the air at SF7, where two gateways may collide
TRICKLE_S = 2.0  # between two samples of one node when the burst is over: a busy machine is slower than a small ring
SUPERSEDED_AFTER = 3  # tries without an answer, after which the measurement may have moved on


@dataclass
class Antenna:
    """The radio of one gateway, at the far end of its serial port.

    Attributes:
        receives: Probability with which a packet of a node reaches it.
        is_heard: Probability with which a node hears its answer.
    """

    link: Path
    receives: float = 1.0
    is_heard: float = 1.0
    port: int = -1
    reader: Reader = field(default_factory=Reader)


@dataclass
class _OnAir:
    """An acknowledgement on the air, from its antenna until the real instant `end_s`."""

    antenna: Antenna
    data: bytes
    end_s: float
    is_spoiled: bool = False


class Field:
    """All nodes and antennas; as a context manager its thread runs and the gateways' ports exist.

    Args:
        links: Where the gateways' serial ports appear.
        recorder: Is told everything.
        nodes: How many there are.
        ring: Readings that each can hold.
        rng: Of this field alone.

    Attributes:
        collisions: Frames that two gateways answered at once, so that nobody heard either.
    """

    def __init__(self, links: Sequence[Path], recorder: Recorder, nodes: int, ring: int, rng: random.Random) -> None:
        self._recorder = recorder
        self._rng = rng
        self.keys = keys_of(range(1, nodes + 1))
        self.antennas = [Antenna(link) for link in links]
        self._nodes = {number: FieldNode(number, key, ring, rng) for number, key in self.keys.items()}
        self.collisions = 0
        self._on_air: list[_OnAir] = []
        self._silence_s = SILENCE_S if len(links) == 1 else 2 * SILENCE_S  # a witness answers one slot later
        self._budget = 0
        self._is_trickling = False
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._stack = contextlib.ExitStack()
        self._thread = threading.Thread(target=self._run, name="field", daemon=True)

    def __enter__(self) -> "Field":
        with contextlib.ExitStack() as starting:
            for antenna in self.antennas:
                antenna.port = starting.enter_context(pty_port(antenna.link))
                os.set_blocking(antenna.port, False)
            self._stack = starting.pop_all()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._stack.close()

    def load(self, burst: int) -> None:
        """Have the nodes take `burst` samples as fast as they are answered, then a trickle, until `quiet`."""
        with self._lock:
            self._budget, self._is_trickling = burst, True

    def trickle(self) -> None:
        """Go on with the burst, if there is one, and then with a trickle."""
        with self._lock:
            self._is_trickling = True

    def quiet(self) -> None:
        """No new samples; what waits for its answer is still repeated."""
        with self._lock:
            self._budget, self._is_trickling = 0, False

    @property
    def unsent(self) -> int:
        """Samples of the burst that no node has taken."""
        self._check()
        return self._budget

    @property
    def is_idle(self) -> bool:
        """Whether the burst is over and no node has anything left to say."""
        self._check()
        with self._lock:
            return self._budget == 0 and all(node.is_idle for node in self._nodes.values())

    def ignore_questions(self) -> None:
        """Let no node answer what an acknowledgement asks for."""
        for node in self._nodes.values():
            node.is_deaf_to_questions = True

    def cut_power(self, share: float) -> None:
        """Restart each node with this probability."""
        with self._lock:
            for node in self._nodes.values():
                if self._rng.random() < share:
                    node.boot()

    def lose_node(self) -> Key:
        """Take away the node with the highest number, for good; an identity that names it."""
        with self._lock:
            number = max(self._nodes)
            del self._nodes[number]
            return Key(str(number), EPOCH, 0)

    def held(self) -> set[Key]:
        """What the nodes' flashes hold."""
        with self._lock:
            return {key for node in self._nodes.values() for key in node.held()}

    def _check(self) -> None:
        if self._failure is not None:
            raise AssertionError("the field failed") from self._failure

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._turn()
        except BaseException as failure:
            self._failure = failure

    def _turn(self) -> None:
        with self._lock:
            for node in self._nodes.values():
                self._transmit(node, self._go_on(node, time.monotonic()))
        ports = {antenna.port: antenna for antenna in self.antennas}
        for port in select.select(list(ports), [], [], 0.005)[0]:
            for item in ports[port].reader.feed(os.read(port, READ_BYTES)):
                if isinstance(item, Frame) and item.type == DOWNLINK:
                    self._begin(ports[port], item.content)
        with self._lock:
            for said in self._ended():
                self._deliver(said)

    def _go_on(self, node: FieldNode, now_s: float) -> list[Send]:
        """What a node says now."""
        if node.silent_s is not None and now_s < node.silent_s:
            return []
        node.silent_s = None
        wants_more = not node.tries or (node.tries >= SUPERSEDED_AFTER and self._rng.random() < 0.3)
        if wants_more and node.node.link.state != WAITING:
            if self._budget > 0:
                self._budget -= 1
                return node.sample()
            if self._is_trickling and now_s >= node.idle_s:
                node.idle_s = now_s + TRICKLE_S * self._rng.uniform(0.5, 1.5)
                return node.sample()
        return node.due()

    def _transmit(self, node: FieldNode, sends: list[Send]) -> None:
        for send in sends:
            self._recorder.note_sent(*node.said(send.data))
            node.silent_s = time.monotonic() + self._silence_s
            node.tries += 1
            for antenna in self.antennas:
                if self._rng.random() < antenna.receives:
                    self._write(antenna, -90, send.data)

    def _begin(self, antenna: Antenna, data: bytes) -> None:
        """An acknowledgement goes on the air, where another one of the same frame spoils both."""
        now_s = time.monotonic()
        air_s = AIR_S if len(self.antennas) > 1 else 0.0
        said = _OnAir(antenna, data, now_s + air_s)
        for other in self._on_air:
            if other.antenna is not antenna and other.data[1:9] == data[1:9]:  # node, epoch and frame number
                self.collisions += not other.is_spoiled
                other.is_spoiled = said.is_spoiled = True
        self._on_air.append(said)

    def _ended(self) -> Iterator[_OnAir]:
        """What has been on the air for long enough."""
        now_s = time.monotonic()
        ended = [said for said in self._on_air if said.end_s <= now_s]
        self._on_air = [said for said in self._on_air if said.end_s > now_s]
        return (said for said in ended if not said.is_spoiled)

    def _deliver(self, said: _OnAir) -> None:
        for antenna in self.antennas:
            if antenna is not said.antenna:
                self._write(antenna, -70, said.data)
        node = self._nodes.get(said.data[1] | said.data[2] << 8)
        if node is None or self._rng.random() >= said.antenna.is_heard:
            return
        counter, sends = node.receive(said.data)
        if counter is not None:
            self._recorder.note_accepted(Key(str(node.number), EPOCH, counter))
        self._transmit(node, sends)

    @staticmethod
    def _write(antenna: Antenna, rssi_dbm: int, data: bytes) -> None:
        with contextlib.suppress(BlockingIOError):  # nobody listens and the cable is full: a radio does not wait
            os.write(antenna.port, encode_usb_uplink(rssi_dbm, 8, data))
