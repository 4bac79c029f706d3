"""Node metrics: what a gateway reports of each node.

Every reading is recorded after its commit, in the order of arrival. The age of incorrect information is the lower bound
that a gateway can know (docs/explanation/aoii.md): readings that never arrived are in no metric. Labels are names of
authenticated nodes and of ports, so their number is bounded.
"""

import time

from aoii.broker.messages import Identity, is_wrong
from aoii.core.frames import BACKFILL, LOW_BATTERY, SENSOR_FAULT, Uplink
from aoii.gateway.events import Event
from aoii.runtime import metrics
from aoii.settings import Gateway as Settings

OLD_HEARTBEAT_S = 600  # fixed in the old firmware
MISSING_KEPT = 1000  # missing counters of a node; more are not remembered
MISSING_FOR_S = 86_400  # a reading that has not arrived by then is not counted as missing any more


class NodeMetrics:
    """The metrics of the nodes of one gateway.

    Args:
        settings: The gateway's: thresholds and heartbeat.
    """

    def __init__(self, settings: Settings) -> None:
        self._beta_temp = settings.beta_temp
        self._beta_hum = settings.beta_hum
        self._heartbeat_s = settings.heartbeat_s
        self._counters: dict[str, _Counters] = {}
        metrics.THRESHOLD_T.set(settings.beta_temp)
        metrics.THRESHOLD_H.set(settings.beta_hum)

    def add_known(self, node: str, is_old: bool, last_unix_ms: int | None) -> None:
        """Add a node that the gateway knows from an earlier run.

        Args:
            node: Its name.
            is_old: Whether it has the old firmware.
            last_unix_ms: When its last reading was taken; None if unknown: then its silence begins now.
        """
        self._set_last_heard(node, is_old, time.time() if last_unix_ms is None else last_unix_ms / 1000)

    def record_frame(self, uplink: Uplink, rssi_dbm: int, snr_db: int) -> None:
        """Record a frame of one of our own nodes that was accepted, also one that was repeated."""
        node = str(uplink.node)
        self._set_last_heard(node, False, time.time())
        metrics.NODE_RSSI.labels(node=node).set(rssi_dbm)
        metrics.NODE_SNR.labels(node=node).set(snr_db)
        if uplink.flags & BACKFILL:  # its flags describe the node in the past
            return
        if uplink.battery:
            metrics.NODE_BATTERY_V.labels(node=node).set(round(1 + uplink.battery / 50, 2))
        metrics.NODE_BATTERY_LOW.labels(node=node).set(bool(uplink.flags & LOW_BATTERY))
        metrics.NODE_SENSOR_FAULT.labels(node=node).set(bool(uplink.flags & SENSOR_FAULT))

    def record_reading(self, event: Event) -> None:
        """Record a reading that was accepted for the first time."""
        node = event.identity.node
        metrics.NODE_READINGS.labels(node=node, kind=event.kind).inc()
        if event.kind == "legacy":
            self._set_last_heard(node, True, time.time())
            if event.delay_ms is not None:
                metrics.NODE_CLOCK_OFFSET_S.labels(node=node).set(-event.delay_ms / 1000)
        else:
            counters = self._counters.setdefault(node, _Counters())
            metrics.NODE_MISSING.labels(node=node).set(counters.record(event.identity, time.monotonic()))
        if event.estimate is not None:
            self._record_error(event, *event.estimate)

    def remove(self, node: str) -> None:
        """Remove a node that does not belong here any more."""
        self._counters.pop(node, None)
        for metric in metrics.PER_NODE:
            metric.remove_by_labels({"node": node})

    def _set_last_heard(self, node: str, is_old: bool, unix_s: float) -> None:
        metrics.NODE_LAST_HEARD_S.labels(node=node).set(unix_s)
        heartbeat_s = OLD_HEARTBEAT_S if is_old else self._heartbeat_s
        if heartbeat_s:  # without a heartbeat, silence says nothing
            metrics.NODE_HEARTBEAT_S.labels(node=node).set(heartbeat_s)

    def _record_error(self, event: Event, estimate_t: float, estimate_h: float) -> None:
        node = event.identity.node
        error_t, error_h = abs(event.actual_t - estimate_t), abs(event.actual_h - estimate_h)
        is_live = event.kind != "backfill"
        if is_live:
            metrics.ERROR_T.observe(error_t)
            metrics.ERROR_H.observe(error_h)
            metrics.NODE_ERROR_T.labels(node=node).set(round(error_t, 4))
            metrics.NODE_ERROR_H.labels(node=node).set(round(error_h, 4))
        if event.held_ms is None:
            return
        aoii_s = event.held_ms / 1000 if is_wrong(error_t, error_h, self._beta_temp, self._beta_hum) else 0.0
        metrics.NODE_AOII_REPORTS_S.labels(node=node).observe(aoii_s)
        gauge = metrics.NODE_AOII_S.labels(node=node)
        # A backfill belongs to the report before it, and shows that the estimate was wrong for longer than that knew.
        gauge.set(aoii_s if is_live else max(aoii_s, metrics.value(gauge)))


class _Counters:
    """Which counters of a node were skipped and have not arrived since."""

    def __init__(self) -> None:
        self._epoch = -1
        self._highest = 0
        self._since_s: dict[int, float] = {}

    def record(self, identity: Identity, now_s: float) -> int:
        """Record a reading that arrived; how many are missing now."""
        if identity.epoch != self._epoch:  # the first since the start says nothing about those before it
            self._epoch, self._highest = identity.epoch, identity.counter
            self._since_s.clear()
        for counter in range(self._highest + 1, identity.counter)[: MISSING_KEPT - len(self._since_s)]:
            self._since_s[counter] = now_s
        self._highest = max(self._highest, identity.counter)
        self._since_s.pop(identity.counter, None)
        for counter in [counter for counter, since_s in self._since_s.items() if now_s - since_s > MISSING_FOR_S]:
            del self._since_s[counter]
        return len(self._since_s)
