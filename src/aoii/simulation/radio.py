"""The simulated radio between nodes and receiver: decides what happens to each packet.

Pure: random numbers and time come from outside. `transmit` puts a packet on the air; `arrivals` judges it when its time
on air is over and everything that overlaps it is known. Call both in order of time. The content of packets does not
matter here.

Sources: Gilbert, "Capacity of a burst-noise channel", 1960, and Elliott, "Estimates of error rates for codes on
burst-noise channels", 1963 (outages, here in continuous time); Abramson, "The ALOHA system", 1970 (neighbours); Bor,
Roedig, Voigt, Alonso, "Do LoRa low-power wide-area networks scale?", 2016 (capture at 6 dB).
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from aoii.settings.channel import Burst, ChannelModel

UPLINK_MS, DOWNLINK_MS = 247, 206  # 32 and 22 bytes at SF9, 125 kHz, 4/5 (Semtech AN1200.13)
COPY_LIMIT_MS = 5000  # a copy arrives within this; settings.channel.DELAY_LIMIT_S says why
CAPTURE_DB = 6.0
LEVELS_DB = 30.0  # range over which the received levels of the nodes are spread evenly
NEIGHBOUR_PERIOD_MS = 60_000  # a neighbour sends one packet a minute, at random
REASONS = ("trace", "burst", "chance", "collision")  # why packets are lost


@dataclass(frozen=True)
class PacketTrace:
    """Which packets of one node a real gateway received, when the node sent one in each interval."""

    interval_s: float
    received: tuple[bool, ...]


@dataclass(frozen=True)
class Transmission:
    """A packet on the air, from a node (`is_up`) or to it."""

    node: int
    is_up: bool
    begin_ms: int
    data: bytes

    @property
    def end_ms(self) -> int:
        """When its time on air is over."""
        return self.begin_ms + (UPLINK_MS if self.is_up else DOWNLINK_MS)


@dataclass(frozen=True)
class Reception:
    """A packet that arrives at the other end, at `at_ms`."""

    transmission: Transmission
    at_ms: int


class Radio:
    """One channel for any number of nodes and their gateway.

    Args:
        channel: The channel model.
        random: Returns uniform numbers in [0, 1).
        trace_of: Returns the packet trace of a node; called once for each node. None: no traces.

    Attributes:
        counts: Packets `sent`; `received`, copies not counted; `duplicated`; `reordered`; and lost for each of REASONS,
            such as `lost_burst`.
    """

    def __init__(
        self, channel: ChannelModel, random: Callable[[], float], trace_of: Callable[[int], PacketTrace] | None = None
    ) -> None:
        self._channel = channel
        self._random = random
        self._trace_of = trace_of
        self._traces: dict[int, PacketTrace] = {}
        self._outages: dict[int, _OutageState] = {}
        self._levels_db: dict[int, float] = {}
        self._on_air: list[Transmission] = []
        self._held: dict[tuple[int, bool], Transmission] = {}  # until the next one of the same sender arrives
        self.counts: Counter[str] = Counter()

    @property
    def may_collide(self) -> bool:
        """Whether packets that overlap can destroy each other."""
        return self._channel.collisions != "none"

    def transmit(self, node: int, is_up: bool, at_ms: int, data: bytes = b"") -> Transmission:
        """Put a packet on the air at `at_ms`."""
        transmission = Transmission(node, is_up, at_ms, data)
        self.counts["sent"] += 1
        if self.may_collide:
            self._on_air = [other for other in self._on_air if other.end_ms > at_ms - UPLINK_MS]
            self._on_air.append(transmission)
        return transmission

    def is_busy(self, at_ms: int) -> bool:
        """Whether a node that listens at `at_ms` detects a packet on the air; never where packets cannot collide."""
        if any(other.begin_ms <= at_ms < other.end_ms for other in self._on_air):
            return True
        neighbours = self._channel.neighbours if self.may_collide else 0
        return neighbours > 0 and self._random() >= math.exp(-neighbours * UPLINK_MS / NEIGHBOUR_PERIOD_MS)

    def arrivals(self, transmission: Transmission) -> list[Reception]:
        """What arrives because a packet's time on air is over, in order of time; nothing when it is lost.

        These are the packet, perhaps a copy of it, and perhaps an earlier packet of the same sender that was held back.
        """
        reason = self._loss(transmission)
        if reason is not None:
            self.counts[f"lost_{reason}"] += 1
            return []
        channel = self._channel
        sender = transmission.node, transmission.is_up
        if channel.reorder and sender not in self._held and self._random() < channel.reorder:
            self._held[sender] = transmission
            return []
        self.counts["received"] += 1
        delay_ms = round(1000 * channel.delay_s * self._random()) if channel.delay_s else 0
        receptions = [Reception(transmission, transmission.end_ms + delay_ms)]
        if channel.duplicate and self._random() < channel.duplicate:
            self.counts["duplicated"] += 1
            receptions.append(Reception(transmission, transmission.end_ms + round(COPY_LIMIT_MS * self._random())))
        held_back = self._held.pop(sender, None)
        if held_back is not None:
            self.counts["received"] += 1
            self.counts["reordered"] += 1
            receptions.append(Reception(held_back, receptions[0].at_ms + 1))
        return sorted(receptions, key=lambda reception: reception.at_ms)

    def _loss(self, transmission: Transmission) -> str | None:
        """Why a packet is lost; None: it is not."""
        channel = self._channel
        node, at_ms = transmission.node, transmission.begin_ms
        if transmission.is_up and self._trace_of is not None:
            if node not in self._traces:
                self._traces[node] = self._trace_of(node)
            trace = self._traces[node]
            if not trace.received[int(at_ms // (1000 * trace.interval_s)) % len(trace.received)]:
                return "trace"
        if channel.burst is not None:
            outage = self._outages.setdefault(node, _OutageState(channel.burst))
            if outage.is_out(at_ms, self._random()) and self._random() < channel.burst.loss:
                return "burst"
        if self._random() < (channel.loss if transmission.is_up else channel.ack_loss):
            return "chance"
        return "collision" if self.may_collide and self._collides(transmission) else None

    def _collides(self, transmission: Transmission) -> bool:
        """Whether a packet that overlaps this one destroys it."""
        others = [
            other
            for other in self._on_air
            if (other.node, other.is_up) != (transmission.node, transmission.is_up)  # not with itself
            and other.begin_ms < transmission.end_ms
            and other.end_ms > transmission.begin_ms
        ]
        harmful_db = -math.inf  # every packet that is louder than this is harmful
        if self._channel.collisions == "capture":
            if transmission.is_up and any(not other.is_up for other in others):
                return True  # a gateway that sends does not receive
            harmful_db = self._level_db(transmission.node) - CAPTURE_DB
            others = [other for other in others if self._level_db(other.node) > harmful_db]
        if others:
            return True
        share = min(1.0, 1.0 - harmful_db / LEVELS_DB)  # of the neighbours, those that are harmful
        vulnerable_ms = transmission.end_ms - transmission.begin_ms + UPLINK_MS
        expected = self._channel.neighbours * share * vulnerable_ms / NEIGHBOUR_PERIOD_MS
        return expected > 0 and self._random() >= math.exp(-expected)

    def _level_db(self, node: int) -> float:
        """Received level on the link of a node, in both directions, above the weakest."""
        if node not in self._levels_db:
            self._levels_db[node] = LEVELS_DB * self._random()
        return self._levels_db[node]


class _OutageState:
    """Whether one link is in an outage: a Markov chain in continuous time, sampled at each packet.

    An outage ends at the rate 1/mean. Outages begin at the rate that gives them their share of the time, so the
    correlation with an earlier state decays with the time constant mean x (1 - share).
    """

    def __init__(self, burst: Burst) -> None:
        self._burst = burst
        self._was_out: float = burst.share  # before the first packet: a probability
        self._at_ms = 0

    def is_out(self, at_ms: int, draw: float) -> bool:
        """Sample the state at an instant, in order of time; `draw` is uniform in [0, 1)."""
        burst = self._burst
        memory = math.exp(-max(0, at_ms - self._at_ms) / (1000 * burst.mean_s * (1 - burst.share)))
        is_out = draw < burst.share + (self._was_out - burst.share) * memory
        self._was_out, self._at_ms = float(is_out), at_ms
        return is_out
