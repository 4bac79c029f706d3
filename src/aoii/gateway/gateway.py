"""`aoii gateway`: wires serial ports, ledger, outbox and broker, and keeps the clock of the estimates.

Threads: one for each port (reads, authenticates, answers), the store's (judges and commits), the publisher's, the
broker connection's, and the clock's, which publishes an estimate of every known node each minute. A frame or a line is
read, authenticated, judged and committed in one transaction, answered, and published, in this order. The answer waits
for the commit, and nothing else waits for anything.
"""

import logging
import threading
import time
from collections.abc import Iterator, Mapping

from aoii.broker.messages import READINGS_TOPIC, encode_estimate
from aoii.gateway.drivers.outbox_db import Store
from aoii.gateway.intake import Ledger
from aoii.gateway.legacy import old_node, weights
from aoii.gateway.publisher import Publisher
from aoii.gateway.receiver import Receiver
from aoii.runtime import metrics
from aoii.runtime.station import Part, Station, run_station
from aoii.security.node_keys import KeyRing
from aoii.settings import Settings

log = logging.getLogger(__name__)

ESTIMATE_EVERY_MS = 60_000  # of the nodes' world, as in the reference system
RECONNECT_WAIT_S = 2.0  # a connection to a broker that is up takes 0.05 s
TICK_S = 1.0
PROGRESS_S = 30.0  # a thread that did not turn for so long hangs
STOP_LIMIT_S = 9.0  # of the 10 s that a station has; the status port may take half a second more
THREADS_LIMIT_S = 1.5  # of these, for ports, clock and publisher; a broker that does not answer takes 6 s
FULL_SHARE = 0.9  # of the outbox; above, somebody has to look


