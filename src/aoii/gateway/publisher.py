"""From the outbox to the broker: publishes due readings, and removes those that the server has acknowledged.

One thread publishes. The callbacks of the broker's connection and of the outbox file only hand over and wake that
thread. The lock around the policy (`outbox`) is held for one step of the policy. The broker's own acknowledgement
removes nothing: only the server's commit acknowledgement does, and not if it names another payload than ours. With
OUTBOX_KEEP_UNTIL=published, for consumers that acknowledge nothing, the broker's is enough if somebody subscribes.
"""

import logging
import queue
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from aoii.broker.client import Client, Message, Published, Subscription
from aoii.broker.messages import READINGS_TOPIC, Committed, Identity, ack_topic, decode_commit_ack
from aoii.broker.packet_size import PacketTooLargeError
from aoii.broker.reconnection import TOO_LARGE
from aoii.broker.repair_messages import ask_topic
from aoii.core.errors import AoiiError, ProtocolError
from aoii.gateway.drivers.outbox_file import OutboxFile
from aoii.gateway.drivers.outbox_transaction import Acknowledgement, Transaction
from aoii.gateway.findings import NodeEpoch
from aoii.gateway.former_names import FormerNames
from aoii.gateway.missing_acks import NO_SUBSCRIBER, SUCCESS, MissingAcks
from aoii.gateway.outbox import Fetched, Outbox
from aoii.gateway.readings import Item
from aoii.gateway.repair_work import REPORT, RepairWork
from aoii.gateway.status_publisher import STATUS, StatusPublisher
from aoii.runtime import certificate_expiry, failpoints, metrics
from aoii.runtime.station import PartThread
from aoii.settings import Mqtt

log = logging.getLogger(__name__)

SESSION_EXPIRY_S = 7 * 86400  # commit acknowledgements wait at the broker for a gateway that is away
ACKS_LIMIT = 200  # messages that wait; one more is dropped, and its readings are published again
DELETE_LIMIT = 1000  # about so many readings in one request: 10 ms, for which the reply to an old node can wait
IDLE_S = 1.0  # longest wait of the thread, also before a fetch that failed is tried again


