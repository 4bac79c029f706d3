"""What the page shows of every node: its samples, what the gateway believed, and its packets, each bounded.

Pure: rows and messages go in, points and summaries come out. They arrive in any order and more than once (the
database and the broker tell of the same packet); points are kept in order of event time. Every point also has a place
in the order of arrival, so that any number of followers can ask for what is new since they last looked: nobody keeps a
queue for them.

It refuses to guess. What a node measured between packets is known only from the node's own log; without it there are
points at packets and no line, and AoII is a lower bound that says so.
"""

import math
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic, Literal, NamedTuple, TypeVar, get_args

from aoii.broker.messages import Estimate, Reading
from aoii.core.aoii import AoiiMeter
from aoii.server.rows import EdgeLogRow, NodeSummary, ReadingRow
from aoii.web import estimate_accuracy
from aoii.web.points import EstimatePoint, Key, Packet, Rules, Sample, Vitals, event_ms

TRACK_LIMIT = 3000  # points of one kind and node: two days at one a minute; 1.2 MB a node, measured
POINTS_LIMIT = 900_000  # of all nodes: from 100 nodes on they share this room, 500 have ten hours each; 120 MB
NODE_LIMIT = 500  # nodes in the live view
SPARK_POINTS = 40  # points of the small line on a node's card
WRONG_SPANS_LIMIT = 200  # spans of being wrong that are told for one chart
UNNAMED = "(unnamed)"  # rows and messages of the reference system carry no node
FROM_A_ROW = -1  # stands for the epoch in the key of a row without identity

SETTLED_S = 2.0  # real; a packet is in the database by then, or its sample would look wrong while it is on its way
SETTLED_PERIODS = 0.25
FRESH_PERIODS = 3  # of the sample period; an older log says nothing about now
FRESH_S = 5.0  # real; what a simulated log may be late

State = Literal["silent", "fault", "wrong", "never", "battery", "heard", "right"]
"""Of a node now, the worst first.

`silent`: no packet for a heartbeat and ten minutes. `fault`: it says that its sensor fails. `wrong`: by its log the
gateway is wrong about it. `never`: no packet of it is known. `battery`: it says that its battery is low. `heard`: in
time, and between packets nobody here knows. `right`: by its log the gateway is right about it.
"""
STATES: tuple[State, ...] = get_args(State)
P = TypeVar("P", Sample, EstimatePoint, Packet)


@dataclass(frozen=True)
class Aoii:
    """Age of Incorrect Information over a span.

    Attributes:
        basis: `log`: by every sample in the node's log. `bound`: what packets give away; the truth is this or more.
        mean_s, p99_s: Seconds.
        wrong, instants: Sample instants at which the gateway was wrong, of how many.
    """

    basis: Literal["log", "bound"]
    mean_s: float
    p99_s: float
    wrong: int
    instants: int


@dataclass(frozen=True)
class Summary:
    """One node over a span of event time, ready for JSON.

    Attributes:
        states: How the node is now; several may hold, the worst first.
        start_ms, end_ms: The span that is covered, Unix ms; None when nothing is known.
        last_packet_ms: Event time of the last packet, Unix ms, also when it lies outside the span.
        temp, hum: The latest value that the gateway has or believes, °C and %RH.
        packets, periodic: Readings that arrived, and what one packet every period would have been.
        heartbeats: Those of the packets that only said that all is well.
        qos0, qos1: The packets by QoS; estimates: `EST` messages heard, all at QoS 0.
        logged: Whether the node's own log is known.
        aoii: None while no packet is known.
        wrong_spans: `[start, end]` in Unix ms of the latest times at which the gateway was wrong.
        spark: The temperature in a few points, °C.
        vitals: What a gateway told of it; None: nothing.
    """

    node: str
    gateway: str | None
    states: list[State]
    start_ms: int | None
    end_ms: int | None
    last_packet_ms: int | None
    temp: float | None
    hum: float | None
    packets: int
    periodic: int
    heartbeats: int
    qos0: int
    qos1: int
    estimates: int
    logged: bool
    aoii: Aoii | None
    wrong_spans: list[tuple[int, int]]
    spark: list[float]
    vitals: Vitals | None = None


