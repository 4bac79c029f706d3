"""A recording replayed through a policy: what is sent, what the gateway believes after every sample, and what it costs.

At each sample the node compares the reading with what it takes the gateway to believe, and sends at once if that is
wrong. A packet without an acknowledgement is sent again at the same instant, up to `RESENDS` times; if all are in vain,
the next sample is sent whatever it is. Right and wrong are judged after that. A hole of up to `HOLE` intervals is
samples that were not taken: the forecast goes on. A longer gap splits the recording: after it nobody believes anything.
Nothing is interpolated.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from aoii.core import prior
from aoii.core.aoii import AoiiMeter
from aoii.core.learner import REACH
from aoii.lab.airtime import Radio, airtime_s
from aoii.lab.bounds import Bounds
from aoii.lab.losses import Channel
from aoii.lab.policies import POLICIES, Pair, Policy, Prior, Weights, World
from aoii.simulation.recordings import Series

RESENDS = 5
HOLE = REACH  # sampling intervals; the learner, too, begins anew after a longer gap
DAY_S = 86_400


@dataclass(frozen=True)
class Options:
    """What a replay is done with.

    Attributes:
        epsilon: Thresholds, hundredths of °C and %RH.
        heartbeat_s: A node that was silent for so long reports; 0: never.
        tau: A forecast is corrected at so many wrong samples in a row, at least 1.
        prior: What `trend` starts from.
        mlp: What `mlp` starts from.
        radio: For airtime and energy.
    """

    epsilon: Pair = (50, 300)
    heartbeat_s: int = 0
    tau: int = 1
    prior: Prior = prior.WEIGHTS
    mlp: Weights | None = None
    radio: Radio = field(default_factory=Radio)


@dataclass
class Outcome:
    """What one policy did with one series; lists have one entry for each sample.

    Attributes:
        events: Packets because the forecast was wrong, or because the clock said so.
        heartbeats: Packets after a long silence.
        retries: Transmissions beyond the first of each packet.
        acks: Acknowledgements that the gateway sent.
        estimates: What the gateway believed after the sample, hundredths; None before it heard anything.
        sent: Whether a packet was sent.
        meter: Age of incorrect information at the gateway.
        max_error: Largest error after a sample, hundredths.
    """

    events: int = 0
    heartbeats: int = 0
    retries: int = 0
    acks: int = 0
    estimates: list[Pair | None] = field(default_factory=list)
    sent: list[bool] = field(default_factory=list)
    meter: AoiiMeter = field(default_factory=AoiiMeter)
    max_error: list[int] = field(default_factory=lambda: [0, 0])

    @property
    def packets(self) -> int:
        """Events and heartbeats."""
        return self.events + self.heartbeats


def pieces(series: Series) -> list[int]:
    """Index of the first sample of each piece into which long gaps split the series."""
    slots = series.slots
    return [0] + [i for i in range(1, len(slots)) if slots[i] - slots[i - 1] > HOLE]


def is_wrong(reading: Pair, believed: Pair | None, epsilon: Pair) -> bool:
    """Whether the gateway's forecast is wrong; it is while there is none."""
    return (
        believed is None or abs(reading[0] - believed[0]) >= epsilon[0] or abs(reading[1] - believed[1]) >= epsilon[1]
    )


class _Link:
    """One node, its gateway and the channel between them, for one series."""

    def __init__(self, policy: Policy, world: World, channel: Channel, outcome: Outcome, tau: int) -> None:
        self._policy, self._world, self._channel, self._outcome = policy, world, channel, outcome
        self._tau = tau
        self._node = policy.node(world)
        self.begin()

    def begin(self) -> None:
        """After a long gap nobody believes anything."""
        self._gateway = self._policy.forecast(self._world)
        self._mirror = self._gateway if self._channel.lossless else self._gateway.copy()
        self._is_open = True  # the last packet has no acknowledgement
        self._age = 0  # samples for which the forecast has been wrong

    def advance(self, reading: Pair, steps: int, day_ms: int) -> tuple[Pair | None, Pair | None]:
        """Go on to the next sample: what the gateway believes, and what the node takes it to believe."""
        self._node.observe(reading, steps, day_ms)
        held = self._gateway.advance(steps, day_ms)
        return held, held if self._mirror is self._gateway else self._mirror.advance(steps, day_ms)

    def must_speak(self, reading: Pair, believed: Pair | None) -> bool:
        """Whether the node has to send because of the sample, or because nobody answered the packet before."""
        self._age = self._age + 1 if is_wrong(reading, believed, self._world.epsilon) else 0
        return self._is_open or self._age >= self._tau

    def send(self, held: Pair | None, at_s: float) -> Pair | None:
        """Send the sample, again and again if need be; what the gateway believes afterwards."""
        content = self._node.content()
        has_it = False
        for attempt in range(1 + (RESENDS if self._policy.resends else 0)):
            self._outcome.retries += attempt > 0
            if not self._channel.up(at_s):
                continue
            if not has_it:
                held, has_it = self._gateway.receive(content), True
            self._outcome.acks += 1
            if self._channel.down():
                self._is_open = False
                self._age = 0
                break
        else:
            self._is_open = self._policy.resends
        if not self._is_open and self._mirror is not self._gateway:
            self._mirror.receive(content)
        return held


