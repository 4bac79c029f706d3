"""What was heard becomes what is kept: judged and committed in one transaction, believed and handed on after it.

`node_state` and `legacy` decide, the outbox keeps; this is where they meet, and where an event gets its QoS and becomes
the `RX` that will be published. It holds each node's forecast, for the estimates. It answers nobody: the caller learns
from the future how it ended.
"""

import logging
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass

from aoii.broker.messages import HUMIDITY_RANGE, TEMPERATURE_RANGE, Estimate, Reading, encode_reading, is_important
from aoii.core.errors import UnavailableError
from aoii.core.forecast import NodeSettings
from aoii.core.frames import Rejected, Uplink
from aoii.gateway import node_state
from aoii.gateway.drivers.outbox_db import Store, Transaction
from aoii.gateway.events import Event, Instant
from aoii.gateway.legacy import old_node
from aoii.gateway.legacy.mirror import Weights
from aoii.gateway.legacy.old_node import OldNodeEstimate, Payload
from aoii.gateway.node_metrics import Vitals
from aoii.gateway.node_state import NodeState
from aoii.gateway.outbox import Item
from aoii.runtime import clock, metrics
from aoii.runtime.clock import Clock
from aoii.security.node_keys import NodeKey
from aoii.settings import Gateway as Settings

log = logging.getLogger(__name__)

CLOCK_FLOOR_MS = 1_704_067_200_000  # 2024-01-01; a machine without a real-time clock boots in 1970
OLD_FIRMWARE = "/"  # is in the name of every old node, and of no node of ours


@dataclass(frozen=True)
class Judged:
    """A frame that was judged, and, if it was new, committed: its `item` waits for the broker."""

    decision: node_state.Accepted | node_state.Repeated | Rejected
    item: Item | None


@dataclass(frozen=True)
class Kept:
    """A reading of an old node that was committed."""

    heard: old_node.Heard
    item: Item | None


