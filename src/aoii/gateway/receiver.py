"""One serial port: reads frames and lines, authenticates frames, and answers what the intake has committed.

Behind the port is a receiver, and behind that an old node, any number of our own nodes, or both. A frame or line that
cannot be read or authenticated is counted by reason and gets no answer. A request for the time is answered at once.
Everything else goes to the intake, and is answered once it is committed; what the intake rejects gets no answer. What a
reading means is decided elsewhere.
"""

import functools
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from aoii.core.errors import ProtocolError, UnavailableError
from aoii.core.frames import (
    ACK_BYTES,
    ACK_WITH_SETTINGS_BYTES,
    MAC_BYTES,
    Ack,
    Rejected,
    Uplink,
    decode_ack,
    decode_uplink,
    encode_ack,
    node_of,
)
from aoii.core.stream import DOWNLINK, UPLINK, Damaged, Frame, Line, decode_usb_uplink, encode_usb
from aoii.gateway import node_state, witness
from aoii.gateway.drivers.serial_port import STOPPED, SerialPort
from aoii.gateway.intake import FrameResult, Intake, LineResult
from aoii.gateway.legacy import old_node
from aoii.gateway.legacy.old_node import Payload, RejectedLine, TimeRequest
from aoii.gateway.listening import Listening
from aoii.gateway.neighbours import Neighbours
from aoii.gateway.readings import Instant
from aoii.runtime import metrics
from aoii.runtime.failure_log import FailureLog
from aoii.security.node_keys import KeyRing, NodeKey

log = logging.getLogger(__name__)

REPLY_LIMIT_S = 0.9  # the old receiver waits 1 s for the reply; a later one would answer the next packet


