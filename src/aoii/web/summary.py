"""One node in short: its states now, and its packets and AoII over a span of event time."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from aoii.core.aoii import AoiiMeter
from aoii.web.estimate_accuracy import Instant
from aoii.web.fleet_settings import FleetSettings
from aoii.web.points import Packet, Sample

State = Literal["silent", "sensor_fault", "wrong", "no_packets", "low_battery", "reporting", "correct"]
"""One state of a node; several may hold at once.

`silent`: no packet for one heartbeat and ten minutes. `sensor_fault`: the node reports it. `wrong`: by the node's log
the estimate is wrong now. `no_packets`: no packet of the node is known. `low_battery`: the node reports it.
`reporting`: packets come in time, but without a recent log the accuracy is unknown. `correct`: by the node's log the
estimate is right now. The page has the same states in static/api.js.
"""
STATES: tuple[State, ...] = get_args(State)

ARRIVAL_S = 2.0  # real; by then a packet is in the database, and its sample no longer looks wrong
ARRIVAL_PERIODS = 0.25  # of the sample period; the same, whichever is longer
FRESH_PERIODS = 3  # of the sample period; an older log says nothing about now
FRESH_S = 5.0  # real; how late a simulated log may be

SPARK_POINTS = 40  # points of the small line on a node's tile
WRONG_SPANS_LIMIT = 200  # in one chart


@dataclass(frozen=True)
class NodeHealth:
    """Health of one node at its last frame; None where the gateway reports nothing.

    Attributes:
        battery_v: Battery voltage, V.
        rssi_dbm: Signal strength, dBm.
        snr_db: Signal-to-noise ratio, dB.
        missing: Readings that the node has numbered and the gateway has not received.
        low_battery: Whether the node reports a low battery.
        sensor_fault: Whether the node reports a sensor fault.
    """

    battery_v: float | None = None
    rssi_dbm: float | None = None
    snr_db: float | None = None
    missing: float | None = None
    low_battery: bool = False
    sensor_fault: bool = False


@dataclass(frozen=True)
class Aoii:
    """Age of Incorrect Information over a span.

    Attributes:
        basis: `log`: by every sample in the node's log. `bound`: by packets alone; the true age is this or more.
        mean_s: Mean age, s.
        p99_s: 99th percentile of the age, s.
        wrong: Sample instants at which the estimate was wrong.
        instants: All sample instants.
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
        node: Its name.
        gateway: The gateway that received it last; None if unknown.
        states: How the node is now, the worst first.
        start_ms: Start of the span, Unix ms; None when nothing is known.
        end_ms: End of the span, Unix ms; None when nothing is known.
        last_packet_ms: Event time of the last packet, Unix ms, even outside the span.
        temp: Latest reading or estimate, °C.
        hum: The same, %RH.
        packets: Readings that arrived.
        periodic: Packets if one were sent every period.
        heartbeats: Packets that were heartbeats.
        qos0: Packets with QoS 0.
        qos1: Packets with QoS 1.
        estimates: `EST` messages received; all have QoS 0.
        logged: Whether the node's own log is known.
        aoii: None while no packet is known.
        wrong_spans: The latest spans in which the estimate was wrong, as start and end in Unix ms.
        spark: A few temperatures over the span, °C.
        health: What a gateway reports of the node; None: nothing.
    """

    node: str
    gateway: str | None
    states: list[State]
    last_packet_ms: int | None
    health: NodeHealth | None
    start_ms: int | None = None
    end_ms: int | None = None
    temp: float | None = None
    hum: float | None = None
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


def node_states(
    last_packet_ms: int | None,
    instants: Sequence[Instant],
    health: NodeHealth | None,
    now_ms: int,
    settings: FleetSettings,
) -> list[State]:
    """All states that hold, the worst first.

    Args:
        last_packet_ms: Event time of the last packet, Unix ms; None: there was none.
        instants: The sample instants of the node's log, in order; empty without a log.
        health: What a gateway reports of the node; None: nothing.
        now_ms: The nodes' wall clock, Unix ms.
        settings: Those of all nodes.
    """
    reported = health or NodeHealth()
    holds: dict[State, bool] = {
        _reception(last_packet_ms, instants, now_ms, settings): True,
        "sensor_fault": reported.sensor_fault,
        "low_battery": reported.low_battery,
    }
    return [state for state in STATES if holds.get(state)]


def _reception(last_packet_ms: int | None, instants: Sequence[Instant], now_ms: int, settings: FleetSettings) -> State:
    if last_packet_ms is None:
        return "no_packets"
    if now_ms - last_packet_ms > 1000 * settings.silent_after_s:
        return "silent"
    period_ms, real_ms = 1000 * settings.period_s, 1000 * settings.speed
    arrived_ms = now_ms - max(ARRIVAL_S * real_ms, ARRIVAL_PERIODS * period_ms)
    last = next((instant for instant in reversed(instants) if instant.at_ms <= arrived_ms), None)
    if last is None or now_ms - last.at_ms > max(FRESH_PERIODS * period_ms, FRESH_S * real_ms):
        return "reporting"
    return "wrong" if last.wrong else "correct"


def aoii_of(instants: Iterable[Instant], basis: Literal["log", "bound"], period_s: int) -> Aoii:
    """AoII over sample instants that are `period_s` seconds apart."""
    meter = AoiiMeter()
    for instant in instants:
        meter.observe(instant.wrong, period_s)
    return Aoii(basis, meter.mean_s(), meter.p99_s(), meter.wrong, meter.instants)


def wrong_spans(instants: Iterable[Instant], period_s: int) -> list[tuple[int, int]]:
    """The latest spans of wrong instants as start and end in Unix ms; each instant lasts a period."""
    period_ms = 1000 * period_s
    spans: list[tuple[int, int]] = []
    for at_ms, wrong in instants:
        if not wrong:
            continue
        start_ms = spans.pop()[0] if spans and at_ms - spans[-1][1] < period_ms // 2 else at_ms
        spans.append((start_ms, at_ms + period_ms))
    return spans[-WRONG_SPANS_LIMIT:]


def spark(points: Iterable[Sample | Packet]) -> list[float]:
    """The temperatures of the points, thinned to a few that include the first and the last."""
    temps = [round(point.temp, 2) for point in points]
    step = max(1.0, (len(temps) - 1) / (SPARK_POINTS - 1))
    return [temps[math.floor(place * step)] for place in range(min(len(temps), SPARK_POINTS))]
