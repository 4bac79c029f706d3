"""The ingest thread: takes messages from the inbox, makes them durable, acknowledges them, answers the gateways.

A message is acknowledged when its reading is in the database or in the dead letters, and never before. Until then this
thread keeps the batch and takes no other; further messages wait in the inbox and at the broker.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Sequence

from aoii.broker.client import Client, Message
from aoii.broker.messages import Estimate, Reading, ack_topic, encode_commit_ack
from aoii.broker.packet_size import PacketTooLargeError
from aoii.core.errors import UnavailableError
from aoii.runtime import failpoints, metrics
from aoii.runtime.clock import Clock
from aoii.runtime.station import PartThread
from aoii.server import circuit_breaker, ingest, subscription
from aoii.server.batch import Batch, Received
from aoii.server.circuit_breaker import CircuitBreaker
from aoii.server.database_errors import DatabaseAway
from aoii.server.database_watch import PROBE_DELAYS, DatabaseWatch
from aoii.server.db import Database
from aoii.server.dead_letters.health import DeadLetterHealth
from aoii.server.dead_letters.replay import replay
from aoii.server.dead_letters.store import DeadLetters
from aoii.server.inbox import Inbox
from aoii.server.ingest import Answer, Malformed
from aoii.server.insertion import insert_reading_with_retry
from aoii.server.timing import Timing

log = logging.getLogger(__name__)

BATCH_LIMIT = 500
IDLE_S = 0.2  # for the first message of a batch
HOLD_S = 0.5  # between two tries while the dead letters are full
METRICS_S = 1.0
GATEWAYS_LIMIT = 1_000  # names come from peers


class IngestWorker:
    """The ingest thread, and what it works with.

    Args:
        database: The database; it need not be reachable.
        dead_letters: Where readings go when the database cannot store them.
        client: Acknowledges messages and publishes commit acknowledgements.
        inbox: Where the network thread puts messages.
        max_retries: Retries of a failed insert.
        base_delay_s: Seconds before the first retry.
        clock: The clock of the nodes' world.

    Attributes:
        gateways: Who has sent readings or estimates to this process, as far as GATEWAYS_LIMIT.
        health: The health of the dead letters.
        thread: The ingest thread; started by the owner, stopped by `stop`.
        watch: The database watch; started and stopped by the owner.
    """

    def __init__(
        self,
        database: Database,
        dead_letters: DeadLetters,
        client: Client,
        inbox: Inbox,
        *,
        max_retries: int,
        base_delay_s: float,
        clock: Clock,
    ) -> None:
        self._timing = Timing(clock)
        self._database = database
        self._dead_letters = dead_letters
        self._client = client
        self._inbox = inbox
        self._base_delay_s = base_delay_s
        self._breaker = CircuitBreaker(max_retries)
        self._answered = threading.Event()
        self._stopping = threading.Event()
        self._metrics_due_s = 0.0
        self.gateways: frozenset[str] = frozenset()  # replaced and never changed: other threads read it
        self.health = DeadLetterHealth(dead_letters)
        self.thread = PartThread("ingest", self._work)
        self.watch = DatabaseWatch(database, PROBE_DELAYS * base_delay_s, self._answered.set)

    def stop(self, timeout_s: float) -> bool:
        """Finish the current batch and stop; return False if that takes longer than `timeout_s`."""
        self._stopping.set()
        self.thread.join(timeout_s)
        return not self.thread.is_alive()

    def _work(self) -> None:
        is_replaying = True
        while not self._stopping.is_set():
            messages = self._inbox.take(BATCH_LIMIT, 0 if is_replaying else IDLE_S)
            self._update_metrics()
            if messages:
                self._handle(self._decode(messages))
            is_replaying = self._replay_batch()  # a batch of messages, a batch of letters: neither starves the other
            subscription.reconnect_after_overrun(self._inbox, self._client)

    def _decode(self, messages: Sequence[Message]) -> Batch:
        """Decode and count messages, and take the gateways' clock offsets from their estimates."""
        received = [Received(message, subscription.decode_and_count(message)) for message in messages]
        for one in received:
            if isinstance(one.content, Estimate):
                self._timing.record_clock_offset(one.content)
            if isinstance(one.content, Estimate | Reading) and one.content.gateway is not None:
                self._meet(one.content.gateway)
        return Batch(received)

    def _meet(self, gateway: str) -> None:
        if gateway not in self.gateways and len(self.gateways) < GATEWAYS_LIMIT:
            self.gateways |= {gateway}

    def _handle(self, batch: Batch) -> None:
        """Make every message durable, acknowledge it, and answer the gateways; gives up only when the station stops."""
        while True:
            answers = [*self._keep_malformed(batch), *self._store_readings(batch)]
            self._acknowledge(batch.take_acknowledgeable())
            self._answer(answers)
            if batch.is_finished or self._pause(HOLD_S):
                return
            self._replay_batch()  # makes room in the dead letters

    def _acknowledge(self, messages: Sequence[Message]) -> None:
        for message in messages:
            if message.qos:
                failpoints.reach("before_message_ack")
                self._client.acknowledge(message)
                failpoints.reach("after_message_ack")

    def _answer(self, answers: Sequence[Answer]) -> None:
        """Publish commit acknowledgements; a lost one is sent again when the gateway republishes the reading."""
        for gateway, items in ingest.commit_acks(answers, self._client.packet_limit_bytes):
            failpoints.reach("before_commit_ack")
            try:
                self._client.publish(ack_topic(gateway), encode_commit_ack(items), 1)
            except PacketTooLargeError:  # logged once by the client
                metrics.COMMIT_ACKS_TOO_LARGE.inc()
            failpoints.reach("after_commit_ack")

    def _keep_malformed(self, batch: Batch) -> list[Answer]:
        """Dead-letter malformed payloads; return the answers for gateways that wait for one."""
        pending = batch.pending(Malformed)
        if not pending:
            return []
        anonymous = [(one, content) for one, content in pending if content.identity is None]
        try:
            dropped = self._dead_letters.add_to_ring([(content.payload, str(content)) for _, content in anonymous])
            metrics.DEAD_LETTERS_DROPPED.inc(dropped)
            batch.mark_durable(one for one, _ in anonymous)  # if the next call fails, the ring must not get them twice
            self._dead_letters.add_malformed_readings(
                [(content.identity, content.payload, str(content)) for _, content in pending if content.identity]
            )
        except UnavailableError as error:
            self.health.record("add", str(error))
            return []
        self.health.record("add", None)
        batch.mark_durable(one for one, _ in pending)
        return [Answer(content.payload, content, "malformed") for _, content in pending if content.identity]

    def _store_readings(self, batch: Batch) -> list[Answer]:
        """Store readings, or dead-letter them; return the answers for those that are durable now."""
        pending = batch.pending(Reading)
        if not pending:
            return []
        self._take_probe_answer()
        tries = self._breaker.tries()
        insertion = insert_reading_with_retry(
            self._database,
            self._dead_letters,
            [reading for _, reading in pending],
            tries=tries,
            base_delay_s=self._base_delay_s,
            pause=self._pause,
        )
        # An insert that a stop cut short says nothing about the database.
        if tries and (insertion.away or not self._stopping.is_set()):
            self._record_insert(insertion.away)
        self.health.record("add", insertion.dead_letter_problem)
        answers: list[Answer] = []
        for (one, reading), delivery in zip(pending, insertion.deliveries, strict=True):
            if delivery is not None:
                batch.mark_durable([one])
                if delivery.status == "stored":
                    self._timing.record_latency(reading)
                answers.append(Answer(one.message.payload, reading, delivery.status))
        for status, count in Counter(answer.status for answer in answers).items():
            metrics.count_delivery(status, count)
        return answers

    def _replay_batch(self) -> bool:
        """Replay one batch of dead letters left by a database outage; return whether there may be more."""
        self._take_probe_answer()
        if not self._breaker.tries():
            return False
        try:
            letters = self._dead_letters.waiting(BATCH_LIMIT)
            if letters:
                deliveries = replay(self._database, self._dead_letters, letters)
                self._record_insert(None)
                for status, count in Counter(delivery.status for delivery in deliveries).items():
                    metrics.count_delivery(status, count)
                log.info("dead letters replayed", extra={"event": "replayed", "readings": len(letters)})
        except DatabaseAway as error:
            self._record_insert(error)
            return False
        except UnavailableError as error:
            self.health.record("replay", str(error))
            return False
        self.health.record("replay", None)
        return bool(letters)

    def _take_probe_answer(self) -> None:
        """Tell the circuit breaker, which belongs to this thread, of a probe that succeeded in the watch's thread."""
        if self._answered.is_set():
            self._answered.clear()
            self._breaker.handle(circuit_breaker.ANSWERED)

    def _record_insert(self, away: DatabaseAway | None) -> None:
        """Tell the circuit breaker and the database watch how an insert ended."""
        self._breaker.handle(circuit_breaker.FAILED if away else circuit_breaker.STORED)
        if away:
            self.watch.record_failure(str(away))
        else:  # whether or not the breaker noticed that the database was away: a probe may have
            self.watch.record_success()

    def _pause(self, seconds: float) -> bool:
        """Wait; return True, without waiting longer, if the station is stopping."""
        deadline = time.monotonic() + seconds
        while (left_s := deadline - time.monotonic()) > 0:
            self.thread.record_progress()
            if self._stopping.wait(min(left_s, METRICS_S)):
                return True
        return self._stopping.is_set()

    def _update_metrics(self) -> None:
        self.thread.record_progress()
        now = time.monotonic()
        if now >= self._metrics_due_s:
            self._metrics_due_s = now + METRICS_S
            self.health.update_metrics()
