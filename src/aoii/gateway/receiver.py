"""One serial port with whoever speaks there: an old node, or any number of ours, or both.

What cannot be read or is not believed is counted by reason and gets no answer; everything else is handed to the ledger,
and answered when it is committed. It refuses to decide what a reading means.
"""

import functools
import logging
from collections.abc import Sequence
from concurrent.futures import Future

from aoii.core.errors import ProtocolError, UnavailableError
from aoii.core.frames import MAC_BYTES, Ack, Rejected, Uplink, decode_uplink, encode_ack, node_of
from aoii.core.stream import DOWNLINK, UPLINK, Damaged, Frame, Line, decode_usb_uplink, encode_usb
from aoii.gateway import node_state
from aoii.gateway.drivers.serial_port import STOPPED, SerialPort
from aoii.gateway.events import Instant
from aoii.gateway.intake import Judged, Kept, Ledger
from aoii.gateway.legacy import old_node
from aoii.gateway.legacy.old_node import Payload, Refused, TimeRequest
from aoii.runtime import metrics
from aoii.security.node_keys import KeyRing, NodeKey

log = logging.getLogger(__name__)

REPLY_LIMIT_S = 0.9  # the old receiver waits 1 s for the reply; a later one would answer the next packet


class Receiver:
    """A port and its dialogue.

    Args:
        path: The serial port.
        old_node: Name of the old node that may stand there.
        ledger: Where readings are kept.
        keys: Of our own nodes.
    """

    def __init__(self, path: str, old_node: str, ledger: Ledger, keys: KeyRing) -> None:
        self._old_node = old_node
        self._ledger = ledger
        self._keys = keys
        self._is_contradicted = False
        self.port = SerialPort(path, self._heard, self._changed, metrics.REPLIES_LATE.inc)
        metrics.SERIAL_UP.labels(port=path).set(0)

    def _changed(self, is_open: bool, reason: str) -> None:
        metrics.SERIAL_UP.labels(port=self.port.path).set(is_open)
        if is_open:
            metrics.SERIAL_OPENS.inc()
            log.info("serial port opened", extra={"event": "serial_open", "port": self.port.path})
        elif reason != STOPPED:
            log.warning("serial port away", extra={"event": "serial_away", "port": self.port.path, "reason": reason})

    def _heard(self, items: Sequence[Line | Frame | Damaged], read_s: float) -> None:
        at = self._ledger.now()
        for item in items:
            if isinstance(item, Frame):
                self._take_frame(item, at)
            elif isinstance(item, Line):
                self._take_line(item.text, at, read_s)
            else:
                self._refuse(item.reason)

    def _refuse(self, reason: str, detail: str = "") -> None:
        metrics.REJECTED.labels(reason=reason).inc()
        fields = {"event": "refused", "reason": reason, "port": self.port.path} | ({"detail": detail} if detail else {})
        log.warning("refused what came from the radio", extra=fields)

    def _take_frame(self, frame: Frame, at: Instant) -> None:
        if frame.type != UPLINK:
            self._refuse("type")
            return
        rssi_dbm, snr_db, data = decode_usb_uplink(frame.content)
        number = node_of(data)
        key = None if number is None else self._keys.get(number)
        uplink = decode_uplink(data, lambda _: None if key is None else key.key)
        if isinstance(uplink, Rejected) and uplink.reason == "mac" and key is not None and key.previous is not None:
            # Rotated, and perhaps not told yet. Once it has been heard with the new key, its old epoch is refused.
            old = key = key.previous
            uplink = decode_uplink(data, lambda _: old.key)
        if isinstance(uplink, Rejected):
            self._refuse(*uplink)
        elif key is not None:
            answer = functools.partial(self._answer_frame, uplink, key, (rssi_dbm, snr_db))
            self._ledger.submit_frame(uplink, data[-MAC_BYTES:], key, at, answer)

    def _answer_frame(self, uplink: Uplink, key: NodeKey, signal: tuple[int, int], future: "Future[Judged]") -> None:
        try:
            decision = future.result().decision
        except ProtocolError as error:
            self._refuse(error.reason, str(error))
            return
        except UnavailableError:  # counted by the ledger; the node tries again
            return
        if isinstance(decision, Rejected):
            self._refuse(*decision)
            return
        is_new = isinstance(decision, node_state.Accepted) and decision.event is not None
        metrics.PACKETS.labels(kind=uplink.kind if is_new else "repeated").inc()
        self._ledger.vitals.frame(uplink, *signal)
        now = self._ledger.now()
        unix_s, unix_ms = divmod(now.unix_ms, 1000) if now.is_synced else (0, 0)
        generation, settings = decision.answer.generation, decision.answer.settings
        ack = Ack(uplink.node, uplink.epoch, uplink.frame, unix_s, unix_ms, generation, settings)
        self.port.answer(encode_usb(DOWNLINK, encode_ack(ack, key.key)))

    def _take_line(self, text: str, at: Instant, read_s: float) -> None:
        said = old_node.read(text)
        if isinstance(said, Refused):
            self._refuse(said.reason)
        elif isinstance(said, TimeRequest):
            metrics.PACKETS.labels(kind="time").inc()
            self._reply(read_s)
        elif isinstance(said, Payload):
            self._ledger.submit_line(self._old_node, said, at, functools.partial(self._answer_line, read_s))

    def _answer_line(self, read_s: float, future: "Future[Kept]") -> None:
        try:
            kept = future.result()
        except ProtocolError as error:  # and so may every one that follows, for good
            metrics.REJECTED.labels(reason=error.reason).inc()
            if not self._is_contradicted:
                fields = {"event": "line_refused", "reason": error.reason, "detail": str(error)}
                log.error("readings of an old node are refused", extra=fields | {"port": self.port.path})  # noqa: TRY400 - the message says it all
            self._is_contradicted = True
            return
        except UnavailableError:  # counted by the ledger; the node hears nothing, as if nobody was there
            return
        self._is_contradicted = False
        metrics.PACKETS.labels(kind="legacy").inc()
        if kept.heard.diverged:
            log.warning("mirrored model diverged and begins anew", extra={"event": "diverged", "node": self._old_node})
        self._reply(read_s)

    def _reply(self, read_s: float) -> None:
        """Unix seconds: for an old node the time and the acknowledgement in one."""
        self.port.answer(b"%d\n" % (self._ledger.now().unix_ms // 1000), read_s + REPLY_LIMIT_S)
