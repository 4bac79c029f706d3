"""The thread between inbox and database: it makes messages durable, then acknowledges them, then tells the gateways.

A message is acknowledged when its reading is in the database or in the dead letters, and never before. While it is in
neither, this thread holds it and takes nothing more: the broker keeps the rest.
"""

import logging
import threading
import time
from dataclasses import dataclass
from typing import Literal

from aoii.broker.client import Client, Message
from aoii.broker.messages import Estimate, Reading, ack_topic, encode_commit_ack
from aoii.core.errors import UnavailableError
from aoii.runtime import failpoints, metrics
from aoii.runtime.clock import Clock
from aoii.runtime.station import Part
from aoii.server import circuit_breaker, ingest, subscription
from aoii.server.circuit_breaker import CircuitBreaker
from aoii.server.database_errors import DatabaseAway
from aoii.server.database_watch import DatabaseWatch
from aoii.server.db import Database
from aoii.server.dead_letters.replay import replay
from aoii.server.dead_letters.store import DeadLetters
from aoii.server.inbox import Inbox
from aoii.server.ingest import Answer, Malformed
from aoii.server.insertion import insert_reading_with_retry
from aoii.server.timing import Timing

log = logging.getLogger(__name__)

BATCH_LIMIT = 500
IDLE_S = 0.2
PROBE_DELAYS = 5  # an absent database is asked every 5 x INSERT_BASE_DELAY seconds
HOLD_S = 0.5  # between two tries when the dead letters are full
HOUSEKEEPING_S = 1.0


@dataclass
class Job:
    """A message, what it is, and whether it may be acknowledged; an estimate may be at once, it is in no table."""

    message: Message
    content: Reading | Estimate | Malformed

    def __post_init__(self) -> None:
        self.done = isinstance(self.content, Estimate)


