"""The server, wired: MQTT in, database out, commit acknowledgements back to the gateways.

    network thread -> Inbox -> ingest thread -> database, or dead letters -> PUBACK in order -> commit acknowledgement

A message is acknowledged when its reading is durable, in the database or in the dead letters, and never before. While
it is neither, the ingest thread holds it and takes nothing more: the broker keeps the rest. A process that is killed at
any instruction loses nothing: what was not acknowledged comes again, and its identity makes a second insert harmless.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from aoii.broker.client import Client, Message, Subscription
from aoii.broker.messages import READINGS_TOPIC, Estimate, Reading, ack_topic, encode_commit_ack
from aoii.core.errors import WorldError
from aoii.runtime import certificate_expiry, failpoints, metrics, shutdown, status_port
from aoii.runtime.clock import Clock
from aoii.runtime.systemd import ServiceManager, opening
from aoii.server import ingest, subscription
from aoii.server.broker_watch import BrokerWatch
from aoii.server.database_watch import DatabaseWatch
from aoii.server.db import Database, DatabaseAway
from aoii.server.dead_letters.replay import MISMATCH, replay
from aoii.server.dead_letters.store import DeadLetters, Reason
from aoii.server.inbox import Inbox
from aoii.server.ingest import Answer, Circuit, Fate, Malformed
from aoii.server.insertion import insert
from aoii.server.timing import Timing
from aoii.settings import Settings

log = logging.getLogger(__name__)

CLIENT_ID = "aoii-server"  # names the session at the broker: one server at a time
SESSION_EXPIRY_S = 7 * 86400  # a server may be away for a weekend
RECEIVE_MAXIMUM = 500
BATCH_LIMIT = 500
IDLE_S = 0.2
PROBE_DELAYS = 5  # an absent database is asked every 5 x INSERT_BASE_DELAY seconds
HOLD_S = 0.5  # between two tries when the dead letters are full
HOUSEKEEPING_S = 1.0
ALIVE_S = 60.0  # longer than any single call to a frozen database, and than a connect to an absent broker
STOP_S = 6.0  # of the 10 s that a graceful stop may take
INGEST_STOP_S = 4.0  # a database that is frozen answers later: the batch in hand comes again

Pause = Callable[[float], bool]
"""Waits for so many seconds; True, at once, when the station is stopping."""


@dataclass(frozen=True)
class Settled:
    """What became of rows, in their order; None stands for a row that is not durable.

    Attributes:
        away: Why the database was given up, if it was.
        refusal: Why the dead letters did not take a row, if they did not.
    """

    fates: list[Fate | None]
    away: str | None = None
    refusal: str | None = None


def insert_reading_with_retry(
    database: Database,
    dead_letters: DeadLetters,
    rows: Sequence[Reading],
    *,
    tries: int,
    base_delay_s: float,
    pause: Pause,
) -> Settled:
    """Store readings, however often it takes; park those that the database cannot have.

    After a failure it waits `base_delay_s`, then twice as long, and so on. Rows that never fit are found by halving the
    batch and parked as `bad_row`, rows whose identity is known with another content as `mismatch`; when all tries have
    failed the rest is parked as `database_away`.

    Args:
        database: Where they belong.
        dead_letters: Where they go otherwise.
        rows: One reading or a whole batch.
        tries: Inserts until parking; 0 parks at once.
        base_delay_s: Seconds before the second try.
        pause: How to wait; ends the tries when it returns True.

    Returns:
        The fates. A row without one is neither stored nor parked, because we are stopping or because the dead letters
        did not take it: it must not be acknowledged, and may be handed in again.
    """
    fates: list[Fate | None] = [None] * len(rows)
    details: dict[int, str] = {}
    away = None if tries else "known to be away"
    for number in range(tries):
        if number:
            metrics.INSERT_RETRIES.inc()
            if pause(base_delay_s * 2 ** (number - 1)):
                away = None
                break
        try:
            insert(database, rows, fates, details)
        except DatabaseAway as error:
            away = str(error)
            log.warning("insert failed", extra={"event": "insert_failed", "try": number + 1, "reason": away})
        else:
            away = None
            break
    if away is not None:
        fates = [fate or "parked" for fate in fates]
    refusal = _park(dead_letters, rows, fates, details, away or "")
    return Settled(fates, away, refusal)


def _park(
    dead_letters: DeadLetters,
    rows: Sequence[Reading],
    fates: list[Fate | None],
    details: dict[int, str],
    away: str,
) -> str | None:
    """Park the rows whose fate needs it; a row that the dead letters do not take has no fate, and why is returned."""
    refusal = None
    groups: list[tuple[list[int], Reason, str]] = [
        ([index for index, fate in enumerate(fates) if fate == "parked"], "database_away", away),
        ([index for index, fate in enumerate(fates) if fate == "mismatch"], "mismatch", MISMATCH),
        *(([index], "bad_row", detail) for index, detail in details.items()),
    ]
    for indexes, reason, detail in groups:
        if not indexes:
            continue
        try:
            dead_letters.park([rows[index] for index in indexes], reason, detail)
        except WorldError as error:
            refusal = str(error)
            for index in indexes:
                fates[index] = None
        else:
            if reason != "database_away":
                log.warning("reading parked", extra={"event": "reading_parked", "reason": reason, "detail": detail})
    return refusal


@dataclass
class Job:
    """A message, what it is, and whether it may be acknowledged; an estimate may be at once, it is in no table."""

    message: Message
    content: Reading | Estimate | Malformed

    def __post_init__(self) -> None:
        self.done = isinstance(self.content, Estimate)


class Ingest:
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
        self._circuit = Circuit(max_retries)
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
    def is_alive(self) -> bool:
        """Whether the thread runs and got somewhere within the last minute."""
        return self._thread.is_alive() and time.monotonic() - self._progress_s < ALIVE_S

    @property
    def has_ended(self) -> bool:
        """Whether the thread is gone, which must not happen before `stop`."""
        return not self._thread.is_alive()

    @property
    def has_room(self) -> bool:
        """Whether the dead letters are below their cap and took what they were given last."""
        return self._has_room and "park" not in self._refused

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
            told = self._park_malformed([job for job in jobs if not job.done and isinstance(job.content, Malformed)])
            settled = self._settle([job for job in jobs if not job.done and isinstance(job.content, Reading)])
            while acknowledged < len(jobs) and jobs[acknowledged].done:  # in order
                if jobs[acknowledged].message.qos:
                    failpoints.reach("before_message_ack")
                    self._client.acknowledge(jobs[acknowledged].message)
                    failpoints.reach("after_message_ack")
                acknowledged += 1
            for gateway, items in ingest.commit_acks([*told, *settled]):
                # Without a connection it is dropped: the gateway publishes again, and the duplicate is told again.
                failpoints.reach("before_commit_ack")
                self._client.publish(ack_topic(gateway), encode_commit_ack(items), 1)
                failpoints.reach("after_commit_ack")
            if acknowledged == len(jobs) or self._pause(HOLD_S):
                return
            self._replay()  # what is replayed makes room

    def _park_malformed(self, jobs: list[Job]) -> list[Answer]:
        """Keep what is no message; those of a known sender, with their fate, for a gateway waits for its answer."""
        if not jobs:
            return []
        contents = [(job, job.content) for job in jobs if isinstance(job.content, Malformed)]
        nobodys = [(job, content) for job, content in contents if content.identity is None]
        try:
            dropped = self._dead_letters.park_malformed([(content.payload, str(content)) for _, content in nobodys])
            metrics.DEAD_LETTERS_DROPPED.inc(dropped)
            for job, _ in nobodys:
                job.done = True  # by now: if the next act is refused, the ring must not take them twice
            self._dead_letters.park_unreadable(
                [(content.identity, content.payload, str(content)) for _, content in contents if content.identity]
            )
        except WorldError as error:
            self._hear_refusal("park", str(error))
            return []
        self._hear_refusal("park", None)
        for job in jobs:
            job.done = True
        return [(content.payload, content, "parked") for _, content in contents if content.identity]

    def _settle(self, jobs: list[Job]) -> list[Answer]:
        """Make readings durable; those that are, with their fates."""
        rows = [job.content for job in jobs if isinstance(job.content, Reading)]
        if not rows:
            return []
        self._hear_the_watch()
        tries = self._circuit.tries()
        settled = insert_reading_with_retry(
            self._database,
            self._dead_letters,
            rows,
            tries=tries,
            base_delay_s=self._base_delay_s,
            pause=self._pause,
        )
        if tries and (settled.away or not self._stopping.is_set()):
            self._judge(settled.away)
        self._hear_refusal("park", settled.refusal)
        told: list[Answer] = []
        for job, row, fate in zip(jobs, rows, settled.fates, strict=True):
            if fate is not None:
                job.done = True
                metrics.ROWS.labels(outcome=fate).inc()
                if fate == "stored":
                    self._timing.stored(row)
                told.append((job.message.payload, row, fate))
        return told

    def _replay(self) -> bool:
        """Store one batch of what was parked while the database was away; whether there may be more."""
        self._hear_the_watch()
        if not self._circuit.tries():
            return False
        try:
            letters = self._dead_letters.waiting(BATCH_LIMIT)
            if letters:
                results = replay(self._database, self._dead_letters, letters)
                self._judge(None)
                for result in results:
                    metrics.ROWS.labels(outcome=result).inc()
                log.info("parked readings replayed", extra={"event": "replayed", "readings": len(letters)})
        except DatabaseAway as error:
            self._judge(str(error))
            return False
        except WorldError as error:
            self._hear_refusal("replay", str(error))
            return False
        self._hear_refusal("replay", None)
        return bool(letters)

    def _hear_the_watch(self) -> None:
        if self._answered.is_set():
            self._answered.clear()
            self._circuit.handle(ingest.ANSWERED)

    def _judge(self, away: str | None) -> None:
        """Tell circuit and watch how an insert ended."""
        changed = self._circuit.handle(ingest.FAILED if away else ingest.STORED)
        if away:
            self.watch.report_away(away)
        elif changed:
            self.watch.report_back()

    def _hear_refusal(self, act: Literal["park", "replay", "count"], refusal: str | None) -> None:
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
        metrics.note_disk(self._dead_letters.folder)
        self._tell_of_recoveries()
        try:
            for reason, count in self._dead_letters.counts().items():
                metrics.DEAD_LETTERS.labels(reason=reason).set(count)
            self._has_room = self._dead_letters.has_room()
        except WorldError as error:
            self._hear_refusal("count", str(error))
            self._has_room = False
        else:
            self._hear_refusal("count", None)

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


class Server:
    """The station: everything that runs, started and stopped together."""

    def __init__(self, settings: Settings) -> None:
        server = settings.server
        self._max_wait_s = server.insert_base_delay_s * (2**server.insert_max_retries - 1)
        self._dead_letters = DeadLetters(server.dead_letter_path, server.dead_letter_max_mb)
        self._database = Database(settings.database, create=True)
        self._inbox = Inbox()
        self._client = Client(
            settings.mqtt,
            CLIENT_ID,
            subscriptions=[Subscription(READINGS_TOPIC, 1)],
            on_message=self._inbox.put,
            on_state=subscription.note_state,
            on_refusal=metrics.broker_refused,
            session_expiry_s=SESSION_EXPIRY_S,
            receive_maximum=RECEIVE_MAXIMUM,
            manual_ack=True,
        )
        certificate_expiry.watch("broker", settings.mqtt.tls, lambda: self._client.certificate_expires)
        certificate_expiry.watch("database", settings.database.tls, lambda: self._database.certificate_expires)
        self._ingest = Ingest(
            self._database,
            self._dead_letters,
            self._client,
            self._inbox,
            max_retries=server.insert_max_retries,
            base_delay_s=server.insert_base_delay_s,
            timing=Timing(settings.clock),
        )
        self._broker_watch = BrokerWatch(settings.mqtt, f"{CLIENT_ID}-watch")
        self._listening = False
        self._page = status_port.serve("server", server.status_port, self.alive, self.ready)

    def start(self, stop: threading.Event, turn: Callable[[], None] = lambda: None) -> None:
        """Begin; waits for the database's first answer as long as a batch would, then takes messages without it.

        Args:
            stop: Ends the waiting.
            turn: Called several times a second while it waits.
        """
        self._ingest.watch.start()
        self._ingest.start()
        deadline = time.monotonic() + self._max_wait_s
        while not self._ingest.watch.wait_answer(IDLE_S) and time.monotonic() < deadline and not stop.is_set():
            turn()
        if not stop.is_set():
            self._client.start()
            self._broker_watch.start()
            self._listening = True

    def stop(self) -> bool:
        """Finish the batch in hand, acknowledge it and end; False when that took too long."""
        deadline = time.monotonic() + STOP_S
        done = self._ingest.stop(INGEST_STOP_S)
        self._ingest.watch.stop()
        if self._listening:
            self._client.stop(max(0.5, deadline - time.monotonic()))
            self._broker_watch.stop(max(0.5, deadline - time.monotonic()))
        if self._page is not None:
            self._page.shutdown()
            self._page.server_close()
        if done:
            self._dead_letters.close()
            self._database.close()
        return done

    def alive(self) -> dict[str, bool]:
        """What must make progress."""
        now = time.monotonic()
        network_moves = self._client.is_alive and now - self._client.beat_s < ALIVE_S
        return {
            "ingest": self._ingest.is_alive,
            "database_watch": now - self._ingest.watch.beat_s < ALIVE_S and not self._ingest.watch.has_ended,
            "network": network_moves or not self._listening,
        }

    def ready(self) -> dict[str, bool]:
        """What must be there for work."""
        return {
            "broker": self._client.is_ready,
            "database": self._ingest.watch.is_up,
            "dead_letters": self._ingest.has_room,
        }

    @property
    def has_failed(self) -> bool:
        """Whether a thread has ended by itself, which is a fault of ours."""
        network_ended = self._listening and not self._client.is_alive
        return self._ingest.has_ended or self._ingest.watch.has_ended or network_ended


def run(settings: Settings) -> int:
    """Run the server until SIGTERM or SIGINT; its exit code.

    Raises:
        WorldError: The dead letters cannot be opened, or the status port is taken.
    """
    stop = shutdown.on_signals()
    server = shutdown.unless_asked(stop, lambda: Server(settings), opening().turn)
    if server is None:
        log.error("stopped while the dead letters were being opened, check the disk", extra={"event": "start_hangs"})
        return 0
    manager = ServiceManager(server.alive, server.ready)
    server.start(stop, manager.turn)
    while not stop.wait(IDLE_S):
        manager.turn()
        if server.has_failed:
            log.error("a thread of the server has ended", extra={"event": "thread_ended"})
            server.stop()
            return 1
    manager.stopping()
    if not server.stop():
        log.warning("stopped in a batch", extra={"event": "stopped_in_batch"})  # it comes again
    return 0
