"""The receiver's USB port: text lines of the old firmware and binary frames of our own, in one stream of bytes.

Text lines end in a newline and have no zero byte. A binary frame is `00 COBS(type, content, CRC-32) 00`. `Reader.feed`
gives the same list for the same bytes, however they are cut into chunks. After noise it finds the next line or frame;
damaged bytes are one `Damaged` note, never an exception. The meaning of lines and frames does not matter here.

Source: S. Cheshire, M. Baker, "Consistent Overhead Byte Stuffing", IEEE/ACM ToN 7(2), 1999;
docs/reference/wire-format.md.
"""

import struct
from binascii import crc32
from collections import namedtuple

from .errors import InternalError

LINE_LIMIT = 256  # bytes without the newline; the longest line of the old receiver has 40
FRAME_LIMIT = 96  # encoded bytes between the zeros; an uplink has 40

UPLINK = b"U"  # receiver to gateway: rssi int8, snr int8, radio frame
DOWNLINK = b"D"  # gateway to receiver: radio frame

# Why bytes are damaged; docs/reference/wire-format.md explains each.
REASONS = ("encoding", "long", "cut", "cobs", "crc")


class Line(namedtuple("Line", "text")):
    """A line of text; empty lines are not reported.

    Attributes:
        text: The line without its end.
    """

    __slots__ = ()
    text: str


class Frame(namedtuple("Frame", "type content")):
    """A binary frame.

    Attributes:
        type: UPLINK or DOWNLINK, one byte.
        content: What follows the type, without the CRC.
    """

    __slots__ = ()
    type: bytes
    content: bytes


class Damaged(namedtuple("Damaged", "reason")):
    """Bytes that are neither a line nor a frame.

    Attributes:
        reason: One of REASONS, fit for a metric label.
    """

    __slots__ = ()
    reason: str


def encode_usb(kind: bytes, content: bytes) -> bytes:
    """A binary frame as bytes for the USB port, with both zeros.

    Args:
        kind: UPLINK or DOWNLINK.
        content: At most 89 bytes; the first one is not printable, so that no reader takes the frame for a line.

    Raises:
        InternalError: The frame is longer than FRAME_LIMIT.
    """
    body = kind + content
    if len(body) > FRAME_LIMIT - 6:  # the CRC adds 4 bytes and COBS 1; one is left over
        raise InternalError(f"a frame has {len(body)} bytes; use at most {FRAME_LIMIT - 6}")
    return b"\0" + _stuff(body + struct.pack("<I", crc32(body))) + b"\0"


def encode_usb_uplink(rssi_dbm: int, snr_db: int, data: bytes) -> bytes:
    """A received radio frame as an UPLINK frame for the USB port.

    RSSI is clamped to -128..-1 dBm, because the first byte of a content must not be printable; SNR to -128..127 dB.
    """
    strength = max(-128, min(-1, rssi_dbm))
    return encode_usb(UPLINK, struct.pack("<bb", strength, max(-128, min(127, snr_db))) + data)


def decode_usb_uplink(content: bytes) -> tuple[int, int, bytes]:
    """The content of an UPLINK frame: (RSSI in dBm, SNR in dB, radio frame); (0, 0, empty) when it is too short."""
    if len(content) < 2:
        return 0, 0, b""
    rssi_dbm, snr_db = struct.unpack("<bb", content[:2])
    return rssi_dbm, snr_db, content[2:]


def _stuff(data: bytes) -> bytes:
    """COBS: each run of bytes without a zero, after its length plus one; `data` is shorter than 254 bytes."""
    return b"".join(bytes((len(run) + 1,)) + run for run in data.split(b"\0"))


def _unstuff(data: bytes) -> bytes | None:
    """The inverse of `_stuff`; None when the lengths do not fit; `data` has no zero."""
    runs = []
    at = 0
    while at < len(data):
        end = at + data[at]
        if end > len(data):
            return None
        runs.append(data[at + 1 : end])
        at = end
    return b"\0".join(runs)


# States of the reader. A frame or a line may follow a zero: a boot or a bad cable puts single zeros into text.
TEXT = "text"  # a newline ends a line
OPEN = "open"  # after a zero; a newline ends a line only if all before it is plain text and not empty
SKIP = "skip"  # too long: everything up to the next newline or zero is dropped


class Reader:
    """Cuts the stream into lines and frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._state = TEXT
        self._limit = LINE_LIMIT
        self._plain = True  # all bytes in the buffer are printable ASCII

    def feed(self, chunk: bytes) -> "list[Line | Frame | Damaged]":
        """The lines, frames and notes that are complete with these bytes, in order."""
        found = []
        for byte in chunk:
            note = self._take(byte)
            if note is not None:
                found.append(note)
        return found

    def _take(self, byte: int) -> "Line | Frame | Damaged | None":
        if byte == 0:
            return self._zero()
        if byte == 10 and (self._state != OPEN or (self._plain and self._buffer)):
            return self._newline()
        if self._state == SKIP:
            return None
        if len(self._buffer) == self._limit:
            self._begin(SKIP)
            return Damaged("long")
        # A newline right after a zero is an empty line or the first length of a frame: the next bytes show which.
        if not 32 <= byte < 127 and byte not in (9, 13) and (byte != 10 or self._buffer):
            self._plain = False
        self._buffer.append(byte)
        return None

    def _newline(self) -> "Line | Damaged | None":
        content = bytes(self._buffer)
        skipping = self._state == SKIP
        self._begin(TEXT)
        if skipping:
            return None
        try:
            text = content.decode().strip("\r\n")
        except UnicodeError:
            return Damaged("encoding")
        return Line(text) if text else None

    def _zero(self) -> "Frame | Damaged | None":
        content = bytes(self._buffer)
        state = self._state
        self._begin(OPEN)
        if not content:
            return None
        found = _frame(content)
        if isinstance(found, Frame):
            self._begin(TEXT)
            return found
        return Damaged("cut") if state == TEXT else found

    def _begin(self, state: str) -> None:
        self._state = state
        self._limit = FRAME_LIMIT if state == OPEN else LINE_LIMIT
        self._plain = True
        self._buffer = bytearray()


def _frame(encoded: bytes) -> Frame | Damaged:
    data = _unstuff(encoded)
    if data is None or len(data) < 5:
        return Damaged("cobs")
    body = data[:-4]
    if struct.unpack("<I", data[-4:])[0] != crc32(body):
        return Damaged("crc")
    return Frame(body[:1], body[1:])
