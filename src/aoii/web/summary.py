"""The summary of one node: its states now, and its packets and AoII over a span of event time."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from aoii.broker.node_liveness import UNKNOWN, ErrorBound, NodeLiveness, Vouched
from aoii.core.aoii import AoiiMeter
from aoii.web.estimate_accuracy import Instant
from aoii.web.fleet_settings import FleetSettings
from aoii.web.points import Packet, Sample

NodeState = Literal["dead", "sensor_fault", "wrong", "late", "unknown", "low_battery", "ok", "correct"]
"""One state of a node; several may hold at once.

- one of `dead`, `sensor_fault`, `late`, `unknown`, `ok`: its liveness, as its gateways judge it.
- `wrong`: by the node's log, the estimate is wrong now.
- `correct`: by the node's log, the estimate is correct now.
- `low_battery`: the node reports a low battery.

The page has the same states in static/api.js.
"""
NODE_STATES: tuple[NodeState, ...] = get_args(NodeState)  # the worst first

# A sample is judged once its packet has had this time to reach the database; before, the sample would look wrong.
ARRIVAL_S = 2.0  # real seconds, or
ARRIVAL_PERIODS = 0.25  # sample periods, whichever is longer
# A log whose latest judged sample is older than this says nothing about now.
FRESH_S = 5.0  # real seconds, which the log of a fast simulation may be late, or
FRESH_PERIODS = 3  # sample periods, whichever is longer

SPARK_POINTS = 40  # of the small line on a node's tile
WRONG_SPANS_LIMIT = 200  # that one chart shows


@dataclass(frozen=True)
class NodeHealth:
    """Health of one node at its last frame; None where the gateway reports nothing.

    Attributes:
        battery_v: Battery voltage, V.
        rssi_dbm: Signal strength, dBm.
        snr_db: Signal-to-noise ratio, dB.
        missing: Readings that the node has numbered and the gateway has not received.
        low_battery: Whether the node reports a low battery.
    """

    battery_v: float | None = None
    rssi_dbm: float | None = None
    snr_db: float | None = None
    missing: float | None = None
    low_battery: bool = False


@dataclass(frozen=True)
class Aoii:
    """Age of Incorrect Information over a span.

    Attributes:
        basis: `log`: from every sample in the node's log. `bound`: from packets alone; the true age may be higher.
        mean_s: Mean age, s.
        p99_s: 99th percentile of the age, s.
        wrong: Number of sample instants at which the estimate was wrong.
        instants: Number of all sample instants.
    """

    basis: Literal["log", "bound"]
    mean_s: float
    p99_s: float
    wrong: int
    instants: int


@dataclass(frozen=True)
class Summary:
    """One node over a span of event time.

    Attributes:
        node: Its identity.
        gateway: The gateway that last received it; None if unknown.
        states: Its states now, the worst first.
        liveness: Of these, what its gateways say of it.
        last_heard_ms: When a gateway heard it last, or when its last packet was measured if that is later, Unix ms;
            None if neither is known.
        start_ms: Start of the span, Unix ms; None when nothing is known.
        end_ms: End of the span, Unix ms; None when nothing is known.
        last_packet_ms: Event time of the last packet, in the span or before it, Unix ms; None if none is known.
        temp: Latest temperature, of a reading or an estimate, °C.
        hum: Latest humidity, of a reading or an estimate, %RH.
        source: Which of the two they are; None if there are none.
        error_bound: What they may be wrong by; None if nothing vouches for them.
        packets: Number of readings that arrived.
        periodic: Number of packets if one were sent every sample period.
        heartbeats: Number of packets that were heartbeats.
        qos0: Number of packets with QoS 0.
        qos1: Number of packets with QoS 1.
        estimates: Number of `EST` messages received; all have QoS 0.
        logged: Whether the node's own log is known.
        aoii: AoII over the span; None while no packet is known.
        wrong_spans: The latest spans in which the estimate was wrong, as start and end in Unix ms.
        spark: A few temperatures over the span, °C, for the small line on the node's tile.
        health: What a gateway reports of the node; None: nothing.
        name: What people call it; None if they do not.
        place: Where it is; None if nobody has said.
    """

    node: str
    gateway: str | None
    states: list[NodeState]
    last_packet_ms: int | None
    health: NodeHealth | None
    liveness: NodeLiveness = "unknown"
    last_heard_ms: int | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    temp: float | None = None
    hum: float | None = None
    source: Literal["measured", "estimated"] | None = None
    error_bound: ErrorBound | None = None
    packets: int = 0
    periodic: int = 0
    heartbeats: int = 0
    qos0: int = 0
    qos1: int = 0
    estimates: int = 0
    logged: bool = False
    aoii: Aoii | None = None
    wrong_spans: list[tuple[int, int]] = field(default_factory=list)
    spark: list[float] = field(default_factory=list)
    name: str | None = None
    place: str | None = None


def node_states(
    instants: Sequence[Instant],
    health: NodeHealth | None,
    now_ms: int,
    settings: FleetSettings,
    vouched: Vouched = UNKNOWN,
) -> list[NodeState]:
    """The states of a node now, the worst first.

    Args:
        instants: The sample instants of the node's log, in order; empty without a log.
        health: What a gateway reports of the node; None: nothing.
        now_ms: The nodes' wall clock, Unix ms.
        settings: The settings that all nodes share.
        vouched: What the gateways say of the node.
    """
    holds: set[NodeState] = {vouched.liveness}
    if health is not None and health.low_battery:
        holds.add("low_battery")
    is_wrong = _is_wrong(instants, now_ms, settings)
    if is_wrong is not None:
        holds.add("wrong" if is_wrong else "correct")
    return [state for state in NODE_STATES if state in holds]


def _is_wrong(instants: Sequence[Instant], now_ms: int, settings: FleetSettings) -> bool | None:
    """Whether the estimate is wrong now by the node's log; None without a recent one."""
    period_ms, real_ms = 1000 * settings.period_s, 1000 * settings.speed
    arrived_ms = now_ms - max(ARRIVAL_S * real_ms, ARRIVAL_PERIODS * period_ms)
    last = next((instant for instant in reversed(instants) if instant.at_ms <= arrived_ms), None)
    if last is None or now_ms - last.at_ms > max(FRESH_PERIODS * period_ms, FRESH_S * real_ms):
        return None
    return last.wrong


