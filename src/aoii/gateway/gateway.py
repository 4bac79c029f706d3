"""`aoii gateway`: wires serial ports, intake, outbox and broker.

A frame is read and authenticated, and a line is read (`receiver`); what each brings is judged and committed in one
transaction (`intake`). After the commit the node gets its answer and the reading is published (`publisher`); neither of
the two waits for the other. Threads: one for each port, one for the outbox file, the publisher's, the broker
connection's, and the clock's, which publishes estimates and updates gauges.
"""

import logging
import re
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

from aoii.broker.node_liveness import Vouched
from aoii.broker.node_status import Label, NodeStatus
from aoii.gateway.drivers.labels_file import LabelFile
from aoii.gateway.drivers.outbox_file import OutboxFile
from aoii.gateway.estimates import EstimatePublisher
from aoii.gateway.findings import NodeEpoch
from aoii.gateway.intake import Intake
from aoii.gateway.legacy import old_node
from aoii.gateway.legacy.weights import extract_weights
from aoii.gateway.listening import Listening
from aoii.gateway.neighbours import Neighbours
from aoii.gateway.node_labels import UNLABELLED
from aoii.gateway.node_statuses import status_of
from aoii.gateway.outbox_metrics import OutboxMetrics
from aoii.gateway.publisher import Publisher
from aoii.gateway.receiver import Receiver
from aoii.gateway.witness import SLOTS_MS
from aoii.runtime import metrics
from aoii.runtime.health_limits import COMMIT_ACK_DEADLINE_S
from aoii.runtime.station import Part, PartThread, Station, run_station
from aoii.runtime.written_bytes import WrittenBytes
from aoii.security.node_keys import KeyRing
from aoii.settings import Gateway as GatewaySettings
from aoii.settings import Settings
from aoii.settings.faults import Fault, SettingsError

log = logging.getLogger(__name__)

TICK_S = 1.0  # at most, between two updates of the gauges
PROGRESS_S = 30.0  # a thread that makes no progress for so long hangs
STOP_LIMIT_S = 9.0  # of the 10 s that a station has; the status port may take half a second more
THREADS_LIMIT_S = 1.5  # of the 9 s, for ports, clock and publisher; a broker that does not answer takes 6 s more
FULL_SHARE = 0.9  # of the outbox's limit; above it a person has to look


