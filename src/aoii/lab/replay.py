"""Replays one series through one policy: what is sent, and the gateway's estimate after every sample.

At each sample the node compares the reading with its view of the gateway's estimate, and sends at once if that is
wrong. A packet without an acknowledgement is sent again at the same instant, up to `RESENDS` times. If all tries fail,
the next sample is sent in any case. Whether the estimate is correct is judged after the packet of the sample.

A hole of up to `HOLE` sampling intervals counts as samples that were not taken: the estimate moves on across it. A
longer gap splits the series: after it neither end has an estimate. Nothing is interpolated.
"""

from dataclasses import dataclass, field

from aoii.core.aoii import AoiiMeter
from aoii.core.learner import REACH
from aoii.lab.channel import Channel
from aoii.lab.policy import Options, Pair, Policy
from aoii.simulation.recordings import Series

RESENDS = 5
HOLE = REACH  # sampling intervals; after a longer gap the learner begins again, too
DAY_S = 86_400


@dataclass
class Outcome:
    """What one policy did with one series; lists have one item for each sample.

    Attributes:
        events: Packets sent because the estimate was wrong, or because the clock of a periodic policy said so.
        heartbeats: Packets sent because the node was silent for `heartbeat_s`.
        retries: Transmissions beyond the first of each packet.
        acks: Acknowledgements that the gateway sent.
        estimates: The gateway's estimate after the sample, hundredths; None before the first packet of a piece.
        sent: Whether the node sent the sample.
        meter: Age of incorrect information at the gateway.
    """

    events: int = 0
    heartbeats: int = 0
    retries: int = 0
    acks: int = 0
    estimates: list[Pair | None] = field(default_factory=list)
    sent: list[bool] = field(default_factory=list)
    meter: AoiiMeter = field(default_factory=AoiiMeter)

    @property
    def packets(self) -> int:
        """Events and heartbeats."""
        return self.events + self.heartbeats


def pieces(series: Series) -> list[int]:
    """Index of the first sample of each piece into which long gaps split the series."""
    slots = series.slots
    return [0] + [i for i in range(1, len(slots)) if slots[i] - slots[i - 1] > HOLE]


def is_wrong(reading: Pair, estimate: Pair | None, epsilon: Pair) -> bool:
    """Whether an estimate is off by a threshold or more in either quantity, or is missing."""
    return (
        estimate is None or abs(reading[0] - estimate[0]) >= epsilon[0] or abs(reading[1] - estimate[1]) >= epsilon[1]
    )


class _Link:
    """A node, its gateway and the channel between them, for one series."""

    def __init__(self, policy: Policy, options: Options, channel: Channel, outcome: Outcome) -> None:
        self._policy, self._options, self._channel, self._outcome = policy, options, channel, outcome
        self._node = policy.node(options)
        self.reset()

    def reset(self) -> None:
        """Begin a piece of the series: neither end has an estimate."""
        self._gateway = self._policy.estimator(self._options)
        self._view = self._gateway if self._channel.is_lossless else self._gateway.copy()  # the node's view
        self._lacks_ack = True  # as after a lost packet, so that the first sample is sent
        self._wrong_samples = 0  # in a row

    def advance(self, reading: Pair, steps: int, day_ms: int) -> tuple[Pair | None, Pair | None]:
        """Move on to the next sample: the gateway's estimate, and the node's view of it."""
        self._node.observe(reading, steps, day_ms)
        estimate = self._gateway.advance(steps, day_ms)
        return estimate, estimate if self._view is self._gateway else self._view.advance(steps, day_ms)

    def must_send(self, reading: Pair, viewed: Pair | None) -> bool:
        """Whether the node has to send: wrong at `tau` samples in a row, or the last packet is not acknowledged."""
        self._wrong_samples = self._wrong_samples + 1 if is_wrong(reading, viewed, self._options.epsilon) else 0
        return self._lacks_ack or self._wrong_samples >= self._options.tau

    def send(self, estimate: Pair | None, at_s: float) -> Pair | None:
        """Send the sample until it is acknowledged or the tries are used up; the gateway's estimate afterwards."""
        packet = self._node.packet()
        has_arrived = False
        for attempt in range(1 + (RESENDS if self._policy.resends else 0)):
            self._outcome.retries += attempt > 0
            if not self._channel.carries_uplink(at_s):
                continue
            if not has_arrived:
                estimate, has_arrived = self._gateway.receive(packet), True
            self._outcome.acks += 1
            if self._channel.carries_ack():
                self._lacks_ack = False
                self._wrong_samples = 0
                break
        else:
            self._lacks_ack = self._policy.resends
        if not self._lacks_ack and self._view is not self._gateway:
            self._view.receive(packet)
        return estimate


def replay(series: Series, policy: Policy, options: Options, channel: Channel, packets: int = 0) -> Outcome:
    """Replay one series through one policy.

    Args:
        series: The recording of one node.
        policy: One of `POLICIES`.
        options: How to replay.
        channel: What the radio loses.
        packets: Number of packets that `periodic_equal` may send.
    """
    outcome = Outcome()
    link = _Link(policy, options, channel, outcome)
    starts = set(pieces(series))
    meter = AoiiMeter()
    silent_s = 0.0
    for i, reading in enumerate(zip(series.temperature_c, series.humidity_c, strict=True)):
        steps = series.slots[i] - series.slots[i - 1] if i else 1
        if i in starts and i:
            link.reset()
            outcome.meter.merge(meter)
            meter = AoiiMeter()
        at_s = series.slots[i] * series.interval_s
        estimate, viewed = link.advance(reading, steps, int((series.start_unix_s + at_s) % DAY_S * 1000))
        silent_s += steps * series.interval_s
        if policy.clock is None:
            is_event = link.must_send(reading, viewed)
        else:
            is_event = i in starts or policy.is_due(i, len(series), packets)
        is_heartbeat = not is_event and 0 < options.heartbeat_s <= silent_s
        if is_event or is_heartbeat:
            silent_s = 0.0
            estimate = link.send(estimate, at_s)
        outcome.events += is_event
        outcome.heartbeats += is_heartbeat
        outcome.sent.append(is_event or is_heartbeat)
        outcome.estimates.append(estimate)
        meter.observe(is_wrong(reading, estimate, options.epsilon), round(series.interval_s))
    outcome.meter.merge(meter)
    return outcome