def replay(series: Series, policy: Policy, options: Options, channel: Channel, packets: int = 0) -> Outcome:
    """Replay one series through one policy.

    Args:
        series: The recording of one node.
        policy: One of `POLICIES`.
        options: Thresholds and the like.
        channel: What the radio loses.
        packets: How many `periodic_equal` may send.
    """
    outcome = Outcome()
    world = World(options.epsilon, len(series), packets, options.prior, options.mlp)
    link = _Link(policy, world, channel, outcome, options.tau)
    starts = set(pieces(series))
    meter = AoiiMeter()
    silent_s = 0.0
    for i, reading in enumerate(zip(series.temperature_c, series.humidity_c, strict=True)):
        steps = series.slots[i] - series.slots[i - 1] if i else 1
        if i in starts and i:
            link.begin()
            outcome.meter.add(meter)
            meter = AoiiMeter()
        at_s = series.slots[i] * series.interval_s
        held, believed = link.advance(reading, steps, int((series.start_unix_s + at_s) % DAY_S * 1000))
        silent_s += steps * series.interval_s
        by_clock = policy.clock is not None and (policy.is_due(world, i) or i in starts)
        is_event = by_clock or (policy.clock is None and link.must_speak(reading, believed))
        is_heartbeat = not is_event and 0 < options.heartbeat_s <= silent_s
        if is_event or is_heartbeat:
            outcome.events += is_event
            outcome.heartbeats += is_heartbeat
            silent_s = 0.0
            held = link.send(held, at_s)
        outcome.sent.append(is_event or is_heartbeat)
        outcome.estimates.append(held)
        meter.observe(is_wrong(reading, held, options.epsilon), round(series.interval_s))
        if held is not None:
            for q in (0, 1):
                outcome.max_error[q] = max(outcome.max_error[q], abs(reading[q] - held[q]))
    outcome.meter.add(meter)
    return outcome


@dataclass(frozen=True)
class Entry:
    """One line of the result: a policy on a series."""

    file: str
    node: str
    policy: Policy
    series: Series
    outcome: Outcome
    bounds: Bounds

    def figures(self, options: Options) -> dict[str, str | int | float]:
        """As in the JSON of `aoii lab replay`; docs/reference/lab.md explains each."""
        outcome, meter = self.outcome, self.outcome.meter
        days = len(self.series) * self.series.interval_s / DAY_S
        uplinks = (outcome.packets + outcome.retries) / days
        samples = DAY_S / self.series.interval_s
        return {
            "file": self.file,
            "node": self.node,
            "policy": self.policy.name,
            "samples": len(self.series),
            "days": round(days, 4),
            "events": outcome.events,
            "heartbeats": outcome.heartbeats,
            "retries": outcome.retries,
            "acks": outcome.acks,
            "minutes_wrong": round(meter.wrong_s / 60, 2),
            "max_error_t": outcome.max_error[0] / 100,
            "max_error_h": outcome.max_error[1] / 100,
            "aoii_mean_s": round(meter.mean_s(), 3),
            "aoii_p99_s": meter.p99_s(),
            "airtime_s_per_day": round(uplinks * airtime_s(self.policy.frame_bytes, options.radio.sf), 3),
            "energy_mj_per_day": round(options.radio.energy_mj_per_day(samples, uplinks, self.policy.frame_bytes), 1),
            "bound_hold": self.bounds.hold,
            "bound_linear": self.bounds.linear,
        }


def entries(
    recordings: Sequence[tuple[str, Sequence[Series]]],
    names: Sequence[str],
    options: Options,
    channel: Callable[[Series], Channel],
) -> Iterator[Entry]:
    """Every policy on every series, in the order of the files, the nodes and `POLICIES`.

    Args:
        recordings: Name of each file and what is in it.
        names: Policies, as in `POLICY_NAMES`.
        options: Thresholds and the like.
        channel: Makes the radio of one series, the same for every policy.
    """
    for file, all_series in recordings:
        for series in all_series:
            bounds = Bounds(series, pieces(series), options.epsilon)
            done: dict[str, Outcome] = {}
            for policy in sorted(POLICIES, key=lambda policy: policy.clock == "equal"):  # it must know what trend needs
                needed = policy.name in names or (policy.name == "trend" and "periodic_equal" in names)
                if needed:
                    packets = done["trend"].packets if policy.clock == "equal" else 0
                    done[policy.name] = replay(series, policy, options, channel(series), packets)
            for policy in POLICIES:
                if policy.name in names:
                    yield Entry(file, series.node or stem(file), policy, series, done[policy.name], bounds)


def stem(file: str) -> str:
    """The name of a recording without folder and endings."""
    return PurePath(file).name.partition(".")[0]


TRACE_HEADER = ("timestamp", "node", "policy", "temperature", "humidity", "estimate_t", "estimate_h", "sent")


def trace(entry: Entry) -> Iterator[tuple[str, ...]]:
    """One row for each sample, as under `TRACE_HEADER`; an estimate is empty before the gateway heard anything."""
    series, outcome = entry.series, entry.outcome
    for i, timestamp in enumerate(series.timestamps):
        estimate = outcome.estimates[i]
        yield (
            timestamp,
            entry.node,
            entry.policy.name,
            f"{series.temperature_c[i] / 100:.2f}",
            f"{series.humidity_c[i] / 100:.2f}",
            "" if estimate is None else f"{estimate[0] / 100:.2f}",
            "" if estimate is None else f"{estimate[1] / 100:.2f}",
            str(int(outcome.sent[i])),
        )
