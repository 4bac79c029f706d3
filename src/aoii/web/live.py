"""The live view, wired: database, broker and status ports in; fleet, summaries and pipeline health out.

The work hardly grows with the number of open pages: rows are read once (database_poller.py), and each page is sent what
is new to it (stream.py). The gateway's estimates, and what it says of each node, are in no table and come from the
broker; QoS 0 is enough for them.
While the broker or the database is away, the other goes on, and the page says what is missing.
"""

import contextlib
import secrets
import threading
import time
from collections.abc import Iterator

from aoii.broker.client import Client, Message, Subscription
from aoii.broker.known_statuses import KnownStatuses
from aoii.broker.messages import READINGS_TOPIC, Estimate, decode_message, decode_qos
from aoii.broker.newest_estimates import NewestEstimates
from aoii.broker.node_liveness import Vouched
from aoii.broker.node_status import EVERY_NODE, Label, is_topic
from aoii.core.errors import ProtocolError
from aoii.runtime import certificate_expiry, metrics
from aoii.runtime.station import Part
from aoii.settings import Settings
from aoii.web import pipeline_health
from aoii.web.database_poller import DatabasePoller
from aoii.web.fleet_settings import FleetSettings
from aoii.web.ledger_reader import LedgerReader
from aoii.web.node_health import node_health
from aoii.web.shared_fleet import SharedFleet
from aoii.web.source import Source
from aoii.web.station_poller import StationPoller
from aoii.web.summary import NodeHealth

SPANS_S = (3600, 21600, 86400)  # spans that a page may follow live; longer ones are read from the database (history.py)
HEALTH_MAX_AGE_S = 1.0  # of the health of all nodes, which every summary asks for
POLLER_STOP_S = 2.0  # a poller that waits for a frozen database is left behind


class Live:
    """The live view and what feeds it.

    Attributes:
        settings: The settings that all nodes share.
        source: The database, as the page reads it.
        ledger: What became of every number of every node, from the same database.
        is_simulated: Whether event time comes from a simulated clock.
        now_ms: Returns the time on the nodes' wall clock, Unix ms.
        shared: The fleet and its summaries.
        stopping: Set when the streams of events have to end.
        loop_progress_s: When the event loop that serves the page last made progress, monotonic seconds.
    """

    def __init__(self, settings: Settings) -> None:
        own, clock = settings.gateway, settings.clock
        self.settings = FleetSettings(
            own.beta_temp, own.beta_hum, own.sample_period_s, own.heartbeat_s, clock.speed, own.tau,
            own.old_zone, own.own_thresholds,
        )  # fmt: skip
        self.source = Source(settings.database)
        self.ledger = LedgerReader(self.source, settings.server.dead_letter_path)
        self.is_simulated = clock.start_unix_s is not None
        self.now_ms = clock.unix_ms
        self.stopping = threading.Event()
        self.loop_progress_s = time.monotonic()
        self.shared = SharedFleet(
            self.settings, settings.web.nodes, self.now_ms, self.node_health, self.vouched_for, self.label_of
        )
        self._newest = NewestEstimates()
        self._statuses = KnownStatuses(clock.speed)
        self._statuses_lock = threading.Lock()
        self._health: tuple[float, dict[str, NodeHealth]] | None = None
        self._outbox = own.outbox_path
        self._poller = DatabasePoller(self.source, self.shared, self.stopping, self._outbox)
        self._stations = StationPoller(settings)
        self._broker = Client(
            settings.mqtt,
            f"aoii-web-{secrets.token_hex(4)}",  # random: if two pages had one name, the broker would disconnect one
            subscriptions=[
                Subscription(READINGS_TOPIC, 0),
                Subscription(EVERY_NODE, 0, wants_kept=True, may_be_refused=True),
            ],
            on_message=self._add_message,
            on_refusal=metrics.count_broker_refusal,
        )
        certificate_expiry.register("broker", settings.mqtt.tls, lambda: self._broker.certificate_expires)
        certificate_expiry.register("database", settings.database.tls)

    @property
    def broker_up(self) -> bool:
        """Whether the broker is connected and has granted the subscription, so that estimates can arrive."""
        return self._broker.is_ready

    def parts(self) -> Iterator[Part]:
        """The threads that must make progress; those that poll stations need not."""
        yield self._poller.part
        yield self._broker.thread.part

    def readiness(self) -> dict[str, bool]:
        """Each thing that the page needs to be complete, and whether it is there."""
        return {"broker": self.broker_up, "database": self._poller.has_begun and self.source.away is None}

    def start(self) -> None:
        """Start following database, broker and stations; none of them need be there."""
        self._poller.start()
        self._broker.start()
        self._stations.start()

    def request_stop(self) -> None:
        """Tell streams, pollers and waiting queries to end; return at once."""
        self.stopping.set()
        self._stations.request_stop()
        self.source.stop()

    def stop(self) -> None:
        """Stop following; a database that does not answer is not waited for."""
        self.request_stop()
        self._broker.stop()
        self._stations.stop()
        self._poller.join(POLLER_STOP_S)
        self.source.close()

    def node_health(self) -> dict[str, NodeHealth]:
        """What the gateways report of their nodes, by node; a gateway that does not answer reports nothing."""
        if self._health is None or time.monotonic() - self._health[0] > HEALTH_MAX_AGE_S:
            self._health = (time.monotonic(), node_health(self._stations.reports()))
        return self._health[1]

    def vouched_for(self, node: str) -> Vouched:
        """What the gateways say of a node now; one that has not been heard for long says nothing."""
        with self._statuses_lock:
            return self._statuses.of(node, time.monotonic())

    def label_of(self, node: str) -> Label:
        """Name and place of a node, as its gateways say them."""
        with self._statuses_lock:
            return self._statuses.label(node)

    def pipeline(self) -> pipeline_health.PipelineHealth:
        """The health of every hop."""
        broker_away = None if self.broker_up else str(self._broker.refusal or self._broker.trouble or "")
        shares_disk = self._poller.shares_disk is True and self._has_outbox()
        return pipeline_health.assess(self._stations.reports(), self.source.away, broker_away, shares_disk=shares_disk)

    def _has_outbox(self) -> bool:
        """Whether a gateway has its outbox on this machine, as far as this user may see."""
        with contextlib.suppress(OSError):
            return self._outbox.exists()
        return False

    def _add_message(self, message: Message) -> None:
        """Add a message from the broker; runs in the network thread and must not raise."""
        if is_topic(message.topic):
            self._add_status(message)
            return
        if message.is_kept:
            return  # retained by the broker: no news
        try:
            decoded = decode_message(message.payload)
        except ProtocolError:
            return  # the server counts such a message and dead-letters it
        if isinstance(decoded, Estimate) and not self._newest.is_newest(decoded, time.monotonic()):
            return  # another gateway knows a newer reading of the node
        qos = decode_qos(message.payload)
        with self.shared.lock:
            self.shared.fleet.add_message(decoded, qos)

    def _add_status(self, message: Message) -> None:
        """Add what a gateway says of a node."""
        with self._statuses_lock, contextlib.suppress(ProtocolError):
            self._statuses.add(
                message.topic,
                message.payload,
                is_kept=message.is_kept,
                now_s=time.monotonic(),
                unix_ms=self.now_ms(),
            )
