"""All nodes of the live view: rows and messages in, points and summaries out, each node bounded.

Pure. Rows and messages arrive in any order, and the same packet comes both from the broker and from the database; it
counts once. Every change raises the fleet's version; a subscriber asks for what is newer than the version it knows.

What a node measured between packets is known from its own log only. Without the log there is no line between packets,
and AoII is a lower bound.
"""

from dataclasses import dataclass, field
from datetime import datetime, tzinfo

from aoii.broker.messages import Estimate, Reading
from aoii.broker.node_liveness import MEASURED, UNKNOWN, Vouched
from aoii.server.rows import EdgeLogRow, NodeSummary, ReadingRow
from aoii.web import estimate_accuracy
from aoii.web.fleet_settings import FleetSettings
from aoii.web.points import EstimatePoint, Key, Packet, Points, Sample, Track, event_ms, unix_ms
from aoii.web.summary import NodeHealth, Summary, aoii_of, node_states, spark, wrong_spans

TRACK_LIMIT = 3000  # points of one kind and node: two days at one a minute; 1.2 MB a node, measured
POINTS_LIMIT = 900_000  # of all nodes: more than 100 nodes share this, so 500 have ten hours each; 120 MB
NODE_LIMIT = 500
UNNAMED = "(unnamed)"  # stands for the node in rows and messages of the older installation, which name none
OLD_NODE_MARK = "/"  # in the name of every old node, and of none of ours
NO_EPOCH = -1  # the epoch in the key of a row without identity


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

    def span_ms(self) -> tuple[int, int] | None:
        """Event times of the earliest and the latest point; None without points."""
        ends = (*self.samples.ends(), *self.estimates.ends(), *self.packets.ends())
        return (min(ends), max(ends)) if ends else None

    def between(self, start_ms: int, end_ms: int) -> Points:
        """Points from `start_ms` to `end_ms`, Unix ms, both included."""
        return Points(
            self.samples.between(start_ms, end_ms),
            self.estimates.between(start_ms, end_ms),
            self.packets.between(start_ms, end_ms),
        )


