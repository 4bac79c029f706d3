"""The few packets of MQTT 5 with which a broker is asked whether it would take a message; see `publish_probe.py`.

Pure: values in, bytes out; bytes in, values out.

Source: MQTT 5.0, 3.1 (CONNECT), 3.2 (CONNACK), 3.3 (PUBLISH), 3.5 (PUBREC), 3.14 (DISCONNECT).
"""

from typing import NamedTuple

CONNACK, PUBREC, DISCONNECT = 2, 5, 14  # types of packets
LENGTH_LIMIT = 4  # bytes of a length
DISCONNECTING = b"\xe0\x00"


class Packet(NamedTuple):
    """A packet that has come: its type, and its reason code (0: success; from 128 on a refusal)."""

    kind: int
    reason: int


def connect(client_id: str, username: str | None, password: str | None) -> bytes:
    """CONNECT with a clean start, a keep-alive of 30 s, and no session after the connection."""
    flags = 0x02 | (0x80 if username is not None else 0) | (0x40 if password is not None else 0)
    body = _text("MQTT") + bytes((5, flags)) + (30).to_bytes(2, "big") + b"\x00" + _text(client_id)
    for one in (username, password):
        body += b"" if one is None else _text(one)
    return _packet(0x10, body)


def publish(topic: str, number: int) -> bytes:
    """PUBLISH of an empty message at QoS 2, with the packet identifier `number`."""
    return _packet(0x34, _text(topic) + number.to_bytes(2, "big") + b"\x00")


def split(data: bytes) -> tuple[Packet | None, bytes]:
    """The first whole packet, and the bytes after it; None while it is not complete.

    Raises:
        ValueError: It is no packet.
    """
    length, shift = 0, 0
    for place, byte in enumerate(data[1 : 1 + LENGTH_LIMIT], 2):
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            end = place + length
            return (None, data) if len(data) < end else (_decode(data[0] >> 4, data[place:end]), data[end:])
    if len(data) > LENGTH_LIMIT:
        raise ValueError("the length of a packet has more than four bytes")
    return None, data


def _decode(kind: int, body: bytes) -> Packet:
    """The reason code is the second byte of a CONNACK, the third of a PUBREC, the first of a DISCONNECT; else 0."""
    place = {CONNACK: 1, PUBREC: 2, DISCONNECT: 0}.get(kind, len(body))
    return Packet(kind, body[place] if place < len(body) else 0)


def _packet(first: int, body: bytes) -> bytes:
    length = bytearray()
    left = len(body)
    while True:
        left, low = divmod(left, 128)
        length.append(low | (0x80 if left else 0))
        if not left:
            return bytes((first,)) + bytes(length) + body


def _text(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(2, "big") + encoded
