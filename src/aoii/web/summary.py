"""One node over a span of event time in a few numbers: packets, AoII, states. Its counterpart is static/summary.js."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from aoii.core.aoii import AoiiMeter
from aoii.web.estimate_accuracy import Instant
from aoii.web.node_health import NodeHealth
from aoii.web.points import Packet, Sample
from aoii.web.states import State

SPARK_POINTS = 40  # points of the small line on a node's tile
WRONG_SPANS_LIMIT = 200  # in one chart


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
    temps = [point.temp for point in points]
    if len(temps) > SPARK_POINTS:
        step = (len(temps) - 1) / (SPARK_POINTS - 1)
        temps = [temps[math.floor(number * step)] for number in range(SPARK_POINTS)]
    return [round(temp, 2) for temp in temps]