class Ledger:
    """The gateway's book of nodes.

    Args:
        settings: The gateway's.
        clock: The clocks of the nodes' world.
        weights: For mirrored models; None without.
        store: The outbox file.
        on_accepted: Called in the store's thread with each reading that is to be published; must not wait.
        is_ours: Whether a node of this name still belongs here; of others there are no estimates any more.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        weights: Weights | None,
        store: Store,
        on_accepted: Callable[[Item], None],
        is_ours: Callable[[str], bool],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._weights = weights
        self._store = store
        self._on_accepted = on_accepted
        self._is_ours = is_ours
        self._session = secrets.randbits(48)
        self._wanted = NodeSettings(
            round(settings.beta_temp * 100),
            round(settings.beta_hum * 100),
            settings.sample_period_s,
            settings.heartbeat_s,
            settings.heartbeat_min_s,
            settings.tau,
        )
        self.vitals = Vitals(settings)
        self._forecasts: dict[str, NodeState | OldNodeEstimate] = {}
        self._is_refusing = False
        states, self._total_tx = store.submit(lambda tx: (tx.states(), tx.total_tx())).result()
        for name, dumped in states:
            if OLD_FIRMWARE in name:
                old = old_node.load(dumped, weights)
                self._forecasts[name] = OldNodeEstimate(old)
                self.vitals.known(name, True, self._believable(old.unix_ms, old.is_synced))
            else:
                state = node_state.load(dumped)
                self._forecasts[name] = state
                last = state.forecasts[0] if state.forecasts else None
                self.vitals.known(name, False, None if last is None else self._believable(last.unix_ms, last.is_synced))

    def now(self) -> Instant:
        """This moment, on all clocks."""
        unix_ms = self._clock.unix_ms()
        is_synced = self._clock.start_unix_s is not None or unix_ms >= CLOCK_FLOOR_MS
        return Instant(unix_ms, is_synced, self._clock.elapsed_ms(), self._session)

    def submit_frame(
        self, uplink: Uplink, code: bytes, key: NodeKey, at: Instant, done: "Callable[[Future[Judged]], None]"
    ) -> None:
        """Have an authenticated frame judged and, if it is new, committed; then call `done` in the store's thread.

        Its future may end with `ProtocolError` (the reading contradicts one that waits) or `UnavailableError`
        (nothing was kept).
        """
        name = str(uplink.node)

        def work(tx: Transaction) -> Judged:  # may run twice
            kept = tx.state(name)
            state = None if kept is None else node_state.load(kept)
            decision = node_state.hear(state, uplink, code, key.epoch, self._wanted, at)
            if not isinstance(decision, node_state.Accepted):
                return Judged(decision, None)
            tx.keep_state(name, node_state.dump(decision.state))
            return Judged(decision, None if decision.event is None else self._keep(tx, decision.event, at))

        self._store.submit(work, lambda future: self._frame_committed(name, future), done)

    def submit_line(self, node: str, payload: Payload, at: Instant, done: "Callable[[Future[Kept]], None]") -> None:
        """Have a reading of an old node committed; then call `done` in the store's thread.

        Its future may end with `UnavailableError`, and then nothing was kept.
        """

        def work(tx: Transaction) -> Kept:  # may run twice
            kept = tx.state(node)
            state = None if kept is None else old_node.load(kept, self._weights)
            heard = old_node.hear(state, payload, node, tx.old_epoch(), self._weights, clock.day_fraction, at)
            tx.keep_state(node, old_node.dump(heard.state))
            return Kept(heard, self._keep(tx, heard.event, at))

        self._store.submit(work, lambda future: self._line_committed(node, future), done)

    def estimates(self) -> Iterator[Estimate]:
        """What the gateway believes now of every node that it knows."""
        at = self.now()
        for name, forecast in list(self._forecasts.items()):
            if not self._is_ours(name):
                self.vitals.forget(name)
                continue
            if isinstance(forecast, OldNodeEstimate):
                believed: tuple[float, float] | None = forecast.at(at, clock.day_fraction)
            else:
                believed = node_state.estimate(forecast, at)
            if believed is not None:
                yield Estimate(
                    gateway=self._settings.gateway_id,
                    node=name,
                    timestamp=clock.local_text(at.unix_ms),
                    time_n=clock.day_fraction(at.unix_ms),
                    pred_t=_within(believed[0], TEMPERATURE_RANGE),
                    pred_h=_within(believed[1], HUMIDITY_RANGE),
                    total_tx=self._total_tx,
                    unix_ms=at.unix_ms if at.is_synced else None,
                )

    def _believable(self, unix_ms: int, is_synced: bool) -> int | None:
        """A time that was kept, if it is one of the world's and not a simulation's."""
        return unix_ms if is_synced and self._clock.start_unix_s is None else None

    def _keep(self, tx: Transaction, event: Event, at: Instant) -> Item | None:
        """Put the event into the outbox as the `RX` that it will be; None when it waits there already."""
        believed_t, believed_h = event.believed or (event.actual_t, event.actual_h)
        reading = Reading(
            identity=event.identity,
            gateway=self._settings.gateway_id,
            kind=event.kind,
            timestamp=clock.local_text(at.unix_ms),
            time_n=clock.day_fraction(at.unix_ms),
            actual_t=event.actual_t,
            actual_h=event.actual_h,
            pred_t=_within(believed_t, TEMPERATURE_RANGE),
            pred_h=_within(believed_h, HUMIDITY_RANGE),
            total_tx=tx.total_tx() + 1,
            transmission_delay_ms=event.delay_ms,
            event_unix_ms=event.unix_ms,
            clock_synced=event.clock_synced,
        )
        qos = 1 if event.believed is None else self._qos(reading)
        payload = encode_reading(reading, qos)
        item = tx.insert(event.identity, reading.digest(), qos, payload, time.time_ns() // 1_000_000)
        if item is not None:
            tx.count_reading()
        return item

    def _qos(self, reading: Reading) -> int:
        error_t, error_h = reading.actual_t - reading.pred_t, reading.actual_h - reading.pred_h
        return int(is_important(error_t, error_h, self._settings.beta_temp, self._settings.beta_hum))

    # After the commit, in the store's thread.

    def _frame_committed(self, name: str, future: "Future[Judged]") -> None:
        if self._is_kept(future):
            judged = future.result()
            if isinstance(judged.decision, node_state.Accepted):
                self._note(judged.decision.event, judged.item)
                self._believe(name, judged.decision.state, judged.item)

    def _line_committed(self, name: str, future: "Future[Kept]") -> None:
        if self._is_kept(future):
            kept = future.result()
            self._note(kept.heard.event, kept.item)
            self._believe(name, OldNodeEstimate(kept.heard.state), kept.item)

    def _note(self, event: Event | None, item: Item | None) -> None:
        if event is not None and item is not None:
            self.vitals.heard(event)

    def _believe(self, name: str, forecast: NodeState | OldNodeEstimate, item: Item | None) -> None:
        self._forecasts[name] = forecast
        if item is not None:
            self._total_tx += 1
            self._on_accepted(item)

    def _is_kept(self, future: "Future[Judged] | Future[Kept]") -> bool:
        """Whether it was committed; a file that takes nothing is counted each time and said once."""
        error = future.exception()
        if isinstance(error, UnavailableError):
            metrics.OUTBOX_REJECTED_READINGS.inc()
            if not self._is_refusing:
                log.error("outbox takes no readings", extra={"event": "outbox_refuses", "reason": str(error)})
        elif self._is_refusing:
            log.info("outbox takes readings again", extra={"event": "outbox_takes"})
        self._is_refusing = isinstance(error, UnavailableError)
        return error is None


def _within(value: float, limits: tuple[float, float]) -> float:
    """A belief as the messages can carry it; a model may overshoot."""
    return min(max(value, limits[0]), limits[1])
