"""From the outbox to the broker: what is due is published, and what the database has is forgotten.

One thread publishes; callbacks of the broker's connection and of the store only hand over and wake it. The lock around
the policy is held for a step of the policy and nothing else. It refuses to believe the broker: only a commit
acknowledgement of the server lets go of a reading, and only of the one that was published here, byte for byte.
"""

import logging
import queue
import random
import threading
import time
from concurrent.futures import Future

from aoii.broker.client import Client, Message, Published, Subscription
from aoii.broker.messages import READINGS_TOPIC, Committed, Identity, ack_topic, decode_commit_ack
from aoii.core.errors import AoiiError, ProtocolError
from aoii.gateway.drivers.outbox_db import Settlement, Store
from aoii.gateway.outbox import Fetch, Item, Outbox
from aoii.runtime import certificate_expiry, failpoints, metrics
from aoii.settings import Mqtt

log = logging.getLogger(__name__)

SESSION_EXPIRY_S = 7 * 86400  # commit acknowledgements wait at the broker for a gateway that is away
ACKS_LIMIT = 200  # messages of up to 500 items that wait for us; one more is dropped, and its readings come round again
DELETE_LIMIT = 1000  # readings in one request to the store: 10 ms, which a reply to an old node can wait
IDLE_S = 1.0


class Publisher:
    """The gateway's connection to the broker, and the thread that empties the outbox.

    Args:
        mqtt: The broker.
        gateway_id: Names the session and the topic of the commit acknowledgements.
        store: The outbox file.
    """

    def __init__(self, mqtt: Mqtt, gateway_id: str, store: Store) -> None:
        self._store = store
        self._outbox = Outbox(random.random)
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._is_fetch_failing = False
        self._is_other_told = False
        self._acks: queue.Queue[bytes] = queue.Queue(ACKS_LIMIT)
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self.last_progress_s = time.monotonic()
        self.client = Client(
            mqtt,
            f"aoii-gateway-{gateway_id}",
            subscriptions=[Subscription(ack_topic(gateway_id), 1)],
            on_message=self._heard,
            on_published=self._ended,
            on_state=self._connected,
            on_refusal=metrics.broker_refused,
            session_expiry_s=SESSION_EXPIRY_S,
        )
        certificate_expiry.register("broker", mqtt.tls, lambda: self.client.certificate_expires)

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin; the broker need not be up."""
        self._thread.start()
        self.client.start()

    def stop(self, limit_s: float) -> None:
        """Stop publishing and disconnect; what is in flight is published again after the next start.

        Args:
            limit_s: A thread that waits for a store that hangs is left behind after so long.
        """
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(limit_s)
        self.client.stop()

    def accepted(self, item: Item) -> None:
        """A reading was committed to the file just now; never waits."""
        with self._lock:
            self._outbox.accepted(item)
        self._wake.set()

    # Called in the connection's thread.

    def _heard(self, message: Message) -> None:
        try:
            self._acks.put_nowait(message.payload)
        except queue.Full:
            metrics.COMMIT_ACKS.labels(status="dropped").inc()
        self._wake.set()

    def _ended(self, published: Published) -> None:
        failpoints.reach("before_puback")
        result = "sent" if published.accepted else "failed" if published.reason is None else "refused"
        metrics.PUBLISHES.labels(
            event="RX", qos="1", result=result, reason="" if published.reason is None else str(published.reason)
        ).inc()
        if published.reason is not None:
            metrics.PUBLISH_REFUSED.set(not published.accepted)
        if result == "refused":
            log.warning("broker refused a reading", extra={"event": "publish_refused", "reason": published.reason})
        failpoints.reach("after_puback")

    def _connected(self, is_connected: bool) -> None:
        with self._lock:
            if is_connected:
                self._outbox.connected(_now_ms())
            else:
                self._outbox.disconnected()
        metrics.BROKER_UP.set(is_connected)
        if not is_connected:
            metrics.RECONNECTS.inc()
        self._wake.set()

    # The publisher's own thread.

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.last_progress_s = time.monotonic()
            self._take_acks()
            with self._lock:
                items = self._outbox.due(_now_ms())
                fetch = self._outbox.wanted()
                deadline_ms = self._outbox.deadline_ms()
            if fetch is not None:
                self._fetch(fetch)
            for item in items:
                self._publish(item)
            wait_s = IDLE_S if deadline_ms is None else min(IDLE_S, max(0, deadline_ms - _now_ms()) / 1000)
            self._wake.wait(wait_s)
            self._wake.clear()

    def _publish(self, item: Item) -> None:
        failpoints.reach("before_publish")
        is_taken = self.client.publish(READINGS_TOPIC, item.payload, item.qos, item.identity)
        failpoints.reach("after_publish")
        if not is_taken:  # the connection ended; the deadline brings it again
            metrics.PUBLISHES.labels(event="RX", qos=str(item.qos), result="failed", reason="").inc()
        elif item.qos == 0:
            metrics.PUBLISHES.labels(event="RX", qos="0", result="sent", reason="").inc()

    def _fetch(self, fetch: Fetch) -> None:
        self._store.submit(lambda transaction: transaction.fetch(fetch), self._fetched)

    def _fetched(self, future: "Future[tuple[list[Item], int, bool]]") -> None:
        error = future.exception()
        with self._lock:
            if error is None:
                self._outbox.fetched(*future.result())
            else:
                self._outbox.not_fetched()
        if error is None:
            self._wake.set()
        else:  # it is tried again after the idle time
            metrics.OUTBOX_FETCHES_FAILED.inc()
            if not self._is_fetch_failing:
                log.error("backlog cannot be read", extra={"event": "fetch_failed", "reason": str(error)})
        self._is_fetch_failing = error is not None

    def _take_acks(self) -> None:
        committed: list[Committed] = []
        while len(committed) < DELETE_LIMIT:
            try:
                committed += decode_commit_ack(self._acks.get_nowait())
            except queue.Empty:
                break
            except ProtocolError as error:
                metrics.COMMIT_ACKS.labels(status="bad").inc()
                log.warning("commit acknowledgement refused", extra={"event": "ack_bad", "reason": error.reason})
        if not committed:
            return
        self._wake.set()  # there may be more
        for item in committed:
            metrics.COMMIT_ACKS.labels(status=item.status).inc()
        failpoints.reach("before_delete")
        self._store.submit(lambda transaction: transaction.settle(committed), self._settled)

    def _settled(self, future: "Future[Settlement]") -> None:
        try:
            settlement = future.result()
        except AoiiError as error:  # they stay in flight, and are acknowledged again
            log.error("committed readings stay in the outbox", extra={"event": "delete_failed", "reason": str(error)})  # noqa: TRY400 - the message says it all
            return
        failpoints.reach("after_delete")
        for at_ms in settlement.accepted_ms:
            metrics.COMMIT_ACK_SECONDS.observe(max(0, time.time_ns() // 1_000_000 - at_ms) / 1000)
        with self._lock:
            self._outbox.settled(settlement.settled, _now_ms())
        if settlement.kept:
            self._tell_of_others(settlement.kept)
        self._wake.set()

    def _tell_of_others(self, kept: list[Identity]) -> None:
        metrics.COMMIT_ACKS_MISMATCHED.inc(len(kept))
        if not self._is_other_told:
            self._is_other_told = True
            fields = {"event": "ack_mismatched", "node": kept[0].node, "counter": kept[0].counter}
            log.warning("acknowledgement is for a payload that is not ours, reading kept", extra=fields)


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
