"""The receiver bridge: passes packets from the radio to the gateway's USB port, and frames back to the radio.

Frames of our own nodes pass unchanged, in binary. A packet of a node with the old firmware is text: it is passed on as
the line `Received: …`, and a reply line within a second is sent back. The content of frames and lines does not matter
here. Nothing is kept for a node that has stopped listening.
"""

from ..core.stream import DOWNLINK, LINE_LIMIT, Frame, Line, Reader, encode_usb_uplink

REPLY_WINDOW_MS = 1000  # the old receiver waited this long for its reply line
KEEP_MS = 1500  # a node listens for 2 s from the beginning of its packet, which takes 0.25 s at SF9
WAITING_LIMIT = 8  # downlinks for different nodes at once; a newer one replaces the oldest that is not being sent
RADIO_LIMIT = 80  # bytes; our longest frame has 33, and a frame on the USB port has room for 87
RULE = b"-" * 30  # the old receiver printed such a line after each packet


class ReceiverBridge:
    """Decides what goes to the radio and to the USB port.

    Attributes:
        dropped: Packets and replies that were not passed on: too long, too late, or too many.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._reader = Reader()
        self._waiting: list[tuple[bytes, int, bool]] = []  # packet, when it came, whether it is a reply to an old node
        self._reply_until_ms: int | None = None

    def accept_radio_packet(self, data: bytes, rssi_dbm: int, snr_db: int, now_ms: int) -> bytes:
        """What to write to the USB port for a packet from the radio; may be empty."""
        if not data or len(data) > RADIO_LIMIT:
            self.dropped += 1
            return b""
        text = data.rstrip(b"\r\n")
        if not _is_printable(text):
            return encode_usb_uplink(rssi_dbm, snr_db, data)
        self._reply_until_ms = now_ms + REPLY_WINDOW_MS
        return b"Received: " + text + b"\r\n"

    def accept_usb_bytes(self, chunk: bytes, now_ms: int) -> None:
        """Accept bytes from the gateway."""
        for found in self._reader.feed(chunk):
            if isinstance(found, Frame) and found.type == DOWNLINK and found.content:
                self._keep(found.content, now_ms, is_reply=False)
            elif isinstance(found, Line) and self._is_reply(found.text, now_ms):
                self._reply_until_ms = None  # one reply for each packet
                self._keep(found.text.encode() + b"\n", now_ms, is_reply=True)
            else:
                self.dropped += 1

    def next_packet(self, now_ms: int) -> bytes:
        """The packet to send now; empty when there is none. It stays until `confirm_sent`."""
        while self._waiting:
            data, came_ms, _ = self._waiting[0]
            if now_ms - came_ms <= KEEP_MS:
                return data
            self._waiting.pop(0)
            self.dropped += 1
        return b""

    def confirm_sent(self) -> bytes:
        """Remove the packet of `next_packet`; return what to write to the USB port once it is sent, may be empty."""
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
            self._waiting.pop(1)  # not the first, which may be on the air
            self.dropped += 1
        self._waiting.append((data, now_ms, is_reply))


def _is_printable(text: bytes) -> bool:
    return len(text) > 0 and all(32 <= byte < 127 for byte in text)