class Publisher:
    """The gateway's connection to the broker, and the thread that empties the outbox.

    Args:
        mqtt: The broker.
        gateway_id: Names the session and the topic of the commit acknowledgements.
        outbox_file: Where the readings are.
        is_published_enough: Whether a reading may leave the outbox when the broker has it and somebody subscribes.
        can_ask: Whether a node can be asked over the air, in this epoch.
        forget_forecasts: Called in the file's thread when forecasts must not be used any more.
    """

    def __init__(
        self,
        mqtt: Mqtt,
        gateway_id: str,
        outbox_file: OutboxFile,
        is_published_enough: bool = False,
        *,
        can_ask: Callable[[NodeEpoch], bool],
        forget_forecasts: Callable[[], None],
    ) -> None:
        self._outbox_file = outbox_file
        self._outbox = Outbox(random.random)
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._is_fetch_failing = False
        self._is_mismatch_reported = False
        self._is_published_enough = is_published_enough
        self._former = FormerNames(mqtt, gateway_id, self._on_message)
        self._missing_acks = MissingAcks(self._former)
        self._ended: queue.SimpleQueue[Published] = queue.SimpleQueue()
        self._acks: queue.Queue[bytes] = queue.Queue(ACKS_LIMIT)
        self._ask_topic = ask_topic(gateway_id)
        self.thread = PartThread("publisher", self._run)
        self.client = Client(
            mqtt,
            f"aoii-gateway-{gateway_id}",
            subscriptions=[
                Subscription(ack_topic(gateway_id), 1),
                Subscription(self._ask_topic, 1, may_be_refused=True),
            ],
            on_message=self._on_message,
            on_published=self._on_published,
            on_state=self._on_state,
            on_refusal=metrics.count_broker_refusal,
            session_expiry_s=SESSION_EXPIRY_S,
            unique_id="give each gateway a GATEWAY_ID of its own, or stop the other process with this one",
        )
        self.statuses = StatusPublisher(gateway_id, self.client)
        self.repair = RepairWork(
            gateway_id,
            outbox_file,
            can_ask=can_ask,
            publish=self.client.publish,
            on_given_back=self._expect_more,
            forget_forecasts=forget_forecasts,
            wake=self._wake.set,
        )
        metrics.BROKER_SHORT_CONNECTIONS.set_function(lambda: self.client.short_connections)
        certificate_expiry.register("broker", mqtt.tls, lambda: self.client.certificate_expires)

    def start(self) -> None:
        """Begin; the broker need not be up."""
        self.thread.start()
        self.client.start()

    def stop(self, limit_s: float) -> None:
        """Stop publishing and disconnect; in-flight readings are published again after the next start.

        Args:
            limit_s: After so long the thread is left behind, because the outbox file hangs. Disconnecting may take
                the client's STOP_S more.
        """
        self._stopping.set()
        self._wake.set()
        self.thread.join(limit_s)
        self._former.stop()
        self.client.stop()

    def add(self, item: Item) -> None:
        """Add a reading that was committed to the file just now; never waits."""
        with self._lock:
            self._outbox.add(item)
        self._wake.set()

    # The connection's thread.

    def _on_message(self, message: Message) -> None:
        if message.topic == self._ask_topic:
            self.repair.receive(message)
            return
        if message.is_kept:  # no news: it may name a reading that only an earlier database had
            metrics.COMMIT_ACKS.labels(status="kept").inc()
            fields = {"event": "ack_kept", "topic": message.topic}
            log.info("message ignored that the broker has retained; mosquitto_pub -r -n removes it", extra=fields)
            return
        try:
            self._acks.put_nowait(message.payload)
        except queue.Full:
            metrics.COMMIT_ACKS.labels(status="dropped").inc()
        self._wake.set()

    def _on_published(self, published: Published) -> None:
        if published.token is REPORT:
            self.repair.record_end(published)
            return
        if published.token is STATUS:
            self.statuses.record_end(published)
            return
        failpoints.reach("before_puback")
        result = "sent" if published.accepted else "failed" if published.reason is None else "refused"
        metrics.PUBLISHES.labels(
            event="RX", qos="1", result=result, reason="" if published.reason is None else str(published.reason)
        ).inc()
        if published.reason is not None:
            metrics.PUBLISH_REFUSED.set(not published.accepted)
        self._missing_acks.record_end(published)
        if published.reason != SUCCESS or self._is_published_enough:  # else there is nothing to do, at each reading
            self._ended.put(published)
            self._wake.set()
        failpoints.reach("after_puback")

    def _on_state(self, is_connected: bool) -> None:
        with self._lock:
            if is_connected:
                self._outbox.connected(_now_ms())
            else:
                self._outbox.disconnected()
        self.repair.record_state(is_connected)
        metrics.BROKER_UP.set(is_connected)
        if not is_connected:
            metrics.RECONNECTS.inc()
        self._wake.set()

    # The publisher's own thread.

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.thread.record_progress()
            self._take_acks()
            self._take_ended()
            self._former.update(self._outbox_file.oldest_seq)
            self._report_silence()
            self.repair.go_on()
            with self._lock:
                items = self._outbox.take_due(_now_ms())
                fetch = self._outbox.next_fetch()
                deadline_ms = self._outbox.deadline_ms()
            if fetch is not None:
                self._outbox_file.submit(partial(Transaction.fetch, fetch=fetch), self._on_fetched)
            for item in items:
                self._publish(item)
            wait_s = IDLE_S if deadline_ms is None else min(IDLE_S, max(0, deadline_ms - _now_ms()) / 1000)
            self._wake.wait(wait_s)
            self._wake.clear()

    def _publish(self, item: Item) -> None:
        qos = 1 if self._is_published_enough else item.qos
        failpoints.reach("before_publish")
        try:
            is_taken = self.client.publish(READINGS_TOPIC, item.payload, qos, item.identity)
        except PacketTooLargeError:  # logged once by the client
            metrics.PUBLISHES.labels(event="RX", qos=str(qos), result="refused", reason=str(TOO_LARGE)).inc()
            self._hold(item.identity)
            return
        failpoints.reach("after_publish")
        if not is_taken:  # the connection ended; the deadline brings the reading back
            metrics.PUBLISHES.labels(event="RX", qos=str(qos), result="failed", reason="").inc()
        elif qos == 0:
            metrics.PUBLISHES.labels(event="RX", qos="0", result="sent", reason="").inc()

    def _hold(self, identity: Identity) -> None:
        with self._lock:
            self._outbox.hold(identity, _now_ms())

    def _take_ended(self) -> None:
        """Act on what the broker answered: hold what is too large, and remove what it has if that is enough."""
        published: list[Identity] = []
        while len(published) < DELETE_LIMIT and not self._ended.empty():
            end = self._ended.get()
            if end.reason is None or not isinstance(end.token, Identity):
                continue
            if end.reason == TOO_LARGE:
                self._hold(end.token)
            elif end.reason == NO_SUBSCRIBER:
                with self._lock:
                    self._outbox.unheard(_now_ms())
            elif self._is_published_enough and end.accepted:
                published.append(end.token)
        if published:
            self._wake.set()  # there may be more
            committed = [Committed(identity, "stored") for identity in published]
            self._outbox_file.submit(partial(Transaction.acknowledge, committed=committed), self._on_acknowledged)

    def _report_silence(self) -> None:
        with self._lock:
            silent_s = self._outbox.silent_ms(_now_ms()) / 1000
            metrics.OUTBOX_TOO_LARGE.set(self._outbox.held)
        self._missing_acks.report(self._outbox_file.oldest_s(), silent_s, self.client.is_ready)

    def _take_acks(self) -> None:
        committed: list[Committed] = []
        while len(committed) < DELETE_LIMIT:
            try:
                committed += decode_commit_ack(self._acks.get_nowait())
            except queue.Empty:
                break
            except ProtocolError as error:
                metrics.COMMIT_ACKS.labels(status="bad").inc()
                log.warning("commit acknowledgement rejected", extra={"event": "ack_bad", "reason": error.reason})
        if not committed:
            return
        self._wake.set()  # there may be more
        for status, count in Counter(item.status for item in committed).items():
            metrics.COMMIT_ACKS.labels(status=status).inc(count)
        failpoints.reach("before_delete")
        self._outbox_file.submit(partial(Transaction.acknowledge, committed=committed), self._on_acknowledged)

    # The thread of the outbox file.

    def _on_acknowledged(self, future: "Future[Acknowledgement]") -> None:
        try:
            done = future.result()
        except AoiiError as error:  # the readings stay in flight, and are published and acknowledged again
            log.error("acknowledged readings not removed", extra={"event": "delete_failed", "reason": str(error)})  # noqa: TRY400 - the message says it all
            return
        failpoints.reach("after_delete")
        unix_ms = time.time_ns() // 1_000_000
        for at_ms in done.accepted_ms:
            metrics.COMMIT_ACK_SECONDS.observe(max(0, unix_ms - at_ms) / 1000)
        with self._lock:
            self._outbox.acknowledge(done.acknowledged, _now_ms())
        self.repair.acknowledged(done.acknowledged)
        if done.mismatched:
            self._report_mismatch(done.mismatched)
        self._wake.set()

    def _expect_more(self) -> None:
        with self._lock:
            self._outbox.expect_more()

    def _report_mismatch(self, mismatched: list[Identity]) -> None:
        metrics.COMMIT_ACKS_MISMATCHED.inc(len(mismatched))
        if not self._is_mismatch_reported:
            self._is_mismatch_reported = True
            fields = {"event": "ack_mismatched", "node": mismatched[0].node, "counter": mismatched[0].counter}
            log.warning("acknowledgement names a payload that is not ours, reading stays in the outbox", extra=fields)

    def _on_fetched(self, future: "Future[Fetched]") -> None:
        error = future.exception()
        if error is None and not self._is_published_enough:
            self._former.find(future.result().items)
        with self._lock:
            if error is None:
                self._outbox.add_fetched(future.result())
            else:
                self._outbox.fail_fetch()
        if error is None:
            self._wake.set()
        else:  # tried again after IDLE_S
            metrics.OUTBOX_FETCHES_FAILED.inc()
            if not self._is_fetch_failing:
                log.error("backlog cannot be read", extra={"event": "fetch_failed", "reason": str(error)})
        self._is_fetch_failing = error is not None


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
