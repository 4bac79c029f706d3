"""The field of a history: nodes with the board's code, their flash and power, and the radio around them.

The truth of a history is what its nodes saw acknowledged: it stands in `SimulatedNode.acknowledged`.
"""

import random
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from aoii.core import stream
from aoii.core.forecast import PROVISIONED
from aoii.core.frames import EVENT, Rejected, Uplink, decode_ack, decode_uplink, node_of
from aoii.core.link import Send
from aoii.core.store import NUMBER_SLOTS
from aoii.core.stream import DOWNLINK, UPLINK, Frame
from aoii.edge.node import Node
from edge.predictors import Slope
from flash import Flash, PowerCut
from histories.stage import Scene

UPLINK_MS, DOWNLINK_MS, TURN_MS = 247, 206, 20
SIGNAL = struct.pack("<bb", -90, 8)
PERIOD_S = 1800  # so that a day has few samples, and many of them are worth a packet

Content = tuple[int, int]
"""Temperature and humidity of a reading, hundredths."""


class Hearing(Protocol):
    """A gateway's end of the radio."""

    name: str

    def receive(self, frame: Frame) -> None: ...


class Air:
    """The radio between all nodes and gateways.

    Attributes:
        loss: Share of packets lost, by (gateway, is_up); what is not there is not lost.
        copies: Share of packets that arrive a second time, later.
        packets: Packets that nodes have sent.
        asks: Acknowledgements that asked for a reading.
        answers: Acknowledgements that a gateway has sent, by its name.
        on_packet: Called when a node sends.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._chance = scene.chance
        self.gateways: list[Hearing] = []
        self.nodes: dict[int, SimulatedNode] = {}
        self.loss: dict[tuple[str, bool], float] = {}
        self.copies = 0.0
        self.packets = self.asks = 0
        self.answers: Counter[str] = Counter()
        self.on_packet: Callable[[], None] = lambda: None

    def up(self, data: bytes) -> None:
        """A node sends."""
        self.packets += 1
        self.on_packet()
        frame = Frame(UPLINK, SIGNAL + data)
        for gateway in self.gateways:
            for wait_ms in self._arrivals(gateway.name, True, UPLINK_MS):
                self._scene.timeline.after(wait_ms, lambda to=gateway: to.receive(frame))  # type: ignore[misc]

    def down(self, gateway: Hearing, usb: bytes) -> None:
        """A gateway answers; other gateways hear it too."""
        frame = stream._frame(usb[1:-1])  # what `Reader` finds, in a tenth of the time
        assert isinstance(frame, Frame)
        assert frame.type == DOWNLINK
        self.answers[gateway.name] += 1
        data = frame.content
        number = node_of(data)
        node = self.nodes.get(-1 if number is None else number)
        if node is None:
            return
        for wait_ms in self._arrivals(gateway.name, False, TURN_MS + DOWNLINK_MS):
            self._scene.timeline.after(wait_ms, lambda: node.receive(data))
        heard = Frame(UPLINK, SIGNAL + data)
        for other in self.gateways:
            if other is not gateway and self._chance.random() < 0.9:
                self._scene.timeline.after(TURN_MS + DOWNLINK_MS, lambda to=other: to.receive(heard))  # type: ignore[misc]

    def _arrivals(self, gateway: str, is_up: bool, wait_ms: int) -> list[int]:
        if self._chance.random() < self.loss.get((gateway, is_up), 0.0):
            return []
        if self._chance.random() < self.copies:
            return [wait_ms, wait_ms + self._chance.randint(0, 5_000)]
        return [wait_ms]


class SimulatedNode:
    """One node: what runs on the board, its flash, and what it has seen.

    Args:
        number: Its number.
        epoch: Its epoch.
        key: Its key.
        scene: Time and chance.
        air: The radio.
        restlessness: Share of samples that differ from the one before by more than the threshold.
        slots: Readings that its ring holds.

    Attributes:
        contents: What the node has sent, by counter.
        events: The numbers of the events among these; they wait in the flash until they are acknowledged.
        acknowledged: Of these, what it has seen acknowledged, by counter.
        sleeps: Whether it sleeps deeply between two samples.
        alike_limit: So many samples in a row may be alike.
    """

    def __init__(
        self,
        number: int,
        epoch: int,
        key: bytes,
        scene: Scene,
        air: Air,
        restlessness: float,
        slots: int,
    ) -> None:
        self.number, self.epoch, self.key = number, epoch, key
        self._scene = scene
        self._air = air
        self._chance = random.Random(f"{number} {scene.chance.random()}")
        self.restlessness = restlessness
        self.alike_limit = 1_000_000
        self._alike = 0
        self.flash = Flash(NUMBER_SLOTS + slots)
        self.contents: dict[int, Content] = {}
        self.acknowledged: dict[int, Content] = {}
        self.wrong_contents: list[int] = []
        self.events: set[int] = set()
        self._counters: dict[int, int] = {}  # by frame
        self.temperature_c = 2000
        self.sleeps = False
        self.power_cuts = 0
        self._is_on = self._is_quiet = self.is_dead = False
        self._timer_ms: int | None = None
        self._life = 0
        self.node: Node
        self._boot_ms = 0

    def boot(self) -> None:
        """The power comes (again)."""
        if self.is_dead:
            return
        self._life += 1
        self._boot_ms = self._scene.timeline.now_ms
        self._timer_ms = None
        self._is_on = True
        self.node = self._new()
        life = self._life
        self._scene.timeline.after(self._chance.randint(1_000, 1000 * PERIOD_S), lambda: self._sample(life))

    def cut_power(self) -> None:
        """The power goes, and comes back after a while."""
        if not self._is_on:
            return
        self._is_on = False
        self._life += 1
        self.flash.cut_at = -1
        self.power_cuts += 1
        self._scene.log(f"node {self.number} loses its power")
        self._scene.timeline.after(self._chance.randint(1_000, 1_200_000), self.boot)

    def die(self) -> None:
        """The power goes, for good."""
        self.is_dead = True
        self._is_on = False
        self._life += 1

    def cut_power_in_write(self, writes: int, after_bytes: int) -> None:
        """The power goes in the middle of one of its next writes."""
        self.flash.cut_at = self.flash.writes + writes
        self.flash.cut_after = after_bytes

    def be_quiet(self) -> None:
        """Take no more samples."""
        self._is_quiet = True

    def receive(self, data: bytes) -> None:
        """A packet from the radio."""
        if not self._is_on:
            return
        ack = decode_ack(data, self.number, self.epoch, self.key)
        link = self.node.link
        counter = None
        if not isinstance(ack, Rejected):
            self._air.asks += ack.again > 0
            pending = link.pending
            if pending is not None and link.sent.include(ack.frame):
                counter = pending.counter
            elif link.superseded.include(ack.frame):
                counter = link.superseded.counter
        if self._do(lambda: self.node.receive(data, self._tick_ms())) and counter is not None:
            assert not isinstance(ack, Rejected)
            if self._counters.get(ack.frame) == counter:
                self.acknowledged[counter] = self.contents[counter]

    def held(self) -> set[int]:
        """The numbers of the readings in its ring, waiting or kept."""
        return {counter for counter in self.node.link.ring._slots if counter}

    def waiting(self) -> bool:
        """Whether it has something to send."""
        link = self.node.link
        return link.ring.waiting > 0 or link.pending is not None or link.target > 0

    def _new(self) -> Node:
        return Node(self.number, self.epoch, self.key, PROVISIONED, Slope(), self.flash, self._chance.random)

    def _tick_ms(self) -> int:
        return self._scene.timeline.now_ms - self._boot_ms

    def _sample(self, life: int) -> None:
        if self._life != life or self._is_quiet:
            return
        period_ms = 1000 * self.node.settings.period_s
        self._scene.timeline.after(max(period_ms, 600_000), lambda: self._sample(life))
        self._alike += 1
        if self._chance.random() < self.restlessness or self._alike > self.alike_limit:
            self._alike = 0
            self.temperature_c = 2000 + (self.temperature_c - 2000 + self._chance.choice((-150, 90, 150))) % 1500
        if self.sleeps:
            state = self.node.dump()
            self.node = self._new()
            assert self.node.load(state)
        self._do(lambda: self.node.sample(self._tick_ms(), self.temperature_c / 100, 50.0))

    def _do(self, act: Callable[[], list[Send]]) -> bool:
        """Have the node do something, and send what it wants to send; return whether the power lasted."""
        try:
            sends = act()
        except PowerCut:
            self.cut_power()
            return False
        self._send(sends)
        return True

    def _send(self, sends: Sequence[Send]) -> None:
        for send in sends:
            uplink = decode_uplink(send.data, lambda _: self.key)
            assert isinstance(uplink, Uplink)
            content = uplink.temperature_c, uplink.humidity_c
            if self.contents.setdefault(uplink.counter, content) != content:
                self.wrong_contents.append(uplink.counter)
            self._counters[uplink.frame] = uplink.counter
            if uplink.flags & EVENT:
                self.events.add(uplink.counter)
            self._air.up(send.data)
        deadline_ms = self.node.deadline_ms()
        if deadline_ms is not None and deadline_ms != self._timer_ms:
            life = self._life
            at_ms = self._boot_ms + deadline_ms
            self._scene.timeline.at(at_ms, lambda: self._timer(life, deadline_ms))
        self._timer_ms = deadline_ms

    def _timer(self, life: int, deadline_ms: int) -> None:
        if self._life == life and self._timer_ms == deadline_ms:
            self._timer_ms = None
            self._do(lambda: self.node.due(self._tick_ms()))