class IngestWorker:
    """The thread between inbox and database.

    Args:
        database: Need not be reachable.
        dead_letters: The file of this server.
        client: Where to acknowledge and to publish commit acknowledgements.
        inbox: Where the network thread puts messages.
        max_retries: Retries of a failed insert.
        base_delay_s: Seconds before the first.
        timing: Told of what says something about clocks.
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
        timing: Timing | None = None,
    ) -> None:
        self._timing = timing or Timing(Clock())
        self._database = database
        self._dead_letters = dead_letters
        self._client = client
        self._inbox = inbox
        self._base_delay_s = base_delay_s
        self._breaker = CircuitBreaker(max_retries)
        self._answered = threading.Event()
        self._stopping = threading.Event()
        self._progress_s = time.monotonic()
        self._housekeeping_s = 0.0
        self._has_room = True
        self._recoveries_told = 0
        self._refused: set[str] = set()  # what the dead letters refused at its last try
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)
        self.watch = DatabaseWatch(database, PROBE_DELAYS * base_delay_s, self._answered.set)

    def start(self) -> None:
        """Begin working."""
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Finish the batch in hand and take no more; False when that took longer than `timeout_s`."""
        self._stopping.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def part(self) -> Part:
        """How the thread does."""
        return Part("ingest", self._thread.is_alive(), self._progress_s)

    @property
    def has_room(self) -> bool:
        """Whether the dead letters are below their cap and took what they were given last."""
        return self._has_room and "add" not in self._refused

    def _run(self) -> None:
        try:
            self._work()
        except Exception:  # a fault of ours: the process ends, and what was not acknowledged comes again
            log.exception("ingest ended by an error", extra={"event": "ingest_error"})

    def _work(self) -> None:
        replaying = True
        while not self._stopping.is_set():
            batch = self._inbox.take(BATCH_LIMIT, 0 if replaying else IDLE_S)
            self._keep_house()
            if batch:
                jobs = [Job(message, subscription.receive(message)) for message in batch]
                for job in jobs:
                    if isinstance(job.content, Estimate):
                        self._timing.estimated(job.content)
                self._handle(jobs)
            replaying = self._replay()  # one batch of each in turn: neither starves the other
            subscription.reconnect_when_overrun(self._inbox, self._client)

    def _handle(self, jobs: list[Job]) -> None:
        """Make every message durable, then acknowledge it; gives up only when stopping."""
        acknowledged = 0
        while True:
            told = self._keep_malformed([job for job in jobs if not job.done and isinstance(job.content, Malformed)])
            delivered = self._deliver([job for job in jobs if not job.done and isinstance(job.content, Reading)])
            while acknowledged < len(jobs) and jobs[acknowledged].done:  # in order
                if jobs[acknowledged].message.qos:
                    failpoints.reach("before_message_ack")
                    self._client.acknowledge(jobs[acknowledged].message)
                    failpoints.reach("after_message_ack")
                acknowledged += 1
            for gateway, items in ingest.commit_acks([*told, *delivered]):
                # Without a connection it is dropped: the gateway publishes again, and the duplicate is told again.
                failpoints.reach("before_commit_ack")
                self._client.publish(ack_topic(gateway), encode_commit_ack(items), 1)
                failpoints.reach("after_commit_ack")
            if acknowledged == len(jobs) or self._pause(HOLD_S):
                return
            self._replay()  # what is replayed makes room

    def _keep_malformed(self, jobs: list[Job]) -> list[Answer]:
        """Keep what is no message; those of a known sender, with their status, for a gateway waits for its answer."""
        if not jobs:
            return []
        contents = [(job, job.content) for job in jobs if isinstance(job.content, Malformed)]
        nobodys = [(job, content) for job, content in contents if content.identity is None]
        try:
            dropped = self._dead_letters.add_malformed([(content.payload, str(content)) for _, content in nobodys])
            metrics.DEAD_LETTERS_DROPPED.inc(dropped)
            for job, _ in nobodys:
                job.done = True  # by now: if the next act is refused, the ring must not take them twice
            self._dead_letters.add_unreadable(
                [(content.identity, content.payload, str(content)) for _, content in contents if content.identity]
            )
        except UnavailableError as error:
            self._note_refusal("add", str(error))
            return []
        self._note_refusal("add", None)
        for job in jobs:
            job.done = True
        return [(content.payload, content, "malformed") for _, content in contents if content.identity]

    def _deliver(self, jobs: list[Job]) -> list[Answer]:
        """Make readings durable; those that are, with their status."""
        rows = [job.content for job in jobs if isinstance(job.content, Reading)]
        if not rows:
            return []
        self._take_answer()
        tries = self._breaker.tries()
        done = insert_reading_with_retry(
            self._database,
            self._dead_letters,
            rows,
            tries=tries,
            base_delay_s=self._base_delay_s,
            pause=self._pause,
        )
        if tries and (done.away or not self._stopping.is_set()):
            self._judge(done.away)
        self._note_refusal("add", done.refusal)
        answers: list[Answer] = []
        for job, row, delivery in zip(jobs, rows, done.deliveries, strict=True):
            if delivery is not None:
                job.done = True
                metrics.count_delivery(delivery.status)
                if delivery.status == "stored":
                    self._timing.stored(row)
                answers.append((job.message.payload, row, delivery.status))
        return answers

    def _replay(self) -> bool:
        """Store one batch of the dead letters of a database that was away; whether there may be more."""
        self._take_answer()
        if not self._breaker.tries():
            return False
        try:
            letters = self._dead_letters.waiting(BATCH_LIMIT)
            if letters:
                results = replay(self._database, self._dead_letters, letters)
                self._judge(None)
                for delivery in results:
                    metrics.count_delivery(delivery.status)
                log.info("dead letters replayed", extra={"event": "replayed", "readings": len(letters)})
        except DatabaseAway as error:
            self._judge(error)
            return False
        except UnavailableError as error:
            self._note_refusal("replay", str(error))
            return False
        self._note_refusal("replay", None)
        return bool(letters)

    def _take_answer(self) -> None:
        if self._answered.is_set():
            self._answered.clear()
            self._breaker.handle(circuit_breaker.ANSWERED)

    def _judge(self, away: DatabaseAway | None) -> None:
        """Tell circuit and watch how an insert ended."""
        changed = self._breaker.handle(circuit_breaker.FAILED if away else circuit_breaker.STORED)
        if away:
            self.watch.report_away(str(away))
        elif changed:
            self.watch.report_back()

    def _note_refusal(self, act: Literal["add", "replay", "count"], refusal: str | None) -> None:
        """Say once that the dead letters refuse something, until every act that they refused has succeeded again."""
        if refusal is None:
            self._refused.discard(act)
            return
        if not self._refused:
            log.error("dead letters refuse", extra={"event": "refused", "act": act, "reason": refusal})
        self._refused.add(act)

    def _pause(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while (left_s := deadline - time.monotonic()) > 0:
            self._progress_s = time.monotonic()
            if self._stopping.wait(min(left_s, HOUSEKEEPING_S)):
                return True
        return self._stopping.is_set()

    def _keep_house(self) -> None:
        self._progress_s = now = time.monotonic()
        if now < self._housekeeping_s:
            return
        self._housekeeping_s = now + HOUSEKEEPING_S
        metrics.record_disk(self._dead_letters.folder)
        self._tell_of_recoveries()
        try:
            for reason, count in self._dead_letters.counts().items():
                metrics.DEAD_LETTERS.labels(reason=reason).set(count)
            self._has_room = self._dead_letters.has_room()
        except UnavailableError as error:
            self._note_refusal("count", str(error))
            self._has_room = False
        else:
            self._note_refusal("count", None)

    def _tell_of_recoveries(self) -> None:
        for recovery in self._dead_letters.recoveries[self._recoveries_told :]:
            self._recoveries_told += 1
            fields = {"salvaged": recovery.salvaged, "corrupt": recovery.corrupt, "lost": recovery.lost}
            for outcome, letters in fields.items():
                metrics.DEAD_LETTERS_DAMAGED.labels(outcome=outcome).inc(letters)
            log.error(
                "dead letters file was damaged, and a new one begun",
                extra=fields
                | {
                    "event": "dead_letters_damaged",
                    "is_lost_exact": recovery.is_lost_exact,
                    "kept_as": str(recovery.kept_as),
                },
            )
