"""The machines of a history, with the stations' own code: gateways, the server, and the imitated database behind it."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aoii.broker.messages import Identity
from aoii.broker.repair_messages import Report, decode_ask
from aoii.core.errors import AoiiError
from aoii.core.stream import Frame
from aoii.gateway.gateway import Gateway
from aoii.runtime.clock import Clock
from aoii.server import subscription
from aoii.server.audit import LookKind
from aoii.server.audit_worker import AGAIN_S, AuditWorker
from aoii.server.connection import ConnectionPool
from aoii.server.database_errors import DatabaseAway
from aoii.server.database_watch import HEALTHY_PROBE_S
from aoii.server.db import Database
from aoii.server.dead_letters.replay import replay
from aoii.server.dead_letters.store import DeadLetters
from aoii.server.inbox import Inbox
from aoii.server.ingest_worker import HOLD_S, IngestWorker
from histories import stage
from histories.database import DatabaseMachine, GapRow
from histories.field import Air
from histories.installation import settings_of
from histories.timeline import START_UNIX_MS, Alarm

PATIENCE_MS = 1_800_000  # of a publisher for which nothing is due: it looks again, as it does each second in truth
FAILURE_WAIT_MS = 60_000  # between two probes of a database that is away
AUDIT_FIRST_MS, AUDIT_LAST_MS, AUDIT_IDLE_MS = 1_100, 61_000, 2_400_000  # between two steps of the audit


class SteppedClock(Clock):
    """The clock of a gateway: its wall clock may step."""

    def __init__(self, scene: stage.Scene) -> None:
        super().__init__()
        object.__setattr__(self, "scene", scene)
        object.__setattr__(self, "step_ms", 0)

    scene: stage.Scene
    step_ms: int

    def step(self, step_ms: int) -> None:
        object.__setattr__(self, "step_ms", step_ms)

    def unix_ms(self) -> int:
        return max(0, START_UNIX_MS + self.scene.timeline.now_ms + self.step_ms)

    def elapsed_ms(self) -> int:
        return 1_000_000 + self.scene.timeline.now_ms


class GatewayMachine(stage.Machine):
    """A gateway's machine; `process` is `aoii gateway`.

    Attributes:
        keep_bytes: Room for kept readings, if it is not the usual.
    """

    process: Gateway | None = None
    keep_bytes: int | None = None

    def __init__(self, name: str, rank: int, scene: stage.Scene, air: Air) -> None:
        super().__init__(name, scene)
        self.rank = rank
        self.clock = SteppedClock(scene)
        self._air = air
        self._alarm: Alarm | None = None
        self.is_deaf = False

    def started(self) -> None:
        self.process = gateway = Gateway(replace(settings_of(self.name, self.rank), clock=self.clock))
        publisher = gateway.publisher
        alarm = self._alarm = Alarm(self.scene.timeline, lambda: self.run(self._publish))
        wake = _Wake(alarm)
        publisher._wake = wake  # type: ignore[assignment]
        publisher._stopping = stage.Once()  # type: ignore[assignment]
        publisher.repair._wake = wake.set
        repair: Any = publisher.repair._repair
        make_report = repair.report

        def report(*args: Any) -> Report:
            made: Report = make_report(*args)
            self._check_report(made)
            return made

        repair.report = report
        self._wake = wake
        file = gateway._outbox_file
        assert isinstance(file, stage.SteppedOutboxFile)
        if self.keep_bytes is not None:
            file.kept.limit_bytes = self.keep_bytes
        file.is_ready()
        publisher.client.start()
        alarm.set(10)

    def ended(self) -> None:
        self.process = None
        if self._alarm is not None:
            self._alarm.end()

    def _check_report(self, report: Report) -> None:
        """It says of no number that its reading is not here which is."""
        if not any(holding.findings for holding in report.holdings):
            return
        here = self.identities("events") | self.identities("kept")
        for node, epoch, number in sorted(here):
            for holding in report.holdings:
                found = holding.findings if (holding.node, holding.epoch) == (node, epoch) else ()
                for one in found:
                    if one.first <= number <= one.last:
                        self.scene.errors.append(f"{self.name} reports {node, epoch, number}: {one.kind}; and has it")

    def receive(self, frame: Frame) -> None:
        """A packet from the radio."""
        if not self.is_deaf:
            self.run(lambda: self._take_frame(frame))

    def radio(self, usb: bytes) -> None:
        """What the process writes to its port."""
        self._air.down(self, usb)

    def identities(self, table: str) -> set[tuple[str, int, int]]:
        """What it has on its disk: the readings of `events` (the outbox) or `kept`."""
        name = "outbox.db" if table == "events" else "kept.db"
        query = f"SELECT node, epoch, counter FROM {table}"  # noqa: S608 - our own words
        found = self.disk.open_for_reading(name, query)
        return {(_text(node), epoch, counter) for node, epoch, counter in found}

    def _take_frame(self, frame: Frame) -> None:
        assert self.process is not None
        port: Any = self.process._ports[0]
        port.on_items([frame], self.scene.time.monotonic())

    def _publish(self) -> None:
        assert self.process is not None
        self._wake.begin()
        self.process.publisher._run()
        assert self._alarm is not None
        outbox = self.process.publisher._outbox
        self._alarm.set(self._wake.wait_ms(outbox.deadline_ms(), self.scene.time.monotonic_ns() // 1_000_000))


class _Wake:
    """The event on which the publisher waits: until a reading is due, and no shorter again and again."""

    def __init__(self, alarm: Alarm) -> None:
        self._alarm = alarm
        self._is_set = False
        self._idle_ms = 15_000
        self._asked_ms = 1_000

    def begin(self) -> None:
        self._is_set = False

    def set(self) -> None:
        self._is_set = True
        self._idle_ms = 15_000
        self._alarm.set(50)

    def wait(self, wait_s: float) -> None:
        self._asked_ms = max(1, round(1000 * wait_s))

    def clear(self) -> None:
        pass

    def wait_ms(self, due_ms: int | None, now_ms: int) -> int:
        """How long to wait now.

        Args:
            due_ms: When the next reading is to be published; None: it depends on something that wakes.
            now_ms: Now.
        """
        if self._asked_ms < 1_000:
            return self._asked_ms
        if due_ms is None:
            return PATIENCE_MS
        least_ms, self._idle_ms = self._idle_ms, min(40 * self._idle_ms, PATIENCE_MS)
        return min(max(least_ms, due_ms - now_ms), PATIENCE_MS)


class ServerMachine(stage.Machine):
    """The server's machine; its process is what `aoii server` runs.

    Attributes:
        is_audited: Whether it looks for holes.
        on_look: Called after each look, with the gaps as they were before it.
        audit: What looks for them.
        holes_asked: Ranges of numbers in all its questions.
    """

    def __init__(self, scene: stage.Scene, database: DatabaseMachine, is_audited: bool) -> None:
        super().__init__("server", scene)
        self.database = database
        self.is_audited = is_audited
        self.audit: AuditWorker | None = None
        self.holes_asked = 0
        self.on_look: Callable[[Sequence[GapRow]], None] = lambda _: None
        self._audit_alarm: Alarm | None = None
        self._audit_wait_ms = AUDIT_FIRST_MS
        self.process: IngestWorker | None = None
        self._inbox = Inbox()
        self._letters: DeadLetters | None = None
        self._alarm: Alarm | None = None
        self._probe: Alarm | None = None

    def started(self) -> None:
        values = settings_of("template", 0)
        timeline = self.scene.timeline
        self._inbox = Inbox()
        self._letters = DeadLetters(Path("dead_letters.db"), 64)
        client: Any = subscription.connect(values.mqtt, "aoii-server", self._inbox, "aoii server")
        put = client._on_message

        def on_message(message: Any) -> None:
            put(message)
            alarm.set(self.scene.chance.randint(100, 1_500))

        client._on_message = on_message
        worker = self.process = IngestWorker(
            Database(values.database, create=True),
            self._letters,
            client,
            self._inbox,
            max_retries=2,
            base_delay_s=2,
            clock=SteppedClock(self.scene),
        )
        worker._metrics_due_s = float("inf")
        worker._pause = lambda seconds: seconds == HOLD_S  # type: ignore[method-assign]
        alarm = self._alarm = Alarm(timeline, lambda: self.run(self._step))
        self._probe = Alarm(timeline, lambda: self.run(self._watch))
        self._watch()
        client.start()
        alarm.set(1)
        if self.is_audited:
            self._start_audit(worker)

    def _start_audit(self, worker: IngestWorker) -> None:
        values = settings_of("template", 0)
        letters: Any = self._letters
        audit = self.audit = AuditWorker(
            worker._database.pool,
            worker.watch,
            letters.accounted,
            lambda: worker.gateways,
            values.mqtt,
            "aoii-server-audit",
        )
        alarm = self._audit_alarm = Alarm(self.scene.timeline, lambda: self.run(self._go_on_with_audit))
        client: Any = audit.client
        receive = client._on_message

        def on_message(message: Any) -> None:
            receive(message)
            alarm.set(200)

        publish = client.publish

        def count_and_publish(topic: str, payload: bytes, qos: int) -> bool:
            self.holes_asked += len(decode_ask(payload).holes)
            return bool(publish(topic, payload, qos))

        look = audit._look

        def look_and_check(kind: LookKind) -> None:
            gaps = self.database.gaps()
            look(kind)
            self._check_gaps()
            self.on_look(gaps)

        audit._look = look_and_check  # type: ignore[method-assign]
        client._on_message = on_message
        client.publish = count_and_publish
        client.start()
        alarm.set(300)

    def request_audit(self) -> None:
        """Somebody requests an audit, and the server notices it at once."""

        def request() -> None:
            assert self.audit is not None
            assert self._audit_alarm is not None
            self.audit._audits.request(is_full=False)
            self.audit._requests_due_s = 0.0
            self._audit_alarm.set(1)

        self.run(request)

    def is_answered_by(self, gateway: str) -> bool:
        """Whether its audit takes a gateway for one that answers."""
        known = None if self.audit is None else self.audit._audit.gateways.get(gateway)
        return known is not None and known.is_answering(self.scene.time.monotonic())

    def replay_refused(self) -> None:
        """A person has the dead letters replayed that the database had refused (`aoii dlq replay`)."""

        def act() -> None:
            assert self.process is not None
            assert self._letters is not None
            with contextlib.suppress(DatabaseAway):
                replay(self.process._database, self._letters, self._letters.letters(1000, reason="bad_row"))

        self.run(act)

    def _check_gaps(self) -> None:
        """After a look, no number in a gap has a row or a dead letter."""
        gaps = self.database.gaps()
        letters = [
            (node, epoch, counter)
            for node, epoch, counter in self.letters()
            for of, in_, first, last, _ in gaps
            if (of, in_) == (node, epoch) and first <= counter <= last
        ]
        for who in [*self.database.rows_in_gaps(), *letters]:
            self.scene.errors.append(f"a gap that has {who}, which is there")

    def _go_on_with_audit(self) -> None:
        """Let the audit do what is due; while it asks, it is called again soon, and otherwise at its next look."""
        audit = self.audit
        assert audit is not None
        assert self._audit_alarm is not None
        try:
            audit._go_on()
        except AoiiError as error:
            self.scene.log(f"audit: {error}")
            assert self._probe is not None
            self._probe.set(round(1000 * HEALTHY_PROBE_S))  # in truth it probes all the time
            self._audit_alarm.set(round(1000 * AGAIN_S))
            return
        machine = audit._audit
        is_asking = any(one._queue or one._sent for one in machine.gateways.values())
        self._audit_wait_ms = min(2 * self._audit_wait_ms, AUDIT_LAST_MS) if is_asking else AUDIT_FIRST_MS
        left_ms = max(100, round(1000 * (min(machine.deadline_s(), 1e9) - self.scene.time.monotonic())))
        self._audit_alarm.set(min(left_ms, self._audit_wait_ms if is_asking else AUDIT_IDLE_MS))

    def ended(self) -> None:
        self.process = self._letters = self.audit = None
        for alarm in (self._alarm, self._probe, self._audit_alarm):
            if alarm is not None:
                alarm.end()

    def letters(self) -> set[tuple[str, int, int]]:
        """The identities of the dead letters on its disk."""
        query = "SELECT node, epoch, counter FROM letters WHERE node IS NOT NULL"
        return {(_text(node), epoch, counter) for node, epoch, counter in
                self.disk.open_for_reading("dead_letters.db", query)}  # fmt: skip

    def identities(self) -> list[Identity]:
        return [Identity(*one) for one in self.letters()]

    def pool(self) -> ConnectionPool:
        return ConnectionPool(settings_of("template", 0).database, self.database.engine)

    def _step(self) -> None:
        worker = self.process
        assert worker is not None
        messages = self._inbox.take(500, 0)
        if messages:
            worker._handle(worker._decode(messages))
        is_more = worker._replay_batch()
        if is_more or self._inbox._messages:
            assert self._alarm is not None
            self._alarm.set(10)
        if not worker.watch.is_up:
            assert self._probe is not None
            self._probe.set(FAILURE_WAIT_MS)

    def _watch(self) -> None:
        assert self.process is not None
        assert self._probe is not None
        assert self._alarm is not None
        self.process.watch._probe()
        if self.process.watch.is_up:
            self._alarm.set(1)
            if self._audit_alarm is not None:
                self._audit_alarm.set(100)
        else:
            self._probe.set(FAILURE_WAIT_MS)


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name
