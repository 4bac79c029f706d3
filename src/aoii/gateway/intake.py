"""Intake: asks whether a frame or line is accepted, commits what it brings, and hands the reading to the publisher.

`node_state` and `legacy/old_node` decide whether a reading is accepted; the outbox file stores it, together with the
node's new state. In between, this module makes the `RX` message that will be published, and chooses its QoS. It holds
the forecast of each node in memory, for the estimates. It answers no node: the caller learns from a future how the
request ended.
"""

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import replace

from aoii.broker.json_fields import EARLIEST_SYNCED_MS
from aoii.broker.messages import HUMIDITY_RANGE, TEMPERATURE_RANGE, Estimate, Reading, encode_reading, is_wrong
from aoii.broker.node_liveness import ErrorBound, Vouched
from aoii.core.errors import UnavailableError
from aoii.core.forecast import NodeSettings
from aoii.core.frames import Rejected, Uplink
from aoii.gateway import node_state
from aoii.gateway.drivers.outbox_file import OutboxFile
from aoii.gateway.drivers.outbox_transaction import Transaction
from aoii.gateway.legacy import old_node
from aoii.gateway.legacy.model import Weights
from aoii.gateway.legacy.old_node import OldNodeForecast, Payload
from aoii.gateway.node_metrics import NodeMetrics
from aoii.gateway.node_state import NodeState
from aoii.gateway.readings import OLD_NODE_MARK, AcceptedReading, Instant, Item
from aoii.runtime import clock, metrics
from aoii.runtime.clock import Clock
from aoii.security.node_keys import NodeKey
from aoii.settings import Gateway as Settings

log = logging.getLogger(__name__)

CLOCK_FLOOR_MS = 1_704_067_200_000  # 2024-01-01; a machine without a real-time clock boots in 1970


FrameResult = tuple[node_state.Accepted | node_state.Repeated | Rejected, Item | None]
"""The decision on a frame, and the item in the outbox if it brought a new reading."""

LineResult = tuple[old_node.Accepted, Item | None]
"""The accepted reading of an old node, and its item in the outbox; None if the reading was there already."""

FrameDone = Callable[[Future[FrameResult]], None]
LineDone = Callable[[Future[LineResult]], None]


