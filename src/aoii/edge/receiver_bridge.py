"""The receiver on the gateway's USB port: what was heard on the radio goes up, what the gateway says goes down.

Frames of our own nodes pass as they are, in binary. What a node with the old firmware sends is text: it is passed on
as the line `Received: …`, and the reply line that comes within a second is sent back. It refuses to know what frames
and payloads mean, and keeps nothing for a node that has stopped listening.
"""

from ..core.stream import DOWNLINK, LINE_LIMIT, Frame, Line, Reader, encode_usb_uplink

REPLY_WINDOW_MS = 1000  # so long the old receiver waited for its reply line
KEEP_MS = 1500  # a node listens for 2 s from the beginning of its packet, which has taken 0.25 s at SF9
WAITING_LIMIT = 8  # downlinks for different nodes at once; the oldest gives way
RADIO_LIMIT = 80  # bytes; the longest frame of ours has 32, and no more fit into a frame on the port
RULE = b"-" * 30  # the old receiver printed such a line after each packet


class ReceiverBridge:
    """What waits for the radio, and what was said on the port.

    Attributes:
        dropped: Packets and answers that were not passed on: too long, too late, too many.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._reader = Reader()
        self._waiting: list[tuple[bytes, int, bool]] = []  # packet, when it came, whether it is a reply to an old node
        self._reply_until_ms: int | None = None

    def accept_radio_packet(self, data: bytes, rssi_dbm: int, snr_db: int, now_ms: int) -> bytes:
        """What the port is to be told of a packet from the radio; empty when nothing."""
        if not data or len(data) > RADIO_LIMIT:
            self.dropped += 1
            return b""
        text = data.rstrip(b"\r\n")
        if not _is_printable(text):
            return encode_usb_uplink(rssi_dbm, snr_db, data)
        self._reply_until_ms = now_ms + REPLY_WINDOW_MS
        return b"Received: " + text + b"\r\n"

    def accept_usb_bytes(self, chunk: bytes, now_ms: int) -> None:
        """Take what came from the gateway."""
        for found in self._reader.feed(chunk):
            if isinstance(found, Frame) and found.type == DOWNLINK and found.content:
                self._keep(found.content, now_ms, is_reply=False)
            elif isinstance(found, Line) and self._is_reply(found.text, now_ms):
                self._reply_until_ms = None  # one reply a packet
                self._keep(found.text.encode() + b"\n", now_ms, is_reply=True)
            else:
                self.dropped += 1

    def next_packet(self, now_ms: int) -> bytes:
        """The packet that is to be sent now; empty when there is none. It stays until `sent`."""
        while self._waiting:
            data, came_ms, _ = self._waiting[0]
            if now_ms - came_ms <= KEEP_MS:
                return data
            self._waiting.pop(0)
            self.dropped += 1
        return b""

    def confirm_sent(self) -> bytes:
        """The packet that `next` gave is on the air; what the port is to be told of it."""
        data, _, is_reply = self._waiting.pop(0)
        return b"Sync sent: " + data.rstrip(b"\n") + b"\r\n" + RULE + b"\r\n" if is_reply else b""

    def _is_reply(self, text: str, now_ms: int) -> bool:
        until_ms = self._reply_until_ms
        return until_ms is not None and now_ms <= until_ms and text.isdigit() and len(text) < LINE_LIMIT // 8

    def _keep(self, data: bytes, now_ms: int, is_reply: bool) -> None:
        if len(data) > RADIO_LIMIT:
            self.dropped += 1
            return
        if len(self._waiting) == WAITING_LIMIT:
            self._waiting.pop(1)  # the first may be on the air
            self.dropped += 1
        self._waiting.append((data, now_ms, is_reply))


def _is_printable(text: bytes) -> bool:
    for byte in text:
        if not 32 <= byte < 127:
            return False
    return len(text) > 0
