"""Carries out what `repair` and `air_asks` decide: questions from the broker, steps in the outbox file, and reports.

Questions are queued by the connection's thread. The publisher's thread takes them, hands one step at a time to the
outbox file, where it is a request as any other, and publishes the reports. The file's thread says what came of a step,
and asks for each acknowledgement what the node shall send again. The lock is held for one decision.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

from aoii.broker.client import Message, Published
from aoii.broker.messages import Identity
from aoii.broker.packet_size import PacketTooLargeError
from aoii.broker.repair_messages import Report, decode_ask, encode_report, holds_topic
from aoii.core.errors import ProtocolError
from aoii.core.frames import Uplink
from aoii.gateway.air_asks import AirAsks
from aoii.gateway.drivers.outbox_file import OutboxFile
from aoii.gateway.drivers.outbox_transaction import Transaction
from aoii.gateway.findings import NodeEpoch
from aoii.gateway.numbers import GivenBack, NodeNumbers, Stretch
from aoii.gateway.repair import LOOK_LIMIT, ForgetForecasts, GiveBack, Look, Repair, Step
from aoii.runtime import metrics
from aoii.runtime.failure_log import FailureLog

log = logging.getLogger(__name__)

QUESTIONS_LIMIT = 100  # messages that wait; the server asks again for what one more would have asked
ROOM_SHARE = 0.8  # of the outbox's limit; above it nothing is given back, so that live readings find room
STEP_S = 0.02  # after so long a step begins no further piece: accepting a reading waits for it
REPORT = object()  # the token of every report at the client

T = TypeVar("T")
Publish = Callable[[str, bytes, int, object], bool]


class RepairWork:
    """A gateway's side of the repair.

    Args:
        gateway_id: Names the topic of the reports.
        outbox_file: Where the readings are.
        can_ask: Whether a node can be asked over the air, in this epoch.
        publish: Hands a message to the broker: topic, payload, QoS and token; False when it cannot.
        on_given_back: Called in the file's thread when readings are in the outbox again.
        forget_forecasts: Called in the file's thread when forecasts must not be used any more.
        wake: Wakes the thread that calls `go_on`.
    """

    def __init__(
        self,
        gateway_id: str,
        outbox_file: OutboxFile,
        *,
        can_ask: Callable[[NodeEpoch], bool],
        publish: Publish,
        on_given_back: Callable[[], None],
        forget_forecasts: Callable[[], None],
        wake: Callable[[], None],
    ) -> None:
        self._topic = holds_topic(gateway_id)
        self._outbox_file = outbox_file
        self._publish = publish
        self._on_given_back = on_given_back
        self._forget_forecasts = forget_forecasts
        self._wake = wake
        self._air = AirAsks()
        self._repair = Repair(self._air, can_ask)
        self._lock = threading.Lock()
        self._questions: queue.Queue[bytes] = queue.Queue(QUESTIONS_LIMIT)
        self._reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self._steps = FailureLog(log, "kept readings cannot be looked up or given back", "repair_failed", lasts_s=0)
        self._refused = FailureLog(log, "reports refused by the broker", "report_refused", lasts_s=0)

    # The connection's thread.

    def receive(self, message: Message) -> None:
        """Take a question of the server."""
        if message.is_kept:  # no news: what it asks for may have arrived long ago
            metrics.REPAIR_QUESTIONS.labels(result="kept").inc()
            return
        try:
            self._questions.put_nowait(message.payload)
        except queue.Full:
            metrics.REPAIR_QUESTIONS.labels(result="dropped").inc()
        self._wake()

    def record_state(self, is_connected: bool) -> None:
        """Note that the connection to the broker is there, or has ended."""
        with self._lock:
            if is_connected:
                self._repair.connected(_now_ms())
            else:
                self._repair.disconnected()

    def record_end(self, published: Published) -> None:
        """Note how the publish of a report has ended."""
        if published.reason is None:  # a new connection begins with a report
            metrics.REPAIR_REPORTS.labels(result="failed").inc()
        elif published.accepted:
            metrics.REPAIR_REPORTS.labels(result="sent").inc()
            self._refused.record_success()
        else:
            metrics.REPAIR_REPORTS.labels(result="refused").inc()
            self._refused.record_failure(
                f"reason code {published.reason}: let this gateway's user write {self._topic} in the broker's ACL, "
                "or the database cannot get back from here what it loses"
            )

    # The publisher's thread.

    def go_on(self) -> None:
        """Take the questions that have come, begin the next step in the file, and publish reports."""
        self._take_questions()
        file = self._outbox_file
        has_room = file.is_writable and file.used_bytes < ROOM_SHARE * file.limit_bytes
        with self._lock:
            step = self._repair.next_step(has_room, _now_ms())
            answer = self._repair.take_answer(_now_ms())
            is_report_due = self._repair.is_report_due(_now_ms())
        match step:
            case Look():
                file.submit(partial(_look, look=step), partial(self._on_looked, step))
            case GiveBack():
                file.submit(partial(_give_back, step=step), partial(self._on_gave_back, step))
            case ForgetForecasts():
                file.submit(Transaction.forget_states, partial(self._on_forgot, step))
        if answer is not None:
            file.submit(lambda tx: Report(tx.file_id(), tx.last_seq(), answer, ()), self._on_answer)
        if is_report_due:
            file.submit(lambda tx: (tx.file_id(), tx.last_seq(), tx.numbers()), self._on_numbers)
        while not self._reports.empty():
            self._send(self._reports.get())

    def _take_questions(self) -> None:
        while not self._questions.empty():
            try:
                ask = decode_ask(self._questions.get())
            except ProtocolError as error:
                metrics.REPAIR_QUESTIONS.labels(result="bad").inc()
                log.warning("question rejected", extra={"event": "question_bad", "reason": error.reason})
                continue
            with self._lock:
                left_out = self._repair.take(ask, _now_ms())
            metrics.REPAIR_QUESTIONS.labels(result="cut" if left_out else "taken").inc()
            metrics.REPAIR_QUESTION_S.set_to_current_time()

    def _send(self, report: Report) -> None:
        for payload in encode_report(report):
            try:
                is_taken = self._publish(self._topic, payload, 1, REPORT)
            except PacketTooLargeError:  # logged once by the client
                metrics.REPAIR_REPORTS.labels(result="refused").inc()
                continue
            if not is_taken:
                metrics.REPAIR_REPORTS.labels(result="failed").inc()

    # The thread of the outbox file.

    def learn(self, uplink: Uplink, is_new: bool) -> int:
        """Learn from an accepted frame of one of our nodes; return what its acknowledgement asks for (`Ack.again`).

        Args:
            uplink: The frame; its reading is in the outbox, or was before.
            is_new: Whether the frame was not accepted before.
        """
        whose = NodeEpoch(str(uplink.node), uplink.epoch)
        with self._lock:
            self._repair.arrived(whose, uplink.counter)
            learned = self._air.learn(uplink, is_new, _now_ms())
            self._repair.found(whose, learned.findings, _now_ms())
        for result in learned.results:
            metrics.REPAIR_AIR_ASKS.labels(result=result).inc()
        return learned.again

    def acknowledged(self, identities: Iterable[Identity]) -> None:
        """Note that readings have left the outbox."""
        with self._lock:
            self._repair.acknowledge(identities, _now_ms())

    def _on_looked(self, look: Look, future: "Future[list[list[Stretch]]]") -> None:
        if self._has_failed(look, future):
            return
        with self._lock:
            self._repair.looked(look, future.result(), _now_ms())
        self._wake()

    def _on_gave_back(self, step: GiveBack, future: "Future[list[GivenBack]]") -> None:
        if self._has_failed(step, future):
            return
        with self._lock:
            self._repair.gave_back(step, future.result(), _now_ms())
        metrics.REPAIR_GIVEN_BACK.inc(sum(one.copied for one in future.result()))
        self._on_given_back()
        self._wake()

    def _on_forgot(self, step: ForgetForecasts, future: "Future[None]") -> None:
        if self._has_failed(step, future):
            return
        with self._lock:
            self._repair.forgot()
        self._forget_forecasts()
        log.warning(
            "outbox file is an older copy of itself: forecasts are forgotten, and old nodes begin a new epoch",
            extra={"event": "outbox_restored"},
        )

    def _has_failed(self, step: Step, future: "Future[T]") -> bool:
        error = future.exception()
        if error is None:
            self._steps.record_success()
            return False
        self._steps.record_failure(str(error))
        with self._lock:
            self._repair.failed(step, _now_ms())
        return True

    def _on_answer(self, future: "Future[Report]") -> None:
        if future.exception() is None:  # else the report that is due says it later
            self._reports.put(future.result())
            self._wake()

    def _on_numbers(self, future: "Future[tuple[str, int, list[NodeNumbers]]]") -> None:
        error = future.exception()
        with self._lock:
            if error is not None:
                self._repair.fail_report(_now_ms())
            else:
                self._reports.put(self._repair.report(*future.result(), _now_ms()))
        if error is not None:
            metrics.REPAIR_REPORTS.labels(result="failed").inc()
        self._wake()


def _look(tx: Transaction, look: Look) -> list[list[Stretch]]:
    begun_s = time.monotonic()
    found: list[list[Stretch]] = []
    left = LOOK_LIMIT
    for piece in look.pieces:
        found.append(tx.find(*piece.whose, piece.first, piece.last, left))
        left -= len(found[-1])
        if left <= 0 or time.monotonic() - begun_s > STEP_S:
            break
    return found


def _give_back(tx: Transaction, step: GiveBack) -> list[GivenBack]:
    begun_s = time.monotonic()
    copied: list[GivenBack] = []
    left = step.limit
    for piece in step.pieces:
        copied.append(tx.give_back(*piece.whose, piece.first, piece.last, left))
        left -= copied[-1].copied
        if left <= 0 or time.monotonic() - begun_s > STEP_S:
            break
    return copied


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