class Fleet:
    """All nodes.

    Attributes:
        settings: The settings that all nodes share.
        version: A number that rises with every change.
        left_out: How many rows and messages of a new node were ignored because there were `NODE_LIMIT` already.
    """

    def __init__(self, settings: FleetSettings) -> None:
        self.settings = settings
        self.version = 0
        self.left_out = 0
        self._nodes: dict[str, _Node] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._nodes

    def names(self) -> list[str]:
        """Names of the nodes in natural order: 2 before 10."""
        return sorted(self._nodes, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name))

    def has_changed(self, name: str, version: int) -> bool:
        """Whether the node changed after `version`; the fleet must have it."""
        return self._nodes[name].version > version

    def add_message(self, message: Reading | Estimate, qos: int | None = None) -> None:
        """Add a message from the broker; `qos` is the one in its payload, None if it has none."""
        if isinstance(message, Estimate):
            node = self._touch(message.node, message.gateway)
            at_ms = message.unix_ms if message.unix_ms is not None else self._text_ms(message)
            if node is not None and at_ms is not None:
                node.estimates.add(EstimatePoint(at_ms, message.pred_t, message.pred_h), self.version, self._limit())
            return
        who, at_ms = message.identity, message.event_unix_ms
        if who is None or at_ms is None:
            return  # its row comes from the database; without an identity the two could not be matched
        if qos is None:
            errors = message.actual_t - message.pred_t, message.actual_h - message.pred_h
            qos = int(self.settings.of(who.node).is_wrong(*errors))
        self._add_packet(who.node, message.gateway, Packet(
            at_ms, message.actual_t, message.actual_h, message.pred_t, message.pred_h, message.kind, qos,
            (who.epoch, who.counter),
        ))  # fmt: skip

    def add_reading(self, row: ReadingRow) -> None:
        """Add a row of `readings`."""
        key = (row.epoch, row.counter) if row.epoch is not None and row.counter is not None else (NO_EPOCH, row.id)
        at_ms = unix_ms(row.instant)
        self._add_packet(row.node, row.gateway, Packet(
            at_ms, row.actual_temp, row.actual_humidity, row.pred_temp, row.pred_humidity, row.kind or "legacy",
            int(self.settings.of(row.node).is_wrong(row.error_temp, row.error_humidity)), key,
        ))  # fmt: skip

    def add_log_row(self, row: EdgeLogRow) -> None:
        """Add a row of `edge_log`."""
        node = self._touch(row.node, None)
        if node is None or row.instant is None:
            return
        sample = Sample(
            unix_ms(row.instant), row.actual_temp, row.actual_humidity, row.pred_temp, row.pred_humidity, row.triggered,
            row.status == "HEARTBEAT",
        )  # fmt: skip
        node.samples.add(sample, self.version, self._limit())

    def add_node(self, summary: NodeSummary) -> None:
        """Add a node with the time of its last packet; its rows may be too old to be held."""
        node = self._touch(summary.node, summary.gateway)
        if node is not None and node.last_packet_ms is None:
            node.last_packet_ms = unix_ms(summary.last_instant)

    def expect(self, name: str) -> None:
        """Add a node although nothing was received from it."""
        if name not in self._nodes:
            self._touch(name, None)

    def points_since(self, name: str, version: int) -> Points | None:
        """Points of a node that arrived after `version`, in order of arrival.

        None if the node is unknown or some of these points are no longer held: ask for all points again.
        """
        node = self._nodes.get(name)
        if node is None:
            return None
        samples, estimates = node.samples.since(version), node.estimates.since(version)
        packets = node.packets.since(version)
        if samples is None or estimates is None or packets is None:
            return None
        return Points(samples, estimates, packets)

    def points(self, name: str, span_s: float) -> Points:
        """Points of the node's last `span_s` seconds, in order of event time; the fleet must have the node."""
        node = self._nodes[name]
        _, end_ms = node.span_ms() or (0, 0)
        return node.between(end_ms - round(span_s * 1000), end_ms)

    def summary(
        self,
        name: str,
        span_s: float,
        now_ms: int,
        health: NodeHealth | None = None,
        vouched: Vouched = UNKNOWN,
    ) -> Summary:
        """Summarize the node's last `span_s` seconds of event time; the fleet must have the node.

        Args:
            name: The node.
            span_s: Length of the span, which ends at the node's latest point, s.
            now_ms: The nodes' wall clock, Unix ms; only for the node's present states.
            health: What a gateway reports of the node; None: nothing.
            vouched: What the gateways say of the node.
        """
        node = self._nodes[name]
        held = node.span_ms()
        heard = [at_ms for at_ms in (vouched.last_heard_ms, node.last_packet_ms) if at_ms is not None]
        last_heard_ms = max(heard, default=None)
        if held is None:
            states = node_states([], health, now_ms, self.settings, vouched)
            last_ms = node.last_packet_ms
            return Summary(name, node.gateway, states, last_ms, health, vouched.liveness, last_heard_ms)
        end_ms = held[1]
        start_ms = max(held[0], end_ms - round(span_s * 1000) + 1)
        points = node.between(start_ms, end_ms)
        samples, packets = points.samples, points.packets
        latest = max((last for last in (node.estimates.last, node.packets.last) if last), key=event_ms, default=None)
        # Without any packet nothing is judged: a log alone does not say what arrived.
        instants = [] if node.last_packet_ms is None else self._instants(name, points, start_ms, end_ms)
        return Summary(
            node=name,
            gateway=node.gateway,
            states=node_states(instants if samples else [], health, now_ms, self.settings, vouched),
            last_packet_ms=node.last_packet_ms,
            health=health,
            liveness=vouched.liveness,
            last_heard_ms=last_heard_ms,
            start_ms=start_ms,
            end_ms=end_ms,
            temp=latest.temp if latest else None,
            hum=latest.hum if latest else None,
            source=None if latest is None else "measured" if isinstance(latest, Packet) else "estimated",
            error_bound=MEASURED if isinstance(latest, Packet) else vouched.error_bound if latest else None,
            packets=len(packets),
            periodic=self.settings.instants(start_ms, end_ms),
            heartbeats=sum(packet.kind == "heartbeat" for packet in packets),
            qos0=sum(packet.qos == 0 for packet in packets),
            qos1=sum(packet.qos != 0 for packet in packets),
            estimates=len(points.estimates),
            logged=bool(samples),
            aoii=aoii_of(instants, "log" if samples else "bound", self.settings.period_s) if instants else None,
            wrong_spans=wrong_spans(instants, self.settings.period_s),
            spark=spark(samples or packets),
        )

    def _text_ms(self, estimate: Estimate) -> int | None:
        """The instant of an estimate that has only a text; those of the older gateway and of old nodes have a zone."""
        is_old = estimate.node is None or OLD_NODE_MARK in estimate.node
        return _text_ms(estimate.timestamp, self.settings.old_zone if is_old else None)

    def _instants(self, name: str, points: Points, start_ms: int, end_ms: int) -> list[estimate_accuracy.Instant]:
        """The sample instants, judged by the node's log if there is one, else by packets alone."""
        if points.samples:
            return list(estimate_accuracy.from_log(points.samples, points.packets, self.settings.of(name)))
        count = self.settings.instants(start_ms, end_ms)
        return list(estimate_accuracy.from_packets(points.packets, start_ms, count, self.settings))

    def _limit(self) -> int:
        """How many points of one kind and node to hold, given the present number of nodes."""
        return max(1, min(TRACK_LIMIT, POINTS_LIMIT // (3 * max(1, len(self._nodes)))))

    def _add_packet(self, name: str | None, gateway: str | None, packet: Packet) -> None:
        """Add a packet unless it is held already."""
        node = self._touch(name, gateway)
        if node is None or packet.key in node.keys:
            return
        node.keys.add(packet.key)
        node.keys.difference_update(dropped.key for dropped in node.packets.add(packet, self.version, self._limit()))
        if node.last_packet_ms is None or packet.at_ms > node.last_packet_ms:
            node.last_packet_ms = packet.at_ms

    def _touch(self, name: str | None, gateway: str | None) -> _Node | None:
        """The node with a raised version, made if it is new; None if there is no room for a new one."""
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


def _text_ms(text: str, zone: tzinfo | None) -> int | None:
    """Unix ms of a text of local time, in the machine's zone if None; None if it is not a time."""
    try:
        return round(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        return None