def aoii_of(instants: Iterable[Instant], basis: Literal["log", "bound"], period_s: int) -> Aoii:
    """AoII over sample instants that are `period_s` seconds apart."""
    meter = AoiiMeter()
    for instant in instants:
        meter.observe(instant.wrong, period_s)
    return Aoii(basis, meter.mean_s(), meter.p99_s(), meter.wrong, meter.instants)


def wrong_spans(instants: Iterable[Instant], period_s: int) -> list[tuple[int, int]]:
    """The latest spans of wrong instants, as start and end in Unix ms; an instant counts for `period_s` seconds."""
    period_ms = 1000 * period_s
    spans: list[tuple[int, int]] = []
    for at_ms, wrong in instants:
        if not wrong:
            continue
        start_ms = spans.pop()[0] if spans and at_ms - spans[-1][1] < period_ms // 2 else at_ms
        spans.append((start_ms, at_ms + period_ms))
    return spans[-WRONG_SPANS_LIMIT:]


def spark(points: Iterable[Sample | Packet]) -> list[float]:
    """The temperatures of the points, °C, thinned to at most SPARK_POINTS with the first and the last among them."""
    temps = [round(point.temp, 2) for point in points]
    step = max(1.0, (len(temps) - 1) / (SPARK_POINTS - 1))
    return [temps[math.floor(place * step)] for place in range(min(len(temps), SPARK_POINTS))]