class Gateway(Station):
    """The station, from `start` to `stop`.

    Raises:
        AoiiError: Weights, keys or outbox cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        own = settings.gateway
        self._clock = settings.clock
        self._outbox_folder = own.outbox_path.parent
        model = weights.load(own.mirror_weights) if own.mirror_weights is not None else None
        keys = self._keys = KeyRing(own.node_keys_file)
        self._old_nodes = {old_node.node_name(own.gateway_id, path): path for path in own.serial_ports}
        self._store = Store(own.outbox_path, own.outbox_max_mb << 20)
        self.publisher = Publisher(settings.mqtt, own.gateway_id, self._store)
        self.ledger = Ledger(own, settings.clock, model, self._store, self.publisher.accepted, self._is_ours)
        self._ports = [Receiver(path, name, self.ledger, keys).port for name, path in self._old_nodes.items()]
        self._stopping = threading.Event()
        self._clock_thread = threading.Thread(target=self._run_clock, name="clock", daemon=True)
        self._last_progress_s = time.monotonic()
        self._recoveries_told = self._corrupt_told = self._states_told = 0

    def start(self) -> None:
        """Begin; neither ports nor broker need be there."""
        self._observe()
        self.publisher.start()
        self._clock_thread.start()
        for port in self._ports:
            port.start()

    def stop(self) -> None:
        """Take no more readings, disconnect, and close the outbox; nothing that was answered is lost.

        Threads that do not end in time, because the disk hangs, are left behind: they keep no process alive.
        """
        started_s = time.monotonic()

        def left_s(limit_s: float) -> float:
            return max(0.0, started_s + limit_s - time.monotonic())

        self._stopping.set()
        for port in self._ports:
            port.stop(0)  # all of them hear it before the first is waited for
        for port in self._ports:
            port.stop(left_s(THREADS_LIMIT_S))
        if self._clock_thread.is_alive():
            self._clock_thread.join(left_s(THREADS_LIMIT_S))
        self.publisher.stop(left_s(THREADS_LIMIT_S))
        self._store.close(left_s(STOP_LIMIT_S))
        if hanging := [part.name for part in self.parts() if part.is_running]:
            log.error("threads hang and are left behind", extra={"event": "stop_hangs", "threads": hanging})

    def parts(self) -> Iterator[Part]:
        """Its threads."""
        client = self.publisher.client
        for port in self._ports:
            yield Part(f"thread of {port.path}", port.is_alive, port.last_progress_s, PROGRESS_S)
        yield Part("outbox", self._store.is_alive, self._store.last_progress_s, PROGRESS_S)
        yield Part("publisher", self.publisher.is_alive, self.publisher.last_progress_s, PROGRESS_S)
        yield Part("clock", self._clock_thread.is_alive(), self._last_progress_s, PROGRESS_S)
        yield Part("broker connection", client.is_alive, client.last_progress_s, PROGRESS_S)

    def is_ready(self) -> Mapping[str, bool]:
        """Whether everything is there that readings need on their way."""
        stats = self._store.stats
        return {
            "broker": self.publisher.client.is_ready,
            "outbox": stats.is_writable and stats.used_bytes < FULL_SHARE * stats.limit_bytes,
            "serial": any(port.is_open for port in self._ports),
        }

    def _is_ours(self, node: str) -> bool:
        return node in self._old_nodes or (node.isdecimal() and self._keys.get(int(node)) is not None)

    # The clock's thread.

    def _run_clock(self) -> None:
        due_ms = self._clock.elapsed_ms() + ESTIMATE_EVERY_MS
        observed_s = 0.0
        while True:
            wait_s = self._clock.real_s((due_ms - self._clock.elapsed_ms()) / 1000)
            if self._stopping.wait(min(max(wait_s, 0.0), TICK_S)):
                return
            self._last_progress_s = time.monotonic()
            if self._last_progress_s - observed_s >= TICK_S / 2:
                observed_s = self._last_progress_s
                self._observe()
            late_ms = self._clock.elapsed_ms() - due_ms
            if late_ms >= 0:
                due_ms += ESTIMATE_EVERY_MS * (late_ms // ESTIMATE_EVERY_MS + 1)  # a missed minute is not made up for
                self._publish_estimates()

    def _publish_estimates(self) -> None:
        payloads = [encode_estimate(estimate) for estimate in self.ledger.estimates()]
        for number, payload in enumerate(payloads):
            if not self._mqtt_publish(payload):  # the others would wait for the same connection
                metrics.PUBLISHES.labels(event="EST", qos="0", result="failed", reason="").inc(
                    len(payloads) - number - 1
                )
                return

    def _mqtt_publish(self, payload: bytes) -> bool:
        """Publish at QoS 0, once more after a reconnect when that fails; whether the connection took it."""
        client = self.publisher.client
        is_taken = client.publish(READINGS_TOPIC, payload, 0)
        if not is_taken and self._reconnected():
            is_taken = client.publish(READINGS_TOPIC, payload, 0)
        if not is_taken:
            log.warning("estimate not published", extra={"event": "publish_failed"})
        metrics.PUBLISHES.labels(event="EST", qos="0", result="sent" if is_taken else "failed", reason="").inc()
        return is_taken

    def _reconnected(self) -> bool:
        """Have a connection that is not the one that has just failed; False when none comes in time."""
        client = self.publisher.client
        failed = client.generation if client.is_ready else 0
        client.reconnect()
        deadline_s = time.monotonic() + RECONNECT_WAIT_S
        while not (client.is_ready and client.generation != failed):
            if time.monotonic() > deadline_s or self._stopping.wait(0.02):
                return False
        return True

    def _observe(self) -> None:
        """Bring the gauges up to date, and say what became of a damaged file."""
        stats = self._store.stats
        metrics.OUTBOX_EVENTS.set(stats.events)
        metrics.OUTBOX_BYTES.set(stats.used_bytes)
        metrics.OUTBOX_LIMIT_BYTES.set(stats.limit_bytes)
        metrics.record_disk(self._outbox_folder)
        metrics.CLOCK_SYNCED.set(self.ledger.now().is_synced)
        metrics.OUTBOX_OLDEST_S.set(0 if stats.oldest_ms is None else max(0, time.time() - stats.oldest_ms / 1000))
        corrupt = self._store.corrupt_found - self._corrupt_told
        if corrupt:
            self._corrupt_told += corrupt
            metrics.OUTBOX_DAMAGED.labels(outcome="corrupt").inc(corrupt)
            log.error("readings failed their checksum", extra={"event": "outbox_corrupt", "readings": corrupt})
        states = self._store.states_lost - self._states_told
        if states:
            self._states_told += states
            metrics.OUTBOX_STATES_LOST.inc(states)
            log.warning("states of nodes failed their checksum", extra={"event": "states_lost", "nodes": states})
        for recovery in self._store.recoveries[self._recoveries_told :]:
            self._recoveries_told += 1
            fields = {"salvaged": recovery.salvaged, "corrupt": recovery.corrupt, "lost": recovery.lost}
            for outcome, readings in fields.items():
                metrics.OUTBOX_DAMAGED.labels(outcome=outcome).inc(readings)
            metrics.OUTBOX_STATES_LOST.inc(recovery.states_lost)
            log.error(
                "outbox file was damaged, and a new one begun",
                extra=fields
                | {
                    "event": "outbox_damaged",
                    "is_lost_exact": recovery.is_lost_exact,
                    "forecasts_lost": recovery.states_lost,
                    "kept_as": str(recovery.kept_as),
                },
            )


def run(settings: Settings) -> int:
    """Run the gateway until SIGTERM or SIGINT; its exit code.

    Raises:
        AoiiError: It cannot start.
    """
    return run_station("gateway", settings.gateway.status_port, lambda: Gateway(settings))