class Intake:
    """The only way a reading enters the gateway.

    Args:
        settings: The gateway's.
        clock: The clock of the gateway and its nodes; simulated in the demo.
        weights: The operators' weights, for mirrored models; None without.
        outbox_file: Where readings and the states of nodes are stored.
        on_accepted: Called in the file's thread with each reading to be published; must not block.
        belongs_here: Whether a node of this name is still provisioned, or an old node on one of the ports; of any other
            node no estimates are made.

    Attributes:
        wanted: The settings that our own nodes should use.
        node_metrics: What this gateway reports of each node.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        weights: Weights | None,
        outbox_file: OutboxFile,
        on_accepted: Callable[[Item], None],
        belongs_here: Callable[[str], bool],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._old_zone = settings.old_zone
        self._weights = weights
        self._outbox_file = outbox_file
        self._on_accepted = on_accepted
        self._belongs_here = belongs_here
        self._session = secrets.randbits(48)
        thresholds = round(settings.beta_temp * 100), round(settings.beta_hum * 100)
        periods_s = settings.sample_period_s, settings.heartbeat_s, settings.heartbeat_min_s
        self.wanted = NodeSettings(*thresholds, *periods_s, settings.tau)
        self.node_metrics = NodeMetrics(settings)
        self._forecasts: dict[str, NodeState | OldNodeForecast] = {}
        self._is_unavailable = False
        states, self._total_tx = outbox_file.submit(lambda tx: (tx.states(), tx.total_tx())).result()
        for name, encoded in states:
            self._restore(name, encoded)

    def _restore(self, name: str, encoded: bytes) -> None:
        """Restore a node from its state in the file."""
        last: old_node.OldState | node_state.HeldForecast | None
        if is_old := OLD_NODE_MARK in name:
            last = old_node.decode_state(encoded, self._weights)
            self._forecasts[name] = OldNodeForecast(last)
        else:
            self._forecasts[name] = state = node_state.decode_state(encoded)
            last = state.forecasts[0] if state.forecasts else None
        unix_ms = last.unix_ms if last is not None and last.is_synced else None
        # Node metrics are in real time, so an instant on a simulated clock is of no use to them.
        self.node_metrics.add_known(name, is_old, unix_ms if self._clock.start_unix_s is None else None)

    def now(self) -> Instant:
        """This moment, on all clocks."""
        unix_ms = self._clock.unix_ms()
        is_synced = unix_ms >= (CLOCK_FLOOR_MS if self._clock.start_unix_s is None else EARLIEST_SYNCED_MS)
        return Instant(unix_ms, is_synced, self._clock.elapsed_ms(), self._session)

    def nodes(self) -> list[str]:
        """The nodes that have ever been heard."""
        return list(self._forecasts)

    def newest_frame(self, node: str) -> tuple[int, int] | None:
        """Epoch and number of the newest frame that was accepted of one of our own nodes; None before the first."""
        state = self._forecasts.get(node)
        return (state.epoch, state.highest) if isinstance(state, NodeState) else None

    def submit_frame(self, uplink: Uplink, code: bytes, key: NodeKey, at: Instant, done: FrameDone) -> None:
        """Judge an authenticated frame and commit it if it is new; then call `done` in the outbox file's thread.

        Args:
            uplink: The frame.
            code: Its authentication code.
            key: The key with which the code was made.
            at: When the frame was read.
            done: Gets the future. It fails with `ProtocolError` if the outbox has a reading with the same identity and
                another content, and with `UnavailableError` if nothing could be stored.
        """
        name = str(uplink.node)

        def work(tx: Transaction) -> FrameResult:  # may run twice
            stored = tx.state(name)
            state = None if stored is None else node_state.decode_state(stored)
            decision = node_state.accept(state, uplink, code, key.epoch, self.wanted, at, self._settings.rank > 0)
            if not isinstance(decision, node_state.Accepted):
                return decision, None
            tx.set_state(name, node_state.encode_state(decision.state))
            return decision, None if decision.reading is None else self._insert(tx, decision.reading, at)

        def committed(future: "Future[FrameResult]") -> None:
            if self._is_committed(future):
                decision, item = future.result()
                if isinstance(decision, node_state.Accepted):
                    self._hand_on(name, decision.state, decision.reading, item)

        self._outbox_file.submit(work, committed, done)

    def submit_line(self, node: str, payload: Payload, at: Instant, done: LineDone) -> None:
        """Commit a reading of an old node; then call `done` in the outbox file's thread.

        The future that `done` gets fails for the same reasons as in `submit_frame`.
        """

        def work(tx: Transaction) -> LineResult:  # may run twice
            stored = tx.state(node)
            state = None if stored is None else old_node.decode_state(stored, self._weights)
            accepted = old_node.accept(state, payload, node, tx.old_epoch(), self._weights, self._old_day_fraction, at)
            tx.set_state(node, old_node.encode_state(accepted.state))
            return accepted, self._insert(tx, accepted.reading, at)

        def committed(future: "Future[LineResult]") -> None:
            if self._is_committed(future):
                accepted, item = future.result()
                self._hand_on(node, OldNodeForecast(accepted.state), accepted.reading, item)

        self._outbox_file.submit(work, committed, done)

    def forget_forecasts(self) -> None:
        """Use no forecast any more that was made before; called in the outbox file's thread, when the file has none."""
        own = [(name, one) for name, one in self._forecasts.items() if isinstance(one, NodeState)]
        self._forecasts = {name: replace(state, forecasts=()) for name, state in own}

    def count_periods(self, provisioned: Iterable[str]) -> None:
        """Count the sample periods of the nodes that have been heard; the counters of `provisioned` ones begin at 0."""
        for name in provisioned:
            self.node_metrics.expect(name)
        heard = [name for name in list(self._forecasts) if self._belongs_here(name)]
        self.node_metrics.count_periods(heard, self._clock.elapsed_ms() / 1000)

    def error_bound(self, node: str) -> ErrorBound | None:
        """What the estimate of a node may be wrong by while it keeps its promise; None if there is no estimate.

        These are the thresholds that the node has said it uses; an old node says nothing, and its gateway knows them.
        """
        state = self._forecasts.get(node)
        if isinstance(state, NodeState):
            if not state.forecasts:
                return None
            own = state.forecasts[0].forecast.settings
            return ErrorBound(own.beta_t_c / 100, own.beta_h_c / 100)
        return None if state is None else ErrorBound(*self.node_metrics.thresholds(node))

    def estimates(self, vouched_for: Callable[[str], Vouched]) -> Iterator[Estimate]:
        """The current estimate of each node that has one.

        Args:
            vouched_for: What this gateway says of a node.

        A node that no longer belongs here is skipped, and its metrics are removed.
        """
        at = self.now()
        for name, forecast in list(self._forecasts.items()):
            if not self._belongs_here(name):
                self.node_metrics.remove(name)
                continue
            is_old = isinstance(forecast, OldNodeForecast)
            source = None if isinstance(forecast, OldNodeForecast) else node_state.source(forecast)
            if isinstance(forecast, OldNodeForecast):
                values: tuple[float, float] | None = forecast.at(at, self._old_day_fraction)
            else:
                values = node_state.estimate(forecast, at)
            if values is not None:
                vouched = vouched_for(name)
                yield Estimate(
                    gateway=self._settings.gateway_id,
                    node=name,
                    timestamp=self._timestamp(at, is_old),
                    time_n=self._time_n(at, is_old),
                    pred_t=_within(values[0], TEMPERATURE_RANGE),
                    pred_h=_within(values[1], HUMIDITY_RANGE),
                    total_tx=self._total_tx,
                    unix_ms=at.unix_ms if at.is_synced else None,
                    epoch=source and source[0],
                    counter=source and source[1],
                    liveness=vouched.liveness,
                    last_heard_ms=vouched.last_heard_ms,
                    error_bound=vouched.error_bound,
                )

    def _insert(self, tx: Transaction, accepted: AcceptedReading, at: Instant) -> Item | None:
        """Put a reading into the outbox as an `RX` message; None if it is already there.

        An `RX` needs an estimate: without one the reading itself stands there, and the QoS is 1.
        """
        pred_t, pred_h = accepted.estimate or (accepted.actual_t, accepted.actual_h)
        is_old = accepted.kind == "legacy"
        reading = Reading(
            identity=accepted.identity,
            gateway=self._settings.gateway_id,
            kind=accepted.kind,
            timestamp=self._timestamp(at, is_old),
            time_n=self._time_n(at, is_old),
            actual_t=accepted.actual_t,
            actual_h=accepted.actual_h,
            pred_t=_within(pred_t, TEMPERATURE_RANGE),
            pred_h=_within(pred_h, HUMIDITY_RANGE),
            total_tx=tx.total_tx() + 1,
            transmission_delay_ms=accepted.delay_ms,
            event_unix_ms=accepted.unix_ms,
            clock_synced=accepted.clock_synced,
            last_heard_ms=at.synced_unix_ms,
        )
        error_t, error_h = reading.actual_t - reading.pred_t, reading.actual_h - reading.pred_h
        wrong = is_wrong(error_t, error_h, *self.node_metrics.thresholds(accepted.identity.node))
        qos = int(accepted.estimate is None or wrong)
        payload = encode_reading(reading, qos)
        return tx.insert(accepted.identity, reading.digest(), qos, payload, time.time_ns() // 1_000_000)

    def _timestamp(self, at: Instant, is_old: bool) -> str:
        """The instant as the text of a message, in the zone of the node."""
        return clock.local_text(at.unix_ms, self._old_zone if is_old else None)

    def _time_n(self, at: Instant, is_old: bool) -> float:
        """The time of day at the instant, in the zone of the node."""
        return self._old_day_fraction(at.unix_ms) if is_old else clock.day_fraction(at.unix_ms)

    def _old_day_fraction(self, unix_ms: int) -> float:
        """The time of day as old nodes compute it: in their zone, of whole seconds."""
        return clock.day_fraction(unix_ms // 1000 * 1000, self._old_zone)

    # After the commit, in the outbox file's thread.

    def _hand_on(
        self, name: str, forecast: NodeState | OldNodeForecast, reading: AcceptedReading | None, item: Item | None
    ) -> None:
        """Use the new forecast from now on, and hand the reading to the publisher if it is new."""
        self._forecasts[name] = forecast
        if reading is not None and item is not None:
            self._on_accepted(item)  # first: it is acknowledged, and nothing else may keep it from being published
            self._total_tx += 1
            self.node_metrics.record_reading(reading)

    def _is_committed(self, future: "Future[FrameResult] | Future[LineResult]") -> bool:
        """Whether the commit succeeded.

        Counts each reading that the outbox could not store, and logs the first in a row.
        """
        error = future.exception()
        if isinstance(error, UnavailableError):
            metrics.OUTBOX_REJECTED_READINGS.inc()
            if not self._is_unavailable:
                log.error("outbox rejects readings", extra={"event": "outbox_refuses", "reason": str(error)})
        elif self._is_unavailable:
            log.info("outbox accepts readings again", extra={"event": "outbox_takes"})
        self._is_unavailable = isinstance(error, UnavailableError)
        return error is None


def _within(value: float, limits: tuple[float, float]) -> float:
    """An estimate that a message can carry; a model may overshoot."""
    return min(max(value, limits[0]), limits[1])