class Receiver:
    """The dialogue with the nodes behind one serial port.

    Args:
        path: The serial port.
        old_node: Name of the old node that may be behind it.
        intake: Where readings go.
        keys: Keys of our own nodes.
        neighbours: What is heard of other gateways; the same object for all receivers of this gateway.
        listening: Is told what is heard, and whether anybody listens.
        learn: Gets each frame of our own nodes that is safe, in the outbox file's thread, and whether it was not
            accepted before; returns what its acknowledgement asks for: nothing at a witness.
        slot_ms: How long a witness waits before it answers; None: this gateway is no witness.
    """

    def __init__(
        self,
        path: str,
        old_node: str,
        intake: Intake,
        keys: KeyRing,
        neighbours: Neighbours,
        listening: Listening,
        learn: Callable[[Uplink, bool], int],
        slot_ms: int | None = None,
    ) -> None:
        self._learn = learn
        self._old_node = old_node
        self._intake = intake
        self._keys = keys
        self._neighbours = neighbours
        self._listening = listening
        self._slot_ms = slot_ms
        self._repetitions = witness.Repetitions()
        self._is_conflict_reported = False
        self._away = FailureLog(log, "serial port away", "serial_away", lasts_s=0, fields={"port": path})
        self.port = SerialPort(path, self._on_items, self._on_state, metrics.REPLIES_LATE.inc)
        metrics.SERIAL_UP.labels(port=path).set(0)

    # The port's thread.

    def _on_state(self, is_open: bool, reason: str) -> None:
        metrics.SERIAL_UP.labels(port=self.port.path).set(is_open)
        self._listening.set_listening(self.port.path, is_open)
        if is_open:
            metrics.SERIAL_OPENS.inc()
            self._away.record_success()
            log.info("serial port opened", extra={"event": "serial_open", "port": self.port.path})
        elif reason != STOPPED:
            self._away.record_failure(reason)

    def _on_items(self, items: Sequence[Line | Frame | Damaged], read_s: float) -> None:
        at = self._intake.now()
        for item in items:
            if isinstance(item, Frame):
                self._on_frame(item, at, read_s)
            elif isinstance(item, Line):
                self._on_line(item.text, at, read_s)
            else:
                self._reject(item.reason)

    def _on_frame(self, frame: Frame, at: Instant, read_s: float) -> None:
        if frame.type != UPLINK:
            self._reject("type")
            return
        rssi_dbm, snr_db, data = decode_usb_uplink(frame.content)
        number = node_of(data)
        key = None if number is None else self._keys.get(number)
        if number is not None and key is not None and len(data) in (ACK_BYTES, ACK_WITH_SETTINGS_BYTES):
            self._on_ack(data, number, key, read_s)
            return
        uplink = decode_uplink(data, lambda _: None if key is None else key.key)
        if isinstance(uplink, Rejected) and uplink.reason == "mac" and key is not None and key.previous is not None:
            # The key was rotated, and the node may not have the new one yet. After the node's first frame with the new
            # key, `node_state` rejects the old epoch.
            old = key = key.previous
            uplink = decode_uplink(data, lambda _: old.key)
        if isinstance(uplink, Rejected):
            self._reject(*uplink)
        elif key is not None:
            answer = functools.partial(self._answer_frame, uplink, key, (rssi_dbm, snr_db), read_s)
            self._intake.submit_frame(uplink, data[-MAC_BYTES:], key, at, answer)

    def _on_ack(self, data: bytes, number: int, key: NodeKey, read_s: float) -> None:
        """What the radio heard of a gateway: of another one, or of another receiver of this one."""
        ack = decode_ack(data, number, key.epoch, key.key)
        if isinstance(ack, Rejected) and key.previous is not None:
            ack = decode_ack(data, number, key.previous.epoch, key.previous.key)
        if isinstance(ack, Rejected):
            self._reject(*ack)
        else:
            self._neighbours.record(ack, data, self._intake.newest_frame(str(number)), read_s)

    def _on_line(self, text: str, at: Instant, read_s: float) -> None:
        line = old_node.decode_line(text)
        if isinstance(line, RejectedLine):
            self._reject(line.reason)
        elif isinstance(line, TimeRequest):
            metrics.PACKETS.labels(kind="time").inc()
            self._reply(read_s)
        elif isinstance(line, Payload):
            self._intake.submit_line(self._old_node, line, at, functools.partial(self._answer_line, read_s))

    def _reject(self, reason: str, detail: str = "") -> None:
        metrics.REJECTED.labels(reason=reason).inc()
        fields = {"event": "rejected", "reason": reason, "port": self.port.path} | (
            {"detail": detail} if detail else {}
        )
        log.warning("frame or line rejected", extra=fields)

    # The outbox file's thread.

    def _answer_frame(
        self,
        uplink: Uplink,
        key: NodeKey,
        signal: tuple[int, int],
        read_s: float,
        future: "Future[FrameResult]",
    ) -> None:
        try:
            decision, _ = future.result()
        except ProtocolError as error:  # its counter has been used for another reading
            self._reject(error.reason, str(error))
            self._intake.node_metrics.record_repeated_number(str(uplink.node), None)
            return
        except UnavailableError:  # counted by the intake; the node tries again
            return
        if isinstance(decision, Rejected):
            self._reject(*decision)
            if decision.reason == "replay":
                self._intake.node_metrics.record_repeated_number(str(uplink.node), uplink.frame)
            return
        is_new = isinstance(decision, node_state.Accepted) and decision.reading is not None
        metrics.PACKETS.labels(kind=uplink.kind if is_new else "repeated").inc()
        self._intake.node_metrics.record_frame(uplink, *signal)
        heartbeat_s = decision.state.heartbeat_s if isinstance(decision, node_state.Accepted) else None
        now = self._intake.now()
        self._record_heard(str(uplink.node), heartbeat_s, now)
        if decision.answer.is_moved:
            self._neighbours.record_moved(uplink.node)
        again = self._learn(uplink, isinstance(decision, node_state.Accepted))
        if self._slot_ms is not None:
            self._answer_as_witness(uplink, key, read_s, self._slot_ms)
            return
        unix_s, unix_ms = divmod(now.unix_ms, 1000) if now.is_synced else (0, 0)
        generation, settings = decision.answer.generation, decision.answer.settings
        ack = Ack(uplink.node, uplink.epoch, uplink.frame, unix_s, unix_ms, generation, settings, again)
        self.port.answer(self._downlink(ack, key))

    def _downlink(self, ack: Ack, key: NodeKey) -> bytes:
        data = encode_ack(ack, key.key)
        self._neighbours.overheard.record_own(data)
        return encode_usb(DOWNLINK, data)

    def _answer_as_witness(self, uplink: Uplink, key: NodeKey, read_s: float, slot_ms: int) -> None:
        """Say that the reading is safe, and nothing else, unless the first gateway does so meanwhile."""
        if not self._repetitions.is_repeated(uplink):
            metrics.WITNESS_ANSWERS.labels(result="first").inc()
            return

        def make() -> bytes | None:  # in the port's thread
            if self._neighbours.overheard.is_answered(uplink.node, uplink.epoch, uplink.frame, read_s):
                metrics.WITNESS_ANSWERS.labels(result="heard").inc()
                return None
            metrics.WITNESS_ANSWERS.labels(result="sent").inc()
            return self._downlink(Ack(uplink.node, uplink.epoch, uplink.frame, 0, 0, uplink.generation, None, 0), key)

        self.port.answer_later(make, slot_ms / 1000)

    def _answer_line(self, read_s: float, future: "Future[LineResult]") -> None:
        try:
            accepted, _ = future.result()
        except ProtocolError as error:  # logged once: every later reading of this node may conflict too
            metrics.REJECTED.labels(reason=error.reason).inc()
            if not self._is_conflict_reported:
                fields = {"event": "line_rejected", "reason": error.reason, "detail": str(error)}
                log.error("readings of an old node are rejected", extra=fields | {"port": self.port.path})  # noqa: TRY400 - the message says it all
            self._is_conflict_reported = True
            return
        except UnavailableError:  # counted by the intake; the node gets no reply, as if no gateway were there
            return
        self._is_conflict_reported = False
        metrics.PACKETS.labels(kind="legacy").inc()
        self._record_heard(self._old_node, 0, self._intake.now())
        if accepted.diverged:
            log.warning("mirrored model diverged and starts again", extra={"event": "diverged", "node": self._old_node})
        self._reply(read_s)

    def _record_heard(self, node: str, heartbeat_s: int | None, at: Instant) -> None:
        is_faulty = self._intake.node_metrics.is_sensor_faulty(node)
        self._listening.record(node, self.port.path, heartbeat_s, at.synced_unix_ms, is_faulty=is_faulty)

    def _reply(self, read_s: float) -> None:
        """Answer an old node with Unix seconds, which are the time and the acknowledgement in one."""
        self.port.answer(b"%d\n" % (self._intake.now().unix_ms // 1000), read_s + REPLY_LIMIT_S)