class Gateway(Station):
    """The station, from `start` to `stop`. The constructor opens the outbox.

    Args:
        settings: Of the whole installation.

    Raises:
        AoiiError: Weights, keys or outbox cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        own = settings.gateway
        weights = extract_weights(own.mirror_weights) if own.mirror_weights is not None else None
        self._old_nodes = {old_node.node_name(own.gateway_id, path): path for path in own.serial_ports}
        _check_thresholds(own, self._old_nodes)
        keys = self._keys = KeyRing(own.node_keys_file)
        self._labels = LabelFile(own.nodes_file)
        self._stopping = threading.Event()
        self._outbox_file = OutboxFile(own.outbox_path, own.outbox_max_mb << 20, keep_bytes=own.keep_mb << 20)
        self._outbox_metrics = OutboxMetrics(self._outbox_file, own.outbox_path.parent)
        is_published_enough = own.outbox_keep_until == "published"
        self._taker = "subscriber" if is_published_enough else "server"  # for whom readings in the outbox wait
        self.publisher = Publisher(
            settings.mqtt,
            own.gateway_id,
            self._outbox_file,
            is_published_enough,
            can_ask=self._can_ask,
            forget_forecasts=self._forget_forecasts,
        )
        self.intake = Intake(own, settings.clock, weights, self._outbox_file, self.publisher.add, self._belongs_here)
        self._gateway_id = own.gateway_id
        self._statuses: dict[str, NodeStatus] = {}  # of all nodes that belong here
        self.estimates = EstimatePublisher(
            self.intake, self.publisher.client, settings.clock, self._stopping, self._vouched_for
        )
        self.listening = Listening(own.outbox_path.with_name("liveness.json"), settings.clock, self.intake.nodes())
        for node in filter(self._belongs_here, self.listening.faulty()):
            self.intake.node_metrics.restore_fault(node)
        self._is_witness = own.rank > 0
        neighbours = Neighbours(self.intake.wanted, own.rank)
        slot_ms = SLOTS_MS[own.spreading] if own.rank else None
        learn = self.publisher.repair.learn
        self._ports = [
            Receiver(path, name, self.intake, keys, neighbours, self.listening, learn, slot_ms).port
            for name, path in self._old_nodes.items()
        ]
        self._clock_thread = PartThread("clock", self._run_clock)

    def start(self) -> None:
        """Begin; neither ports nor broker need be there."""
        self._update_metrics()
        self.publisher.start()
        self._clock_thread.start()
        for port in self._ports:
            port.start()

    def stop(self) -> None:
        """Accept no more readings, disconnect, and close the outbox; no acknowledged reading is lost.

        Threads that do not end in time, because the disk hangs, are left behind: they do not keep the process alive.
        """
        started_s = time.monotonic()

        def left_s(limit_s: float) -> float:
            return max(0.0, started_s + limit_s - time.monotonic())

        self._stopping.set()
        for port in self._ports:
            port.stop(0)  # all of them begin to stop before the first is waited for
        for port in self._ports:
            port.stop(left_s(THREADS_LIMIT_S))
        self._clock_thread.join(left_s(THREADS_LIMIT_S))
        self.listening.close()
        self.publisher.statuses.retract(self._statuses.values())
        self.publisher.stop(left_s(THREADS_LIMIT_S))
        self._outbox_file.close(left_s(STOP_LIMIT_S))
        if hanging := [part.name for part in self.parts() if part.is_running]:
            log.error("threads hang and are left behind", extra={"event": "stop_hangs", "threads": hanging})

    def parts(self) -> list[Part]:
        """Its threads, which must all make progress."""
        threads = [port.thread for port in self._ports]
        threads += [self._outbox_file.thread, self.publisher.thread, self._clock_thread]
        parts = [thread.part for thread in threads]
        parts.append(replace(self.publisher.client.thread.part, name="broker connection"))
        return [replace(part, silence_limit_s=PROGRESS_S) for part in parts]

    def readiness(self) -> Mapping[str, bool]:
        """Whether broker, outbox and at least one port can be used, and readings leave the outbox in time."""
        outbox = self._outbox_file
        return {
            "broker": self.publisher.client.is_ready,
            "outbox": outbox.is_writable and outbox.used_bytes < FULL_SHARE * outbox.limit_bytes,
            "serial": any(port.is_open for port in self._ports),
            self._taker: outbox.oldest_s() <= COMMIT_ACK_DEADLINE_S,
        }

    def _belongs_here(self, node: str) -> bool:
        return node in self._old_nodes or (node.isdecimal() and self._keys.get(int(node)) is not None)

    def _forget_forecasts(self) -> None:
        self.intake.forget_forecasts()

    def _can_ask(self, whose: NodeEpoch) -> bool:
        """Whether a node can be asked over the air for numbers of this epoch: it has a key here, and uses it.

        A node that has begun another epoch never uses the old one again, although its old key may stay in the file. A
        witness asks no node: its answers say nothing but that a reading is safe.
        """
        if self._is_witness:
            return False
        key = self._keys.get(int(whose.node)) if re.fullmatch(r"0|[1-9]\d{0,4}", whose.node, re.ASCII) else None
        if key is None or whose.epoch not in (key.epoch, key.previous.epoch if key.previous else key.epoch):
            return False
        newest = self.intake.newest_frame(whose.node)
        return newest is None or whose.epoch >= newest[0]

    def _run_clock(self) -> None:
        while not self._stopping.wait(min(self.estimates.wait_s(), TICK_S)):
            self._clock_thread.record_progress()
            self._update_metrics()
            self.estimates.publish_due()

    def _update_metrics(self) -> None:
        self._outbox_metrics.update()
        provisioned = [str(node) for node in self._keys.nodes()]
        metrics.NODE_KEYS_USABLE.set(self._keys.is_usable)
        self.intake.count_periods(provisioned)
        self._update_liveness(provisioned)
        metrics.CLOCK_SYNCED.set(self.intake.now().is_synced)

    def _update_liveness(self, provisioned: Iterable[str]) -> None:
        """Judge every node once, and say it everywhere: in the metrics, on its topic, and in the estimates to come."""
        here = {*provisioned, *self._old_nodes}  # asked once: `_belongs_here` looks at the key file for each node
        self.listening.retain(here.__contains__)
        known, at, node_metrics = self.intake.nodes(), self.intake.now(), self.intake.node_metrics
        labels = self._labels.labels()
        statuses: dict[str, NodeStatus] = {}
        for node in {*provisioned, *here.intersection(known)}:
            judgement, bound = self.listening.judge(node), self.intake.error_bound(node)
            is_faulty = node_metrics.is_sensor_faulty(node)
            said = labels.get(node, UNLABELLED)
            label = Label(said.name, said.place)
            status = status_of(node, self._gateway_id, judgement, bound, at, label, is_sensor_faulty=is_faulty)
            statuses[node] = status
            node_metrics.record_status(status)
        for node in self._statuses.keys() - statuses.keys():
            node_metrics.remove(node)
        self._statuses = statuses
        self.publisher.statuses.publish_due(statuses, known)
        self.listening.save_due()

    def _vouched_for(self, node: str) -> Vouched:
        return self._statuses[node].vouched if node in self._statuses else Vouched()


def _check_thresholds(own: GatewaySettings, old_nodes: Iterable[str]) -> None:
    """Compare the names in OLD_NODE_THRESHOLDS with the ports; those of other gateways may stand there too.

    Raises:
        SettingsError: One of them has this gateway's name, and no port.
    """
    prefix = f"{own.gateway_id}/"
    for one in own.old_thresholds:
        if one.node.startswith(prefix) and one.node not in old_nodes:
            remedy = f"use one of {', '.join(old_nodes)}, or correct SERIAL_PORT"
            raise SettingsError([Fault("", "OLD_NODE_THRESHOLDS", f"names {one.node}, which has no port", remedy)])


def run(settings: Settings) -> int:
    """Run the gateway until SIGTERM or SIGINT, and return its exit code.

    Raises:
        AoiiError: It cannot start.
    """
    written = WrittenBytes(settings.data_dir, settings.write_budget_mb)
    return run_station("gateway", settings.gateway.status_port, lambda: Gateway(settings), meter=written.update)
