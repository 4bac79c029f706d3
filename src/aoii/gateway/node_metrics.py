"""Node metrics: what a gateway reports of each node.

Every reading is recorded after its commit, in the order of arrival. The age of incorrect information is the lower bound
that a gateway can know (docs/explanation/aoii.md), because readings that never arrived are not in it. Labels are names
of authenticated nodes and of old nodes, one for each port, so their number is bounded.
"""

import logging
import time
from collections.abc import Iterable

from aoii.broker.messages import Identity, is_wrong
from aoii.broker.node_liveness import STATES
from aoii.broker.node_status import Label, NodeStatus
from aoii.core.frames import BACKFILL, LOW_BATTERY, SENSOR_FAULT, Uplink
from aoii.gateway.readings import AcceptedReading
from aoii.gateway.suspicion import RepeatedNumbers, sensor_fault
from aoii.gateway.waiting_numbers import WaitingNumbers
from aoii.runtime import metrics
from aoii.settings import Gateway as Settings

log = logging.getLogger(__name__)

OLD_HEARTBEAT_S = 600  # fixed in the old firmware
MISSING_KEPT = 1000  # missing counters remembered for each node; more are not counted
MISSING_FOR_S = 86_400  # after a day a reading that has not arrived is not counted as missing any more


class NodeMetrics:
    """The metrics of the nodes of one gateway.

    Args:
        settings: The gateway's: thresholds and heartbeat.
    """

    def __init__(self, settings: Settings) -> None:
        self._thresholds = settings.beta_temp, settings.beta_hum
        self._own_thresholds = settings.own_thresholds
        self._heartbeat_s = settings.heartbeat_s
        self._sample_period_s = settings.sample_period_s
        self._counters: dict[str, _MissingCounters] = {}
        self._waiting: dict[str, WaitingNumbers] = {}
        self._expected: set[str] = set()  # nodes whose counters are served
        self._restored: set[str] = set()  # nodes of an earlier run
        self._counted_s: dict[str, float] = {}  # by node: up to when its sample periods are counted
        self._liveness: dict[str, str] = {}
        self._labels: dict[str, Label] = {}  # that are served
        self._repeated = RepeatedNumbers()
        self._erased: set[str] = set()  # nodes of which it was said that their flash was erased
        self._sensor_faults: set[str] = set()  # nodes whose last frame says so
        self._faulty: set[str] = set()  # nodes of which it was said that their readings look like a sensor's fault
        metrics.THRESHOLD_T.set(settings.beta_temp)
        metrics.THRESHOLD_H.set(settings.beta_hum)

    def thresholds(self, node: str) -> tuple[float, float]:
        """The thresholds of a node, °C and %RH."""
        return self._own_thresholds.get(node, self._thresholds)

    def add_known(self, node: str, is_old: bool, last_unix_ms: int | None) -> None:
        """Add a node that the gateway knows from an earlier run.

        Args:
            node: Its name.
            is_old: Whether it has the old firmware.
            last_unix_ms: When the sample of its last reading was taken; None if unknown: then its silence begins now.
        """
        self._restored.add(node)
        self.expect(node)
        self._set_last_heard(node, is_old, time.time() if last_unix_ms is None else last_unix_ms / 1000)

    def expect(self, node: str) -> None:
        """Serve the counters of a node that may come, at 0 before its first reading."""
        if node not in self._expected:
            self._expected.add(node)
            for metric in (metrics.NODE_READINGS, metrics.NODE_AOII_REPORTS_S, metrics.NODE_PERIODS):
                metrics.begin(metric, node)

    def count_periods(self, nodes: Iterable[str], elapsed_s: float) -> None:
        """Count the sample periods that have passed for each node; called from one thread.

        A periodic node would have sent at once, so a node that is new begins with a whole period.

        Args:
            nodes: Every node that has been heard, whether it is silent now or not.
            elapsed_s: The elapsed clock of the gateway, s; in a demo it runs as fast as the nodes do.
        """
        for node in nodes:
            first_s = elapsed_s if node in self._restored else elapsed_s - self._sample_period_s
            counted_s = self._counted_s.get(node, first_s)
            metrics.NODE_PERIODS.labels(node=node).inc((elapsed_s - counted_s) / self._sample_period_s)
            self._counted_s[node] = elapsed_s

    def record_frame(self, uplink: Uplink, rssi_dbm: int, snr_db: int) -> None:
        """Record an accepted frame of one of our own nodes, also a repeated one."""
        node = str(uplink.node)
        self._repeated.forget(node)
        self._erased.discard(node)
        metrics.NODE_FLASH_ERASED.labels(node=node).set(0)
        self._set_last_heard(node, False, time.time())
        metrics.NODE_RSSI.labels(node=node).set(rssi_dbm)
        metrics.NODE_SNR.labels(node=node).set(snr_db)
        waiting = self._waiting.setdefault(node, WaitingNumbers())
        metrics.NODE_WAITING.labels(node=node).set(waiting.record(uplink, time.monotonic()))
        if uplink.flags & BACKFILL:  # its flags describe the node in the past
            return
        if uplink.battery:
            volts = 1 + uplink.battery / 50  # steps of 20 mV: docs/reference/wire-format.md
            metrics.NODE_BATTERY_V.labels(node=node).set(round(volts, 2))
        metrics.NODE_BATTERY_LOW.labels(node=node).set(bool(uplink.flags & LOW_BATTERY))
        is_reported = bool(uplink.flags & SENSOR_FAULT)
        self._set_sensor_fault(node, uplink.temperature_c / 100, uplink.humidity_c / 100, is_reported)

    def record_repeated_number(self, node: str, frame: int | None) -> None:
        """Record a frame that was rejected because its number, or that of its reading, was used before in its epoch.

        Args:
            node: The node's name.
            frame: The frame's number; None if that was new and the reading's was not, which only happens to a node that
                has begun again.
        """
        if frame is not None and not self._repeated.record(node, frame):
            return
        metrics.NODE_FLASH_ERASED.labels(node=node).set(1)
        if node not in self._erased:
            self._erased.add(node)
            log.error(
                "node repeats the numbers of its epoch: its flash was erased, or two boards have its key; provision it "
                "again with aoii node replace",
                extra={"event": "flash_erased", "node": node},
            )

    def record_reading(self, reading: AcceptedReading) -> None:
        """Record a reading that was accepted for the first time."""
        node = reading.identity.node
        metrics.NODE_READINGS.labels(node=node, kind=reading.kind).inc()
        if reading.kind == "legacy":
            self._set_last_heard(node, True, time.time())
            self._set_sensor_fault(node, reading.actual_t, reading.actual_h, False)
            if reading.delay_ms is not None:
                metrics.NODE_CLOCK_OFFSET_S.labels(node=node).set(-reading.delay_ms / 1000)
        else:
            counters = self._counters.setdefault(node, _MissingCounters())
            metrics.NODE_MISSING.labels(node=node).set(counters.record(reading.identity, time.monotonic()))
        if reading.estimate is not None:
            self._record_error(reading, *reading.estimate)

    def is_sensor_faulty(self, node: str) -> bool:
        """Whether the node's last frame reported a fault of its sensor, or looked like one."""
        return node in self._sensor_faults

    def restore_fault(self, node: str) -> None:
        """A node of an earlier run, whose sensor did not measure when it was heard last."""
        self._set_faulty(node, True)

    def record_status(self, status: NodeStatus) -> None:
        """Record what the gateway says of a node."""
        node, state = status.node, status.liveness
        if self._labels.get(node) != status.label:
            self._labels[node] = status.label
            metrics.NODE_INFO.labels(node=node).info(
                {"name": status.label.name or "", "place": status.label.place or ""}
            )
        if status.silence_s is not None and status.deadline_s is not None:
            metrics.NODE_SILENCE_S.labels(node=node).set(status.silence_s)
            metrics.NODE_DEADLINE_S.labels(node=node).set(status.deadline_s)
        if self._liveness.get(node) != state:
            self._liveness[node] = state
            for each in STATES:
                metrics.NODE_LIVENESS.labels(node=node, state=each).set(each == state)

    def remove(self, node: str) -> None:
        """Remove a node that does not belong here any more."""
        self._counters.pop(node, None)
        self._waiting.pop(node, None)
        self._counted_s.pop(node, None)
        self._liveness.pop(node, None)
        self._labels.pop(node, None)
        self._expected.discard(node)
        self._repeated.forget(node)
        self._erased.discard(node)
        self._faulty.discard(node)
        self._sensor_faults.discard(node)
        for metric in metrics.PER_NODE:
            metric.remove_by_labels({"node": node})

    def _set_last_heard(self, node: str, is_old: bool, unix_s: float) -> None:
        metrics.NODE_LAST_HEARD_S.labels(node=node).set(unix_s)
        beta_temp, beta_hum = self.thresholds(node)
        metrics.NODE_THRESHOLD_T.labels(node=node).set(beta_temp)
        metrics.NODE_THRESHOLD_H.labels(node=node).set(beta_hum)
        heartbeat_s = OLD_HEARTBEAT_S if is_old else self._heartbeat_s
        if heartbeat_s:  # without a heartbeat, silence says nothing
            metrics.NODE_HEARTBEAT_S.labels(node=node).set(heartbeat_s)

    def _set_sensor_fault(self, node: str, temperature: float, humidity: float, is_reported: bool) -> None:
        """Set the gauge by what the node reports of its sensor and what its reading, °C and %RH, looks like."""
        reason = sensor_fault(temperature, humidity)
        self._set_faulty(node, is_reported or reason is not None)
        if reason is None:
            self._faulty.discard(node)
        elif node not in self._faulty:
            self._faulty.add(node)
            fields = {"event": "sensor_suspected", "node": node, "actual_t": temperature, "actual_h": humidity}
            log.warning("a reading looks like a fault of the sensor; it is stored", extra=fields | {"reason": reason})

    def _set_faulty(self, node: str, is_faulty: bool) -> None:
        (self._sensor_faults.add if is_faulty else self._sensor_faults.discard)(node)
        metrics.NODE_SENSOR_FAULT.labels(node=node).set(is_faulty)

    def _record_error(self, reading: AcceptedReading, estimate_t: float, estimate_h: float) -> None:
        node = reading.identity.node
        error_t, error_h = abs(reading.actual_t - estimate_t), abs(reading.actual_h - estimate_h)
        is_live = reading.kind != "backfill"
        if is_live:
            metrics.ERROR_T.observe(error_t)
            metrics.ERROR_H.observe(error_h)
            metrics.NODE_ERROR_T.labels(node=node).set(round(error_t, 4))
            metrics.NODE_ERROR_H.labels(node=node).set(round(error_h, 4))
        if reading.held_ms is None:
            return
        aoii_s = reading.held_ms / 1000 if is_wrong(error_t, error_h, *self.thresholds(node)) else 0.0
        metrics.NODE_AOII_REPORTS_S.labels(node=node).observe(aoii_s)
        gauge = metrics.NODE_AOII_S.labels(node=node)
        # A backfill is older than the report that set the gauge, and may show that the estimate was wrong for longer.
        gauge.set(aoii_s if is_live else max(aoii_s, metrics.value(gauge)))


class _MissingCounters:
    """Which counters of a node were skipped and have not arrived since."""

    def __init__(self) -> None:
        self._epoch = -1
        self._highest = 0
        self._since_s: dict[int, float] = {}  # by missing counter: when it was noticed

    def record(self, identity: Identity, now_s: float) -> int:
        """Record a reading that arrived; return how many are missing now."""
        # The first reading since the start, or of an epoch, says nothing about those before it.
        if identity.epoch != self._epoch:
            self._epoch, self._highest = identity.epoch, identity.counter
            self._since_s.clear()
        for counter in range(self._highest + 1, identity.counter)[: MISSING_KEPT - len(self._since_s)]:
            self._since_s[counter] = now_s
        self._highest = max(self._highest, identity.counter)
        self._since_s.pop(identity.counter, None)
        for counter in [counter for counter, since_s in self._since_s.items() if now_s - since_s > MISSING_FOR_S]:
            del self._since_s[counter]
        return len(self._since_s)