class Track(Generic[P]):
    """Points in order of event time, at most as many as `add` is told; the oldest give way."""

    def __init__(self) -> None:
        self._points: list[P] = []
        self._arrivals: deque[tuple[int, P]] = deque()
        self._forgotten = 0  # version up to which the order of arrival is no longer known

    def __len__(self) -> int:
        return len(self._points)

    @property
    def first_ms(self) -> int | None:
        """Event time of the earliest point."""
        return self._points[0].at_ms if self._points else None

    @property
    def last(self) -> P | None:
        """The latest point by event time."""
        return self._points[-1] if self._points else None

    def add(self, point: P, version: int, limit: int) -> list[P]:
        """Take a point and keep at most `limit`; those that gave way."""
        insort(self._points, point, key=event_ms)
        self._arrivals.append((version, point))
        while len(self._arrivals) > limit:
            self._forgotten = self._arrivals.popleft()[0]
        excess = max(0, len(self._points) - limit)
        gone = self._points[:excess]
        del self._points[:excess]
        return gone

    def between(self, start_ms: int, end_ms: int) -> list[P]:
        """Points of the span, both ends included."""
        first = bisect_left(self._points, start_ms, key=event_ms)
        return self._points[first : bisect_right(self._points, end_ms, key=event_ms)]

    def since(self, version: int) -> list[P] | None:
        """What arrived after `version`, in order of arrival; None when that is no longer known."""
        if version < self._forgotten:
            return None
        new = []
        for arrived, point in reversed(self._arrivals):
            if arrived <= version:
                break
            new.append(point)
        new.reverse()
        return new


class News(NamedTuple):
    """What is new of one node, in order of arrival."""

    samples: list[Sample]
    estimates: list[EstimatePoint]
    packets: list[Packet]


@dataclass
class _Node:
    name: str
    gateway: str | None = None
    version: int = 0
    last_packet_ms: int | None = None
    samples: Track[Sample] = field(default_factory=Track)
    estimates: Track[EstimatePoint] = field(default_factory=Track)
    packets: Track[Packet] = field(default_factory=Track)
    keys: set[Key] = field(default_factory=set)

    def end_ms(self) -> int | None:
        return max(
            (last.at_ms for last in (self.samples.last, self.estimates.last, self.packets.last) if last), default=None
        )

    def start_ms(self) -> int | None:
        firsts = (self.samples.first_ms, self.estimates.first_ms, self.packets.first_ms)
        return min((first for first in firsts if first is not None), default=None)


