"""Carries out what the audit decides: takes reports from the broker, looks at the tables, asks, and records.

It has a thread and a connection of its own, so that nothing of it can slow down or stop the ingest. A failure is
logged, counted and tried again; it ends neither the thread nor the server.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from aoii.broker.client import Client, Message, Subscription
from aoii.broker.messages import Identity, is_gateway_name
from aoii.broker.packet_size import PacketTooLargeError
from aoii.broker.repair_messages import Report, ask_topic, decode_report, encode_ask, gateway_of_holds
from aoii.core.errors import AoiiError, ProtocolError
from aoii.runtime import metrics
from aoii.runtime.failure_log import FailureLog
from aoii.runtime.station import PartThread
from aoii.server import ranges
from aoii.server.audit import Audit, KnownGateway, LookKind, Question
from aoii.server.audit_facts import AuditFacts
from aoii.server.audits import Audits
from aoii.server.connection import ConnectionPool
from aoii.server.database_watch import DatabaseWatch
from aoii.server.gap import NodeEpoch, numbers_by_state
from aoii.server.gaps import Gaps
from aoii.server.gateway_reports import GatewayReports
from aoii.server.look import Look
from aoii.settings import Mqtt

log = logging.getLogger(__name__)

HOLDS = "aoii/holds/+"
REPORTS_LIMIT = 5_000  # messages that wait; each gateway reports again within an hour
REPORTS_AT_ONCE = 200
IDLE_S = 0.2  # for the first report
REQUESTS_S = 1.0  # between two looks for requested audits
AGAIN_S = 5.0  # after a failure
REST = 3.0  # after a look, times as long as it took: ingest needs the machine and the database more
REST_LIMIT_S = 10.0


class AuditWorker:
    """The audit of one server.

    Args:
        pool: Connections to the database; the caller closes it.
        watch: Says whether the database is there.
        letters: The identities of the dead letters, read anew at each call.
        heard: The names of the gateways that send readings or estimates.
        mqtt: The broker.
        client_id: Of the audit's own connection.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        watch: DatabaseWatch,
        letters: Callable[[], Iterable[Identity]],
        heard: Callable[[], Iterable[str]],
        mqtt: Mqtt,
        client_id: str,
    ) -> None:
        self._watch = watch
        self._letters = letters
        self._heard = heard
        self.client = Client(
            mqtt,
            client_id,
            subscriptions=[Subscription(HOLDS, 1)],
            on_message=self._receive,
            unique_id="run one aoii server for each broker",
        )
        self.thread = PartThread("audit", self._work)
        self._reports = GatewayReports(pool)
        self._gaps = Gaps(pool)
        self._audits = Audits(pool)
        self._facts = AuditFacts(pool, self.thread.record_progress)
        # Questions are numbered by the time in ms: higher than those of the process before, of whom no more than one
        # is sent in a millisecond.
        self._audit = Audit(time.time_ns() // 1_000_000, time.monotonic())
        self._messages: queue.Queue[Message] = queue.Queue(REPORTS_LIMIT)
        self._stopping = threading.Event()
        self._failures = FailureLog(log, "audit failed, and is tried again", "audit_failed", lasts_s=0)
        self._absences: int | None = None  # of the database, when the audit last began anew; None: not yet
        self._running: int | None = None  # the requested audit
        self._noted: Mapping[str, int] = {}
        self._requests_due_s = 0.0
        self._rested_s = 0.0  # no look before
        self._writers: frozenset[str] = frozenset()  # the gateways of the newest rows
        self._served: set[str] = set()  # gateways with a metric

    def start(self) -> None:
        """Begin; neither the broker nor the database need be there."""
        self.client.start()
        self.thread.start()

    def stop(self, timeout_s: float) -> None:
        """End with the step in hand; one that takes longer than `timeout_s` is left behind, and does no harm."""
        deadline_s = time.monotonic() + timeout_s
        self._stopping.set()
        self.thread.join(timeout_s)
        self.client.stop(max(0.1, deadline_s - time.monotonic()))

    # The connection's thread.

    def _receive(self, message: Message) -> None:
        if message.is_kept:  # no news: it may be older than what we know
            metrics.AUDIT_REPORTS.labels(result="kept").inc()
            return
        try:
            self._messages.put_nowait(message)
        except queue.Full:
            metrics.AUDIT_REPORTS.labels(result="dropped").inc()

    # The audit's thread.

    def _work(self) -> None:
        while not self._stopping.is_set():
            self.thread.record_progress()
            try:
                self._go_on()
            except AoiiError as error:
                self._fail(str(error))
            except Exception as error:  # our mistake must not stop the ingest
                if self._stopping.is_set():
                    return  # what it uses may be closed
                log.exception("error in the audit", extra={"event": "audit_error"})
                self._fail(str(error))
            else:
                self._failures.record_success()

    def _fail(self, cause: str) -> None:
        metrics.AUDIT_FAILURES.inc()
        self._failures.record_failure(cause)
        self._stopping.wait(AGAIN_S)

    def _go_on(self) -> None:
        self._notice_database()
        self._take_reports()
        if self._absences is None:
            return
        self._audit.meet(filter(is_gateway_name, self._heard()), time.monotonic())
        self._take_request()
        if time.monotonic() >= self._rested_s and (kind := self._audit.look_due(time.monotonic())) is not None:
            self._look(kind)
        self._ask()
        self._note_progress()
        self._update_metrics()

    def _notice_database(self) -> None:
        """Begin anew when the database was away: it may have been restored meanwhile."""
        if not self._watch.is_up:
            self._audit.database_away()
        elif self._absences != self._watch.absences:
            absences = self._watch.absences
            self._audit.know(self._known(), time.monotonic())
            self._audit.database_back(time.monotonic())
            self._absences = absences

    def _known(self) -> list[KnownGateway]:
        numbers: dict[str, dict[NodeEpoch, tuple[int, int]]] = {}
        for one in self._reports.numbers():
            numbers.setdefault(one.gateway, {})[one.node, one.epoch] = one.low, one.high
        return [
            KnownGateway(one.gateway, one.file, one.seq, numbers.get(one.gateway, {})) for one in self._reports.files()
        ]

    def _take_reports(self) -> None:
        """Take the reports that have come; wait for one no longer than IDLE_S."""
        with suppress(queue.Empty):
            for number in range(REPORTS_AT_ONCE):
                self._take_report(self._messages.get(timeout=0 if number else IDLE_S))

    def _take_report(self, message: Message) -> None:
        try:
            gateway, report = _decoded(message)
        except ProtocolError as error:
            metrics.AUDIT_REPORTS.labels(result="bad").inc()
            fields = {"event": "report_bad", "topic": message.topic, "reason": str(error)}
            log.warning("report rejected", extra=fields)
            return
        metrics.AUDIT_REPORTS.labels(result="taken").inc()
        to_record = self._audit.take_report(gateway, report, time.monotonic())
        if to_record is not None and self._watch.is_up:
            self._reports.record(gateway, to_record)

    def _take_request(self) -> None:
        now_s = time.monotonic()
        if self._running is None and now_s >= self._requests_due_s and self._watch.is_up:
            self._requests_due_s = now_s + REQUESTS_S
            request = self._audits.next_request()
            if request is not None:
                self._audits.begin(request.id)
                self._audit.request(request.is_full, now_s)
                self._running, self._noted = request.id, {}
                log.info("audit begins", extra={"event": "audit_begins", "audit": request.id, "full": request.is_full})

    def _look(self, kind: LookKind) -> None:
        begun_s = time.monotonic()
        try:
            look = self._facts.look(kind, self._letters())
            changes = self._audit.take_look(look, time.monotonic())
            self._gaps.clear(changes.clear)
            self._gaps.record(changes.record)
        except BaseException:
            metrics.AUDIT_LOOKS.labels(result="failed").inc()
            self._audit.fail_look(time.monotonic())
            raise
        ended_s = time.monotonic()
        self._rested_s = ended_s + min(REST * (ended_s - begun_s), REST_LIMIT_S)
        metrics.AUDIT_LOOKS.labels(result="full" if look.is_full else "incremental").inc()
        metrics.AUDIT_LOOK_S.set_to_current_time()
        if look.is_full:
            metrics.AUDIT_FULL_LOOK_SECONDS.set(ended_s - begun_s)
        self._writers = look.gateways
        _count_numbers(look, self._audit)

    def _ask(self) -> None:
        """Publish the questions that are due; those that cannot be sent come again."""
        while self.client.is_ready and (question := self._audit.next_question(time.monotonic())) is not None:
            if not self._publish(question):
                metrics.AUDIT_QUESTIONS.labels(kind="failed").inc()
                self._audit.fail_question(question.gateway)
                return
            holes = question.ask.holes
            kind = "node" if any(hole.is_for_node for hole in holes) else "holes" if holes else "empty"
            metrics.AUDIT_QUESTIONS.labels(kind=kind).inc()

    def _publish(self, question: Question) -> bool:
        try:
            return all(
                self.client.publish(ask_topic(question.gateway), payload, 1) for payload in encode_ask(question.ask)
            )
        except PacketTooLargeError:  # logged once by the client
            return False

    def _note_progress(self) -> None:
        """Write into the list of audits what the requested one has found so far, or in the end."""
        if self._running is None:
            return
        result = self._audit.take_result()
        if result is not None:
            self._audits.finish(self._running, result)
            log.info("audit has ended", extra={"event": "audit_ended", "audit": self._running} | dict(result))
            self._running = None
        elif (progress := self._audit.progress) is not None and progress != self._noted:
            self._audits.note(self._running, progress)
            self._noted = dict(progress)

    def _update_metrics(self) -> None:
        now_s, unix_s = time.monotonic(), time.time()
        served = {
            name: one.round_trip_s
            for name, one in self._audit.gateways.items()
            if name in self._writers or one.is_live(now_s)
        }
        for name in self._served - served.keys():
            metrics.AUDIT_ROUND_TRIP_S.remove(name)
        for name, round_trip_s in served.items():
            metrics.AUDIT_ROUND_TRIP_S.labels(name).set(0 if round_trip_s is None else unix_s - now_s + round_trip_s)
        self._served = set(served)


def _decoded(message: Message) -> tuple[str, Report]:
    gateway = gateway_of_holds(message.topic)
    if gateway is None:
        raise ProtocolError("shape", "no gateway has such a topic")
    return gateway, decode_report(message.payload)


def _count_numbers(look: Look, audit: Audit) -> None:
    counts = dict.fromkeys(("missing", "open", "void", "unknown", "lost", "retired"), 0)
    counts |= numbers_by_state(gap for facts in look.facts.values() for gap in facts.gaps)
    counts["missing"] = sum(ranges.count(numbers) for numbers in audit.missing.values())
    for state, count in counts.items():
        metrics.AUDIT_NUMBERS.labels(state).set(count)