class Fleet:
    """All nodes of the live view; `version` rises with every change."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.version = 0
        self.left_out = 0  # changes of nodes for which there was no room
        self._nodes: dict[str, _Node] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._nodes

    def names(self) -> list[str]:
        """Names of the nodes as a person would order them: 2 before 10."""
        return sorted(self._nodes, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name))

    def changed(self, name: str, version: int) -> bool:
        """Whether the node changed after `version`."""
        return self._nodes[name].version > version

    def heard(self, message: Reading | Estimate, qos: int | None = None) -> None:
        """A message from the broker, with the QoS that its payload names."""
        if isinstance(message, Estimate):
            node = self._touch(message.node, message.gateway)
            at_ms = message.unix_ms if message.unix_ms is not None else _from_local_text(message.timestamp)
            if node is not None and at_ms is not None:
                node.estimates.add(EstimatePoint(at_ms, message.pred_t, message.pred_h), self.version, self._limit())
            return
        who, at_ms = message.identity, message.event_unix_ms
        if who is None or at_ms is None:
            return  # the row will tell; without an identity it could not be recognised then
        self._packet(who.node, message.gateway, Packet(
            at_ms, message.actual_t, message.actual_h, message.pred_t, message.pred_h, message.kind,
            self._qos(message.actual_t - message.pred_t, message.actual_h - message.pred_h) if qos is None else qos,
            (who.epoch, who.counter),
        ))  # fmt: skip

    def stored(self, row: ReadingRow) -> None:
        """A row of `readings`."""
        key = (row.epoch, row.counter) if row.epoch is not None and row.counter is not None else (FROM_A_ROW, row.id)
        at_ms = _instant_ms(row.event_time, row.created_at)
        if at_ms is None:
            return
        self._packet(row.node, row.gateway, Packet(
            at_ms, row.actual_temp, row.actual_humidity, row.pred_temp, row.pred_humidity, row.kind or "legacy",
            self._qos(row.error_temp, row.error_humidity), key,
        ))  # fmt: skip

    def logged(self, row: EdgeLogRow) -> None:
        """A row of `edge_log`."""
        at_ms = _instant_ms(row.event_time, row.created_at)
        node = self._touch(row.node, None)
        if node is None or at_ms is None:
            return
        sample = Sample(
            at_ms,
            row.actual_temp,
            row.actual_humidity,
            row.pred_temp,
            row.pred_humidity,
            row.triggered,
            row.status == "HEARTBEAT",
        )
        node.samples.add(sample, self.version, self._limit())

    def known(self, summary: NodeSummary) -> None:
        """A node whose rows are too old to be held: it is listed, and when it was last heard."""
        node = self._touch(summary.node, summary.gateway)
        if node is None or node.last_packet_ms is not None:
            return
        node.last_packet_ms = _instant_ms(summary.last_event_time, summary.last_created_at)

    def expected(self, name: str) -> None:
        """A node that somebody expects; it is listed although nothing was heard of it."""
        if name not in self._nodes:
            self._touch(name, None)

    def news(self, name: str, version: int) -> News | None:
        """What arrived of a node after `version`; None when the follower must begin again."""
        node = self._nodes.get(name)
        if node is None:
            return None
        samples, estimates, packets = (
            node.samples.since(version),
            node.estimates.since(version),
            node.packets.since(version),
        )
        if samples is None or estimates is None or packets is None:
            return None
        return News(samples, estimates, packets)

    def points(self, name: str, span_s: float) -> News:
        """All points of the node's last `span_s` seconds, in order of event time."""
        node = self._nodes[name]
        end_ms = node.end_ms()
        if end_ms is None:
            return News([], [], [])
        start_ms = end_ms - round(span_s * 1000)
        return News(
            node.samples.between(start_ms, end_ms),
            node.estimates.between(start_ms, end_ms),
            node.packets.between(start_ms, end_ms),
        )

    def summary(self, name: str, span_s: float, now_ms: int, vitals: Vitals | None = None) -> Summary:
        """One node over its last `span_s` seconds of event time; `now_ms` only judges its present state."""
        node = self._nodes[name]
        start_ms, end_ms = node.start_ms(), node.end_ms()
        if start_ms is None or end_ms is None:
            states = self._states(node, [], now_ms, vitals)
            # fmt: off
            return Summary(
                name, node.gateway, states, None, None, node.last_packet_ms, None, None,
                0, 0, 0, 0, 0, 0, False, None, [], [], vitals,
            )
            # fmt: on
        start_ms = max(start_ms, end_ms - round(span_s * 1000) + 1)
        samples = node.samples.between(start_ms, end_ms)
        packets = node.packets.between(start_ms, end_ms)
        latest = max((last for last in (node.estimates.last, node.packets.last) if last), key=event_ms, default=None)
        aoii, wrong_spans, instants = None, list[tuple[int, int]](), list[estimate_accuracy.Instant]()
        if node.last_packet_ms is not None:  # a log alone does not tell what arrived
            instants = self._judged(samples, packets, start_ms, end_ms)
            aoii, wrong_spans = self._aoii("log" if samples else "bound", instants)
        return Summary(
            node=name,
            gateway=node.gateway,
            states=self._states(node, instants if samples else [], now_ms, vitals),
            start_ms=start_ms,
            end_ms=end_ms,
            last_packet_ms=node.last_packet_ms,
            temp=latest.temp if latest else None,
            hum=latest.hum if latest else None,
            packets=len(packets),
            periodic=self._instants(start_ms, end_ms),
            heartbeats=sum(packet.kind == "heartbeat" for packet in packets),
            qos0=sum(packet.qos == 0 for packet in packets),
            qos1=sum(packet.qos != 0 for packet in packets),
            estimates=len(node.estimates.between(start_ms, end_ms)),
            logged=bool(samples),
            aoii=aoii,
            wrong_spans=wrong_spans,
            spark=_spark(samples or packets),
            vitals=vitals,
        )

    def _states(
        self, node: _Node, judged: list[estimate_accuracy.Instant], now_ms: int, vitals: Vitals | None
    ) -> list[State]:
        """How the node is now; `judged` are the instants of its log."""
        period_ms, real_ms = 1000 * self.rules.period_s, 1000 * self.rules.speed
        found: set[State] = set()
        if node.last_packet_ms is None:
            found.add("never")
        elif now_ms - node.last_packet_ms > 1000 * self.rules.silent_after_s:
            found.add("silent")
        else:
            settled_ms = now_ms - max(SETTLED_S * real_ms, SETTLED_PERIODS * period_ms)
            last = next((instant for instant in reversed(judged) if instant.at_ms <= settled_ms), None)
            fresh_ms = max(FRESH_PERIODS * period_ms, FRESH_S * real_ms)
            is_known = last is not None and now_ms - last.at_ms <= fresh_ms
            found.add("heard" if last is None or not is_known else "wrong" if last.wrong else "right")
        if vitals is not None and vitals.sensor_fault:
            found.add("fault")
        if vitals is not None and vitals.low_battery:
            found.add("battery")
        return [state for state in STATES if state in found]

    def _judged(
        self, samples: list[Sample], packets: list[Packet], start_ms: int, end_ms: int
    ) -> list[estimate_accuracy.Instant]:
        if samples:
            return list(estimate_accuracy.from_log(samples, packets, self.rules))
        count = self._instants(start_ms, end_ms)
        return list(estimate_accuracy.from_packets(packets, start_ms, count, self.rules))

    def _aoii(
        self, basis: Literal["log", "bound"], instants: list[estimate_accuracy.Instant]
    ) -> tuple[Aoii, list[tuple[int, int]]]:
        meter = AoiiMeter()
        period_ms = 1000 * self.rules.period_s
        spans: list[tuple[int, int]] = []
        for at, wrong in instants:
            meter.observe(wrong, self.rules.period_s)
            if wrong and spans and at - spans[-1][1] < period_ms // 2:
                spans[-1] = (spans[-1][0], at + period_ms)
            elif wrong:
                spans.append((at, at + period_ms))
        aoii = Aoii(basis, meter.mean_s(), meter.p99_s(), meter.wrong, meter.instants)
        return aoii, spans[-WRONG_SPANS_LIMIT:]

    def _instants(self, start_ms: int, end_ms: int) -> int:
        """Sample instants of a span, both ends included: what periodic sending would have sent."""
        return (end_ms - start_ms) // (1000 * self.rules.period_s) + 1

    def _limit(self) -> int:
        """Points of one kind and node, as long as there are so many nodes."""
        return max(1, min(TRACK_LIMIT, POINTS_LIMIT // (3 * max(1, len(self._nodes)))))

    def _qos(self, error_temp: float, error_hum: float) -> int:
        return int(self.rules.is_wrong(error_temp, error_hum))

    def _packet(self, name: str | None, gateway: str | None, packet: Packet) -> None:
        node = self._touch(name, gateway)
        if node is None or packet.key in node.keys:
            return
        node.keys.add(packet.key)
        node.keys.difference_update(gone.key for gone in node.packets.add(packet, self.version, self._limit()))
        if node.last_packet_ms is None or packet.at_ms > node.last_packet_ms:
            node.last_packet_ms = packet.at_ms

    def _touch(self, name: str | None, gateway: str | None) -> _Node | None:
        """The node, made if there is room; its change is counted."""
        name = UNNAMED if name is None else name
        node = self._nodes.get(name)
        if node is None:
            if len(self._nodes) >= NODE_LIMIT:
                self.left_out += 1
                return None
            node = self._nodes[name] = _Node(name)
        self.version += 1
        node.version = self.version
        node.gateway = gateway or node.gateway
        return node


def _spark(points: Iterable[Sample | Packet]) -> list[float]:
    """The temperatures of the points, thinned to a few that keep the first and the last."""
    temps = [point.temp for point in points]
    if len(temps) <= SPARK_POINTS:
        return [round(temp, 2) for temp in temps]
    step = (len(temps) - 1) / (SPARK_POINTS - 1)
    return [round(temps[math.floor(number * step)], 2) for number in range(SPARK_POINTS)]


def _instant_ms(event_time: datetime | None, created_at: datetime | None) -> int | None:
    """Unix ms of a row: of `event_time` (UTC), or where the row has none of `created_at` (local time)."""
    if event_time is not None:
        return round(event_time.replace(tzinfo=UTC).timestamp() * 1000)
    return None if created_at is None else round(created_at.timestamp() * 1000)


def _from_local_text(text: str) -> int | None:
    """Unix ms of the local time in a message of the reference system's gateway; None when it is not one."""
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        return None
