"""The radio frames: uplinks of a node, acknowledgements of the gateway, and which of them are authentic.

Each frame ends in a code: six bytes of HMAC-SHA256 under the node's own key. It covers the direction too, so an
acknowledgement can never pass for an uplink. A frame that does not fit is a `Rejected` value with a reason from a fixed
set, never an exception. Nothing is remembered here: epochs and replays are checked by the holder of the node's state.

Byte by byte: docs/reference/wire-format.md.
"""

import hashlib
import struct
from collections import namedtuple

from .errors import InternalError
from .forecast import DAMPED, HOLD, Trend
from .forecast import NodeSettings as NodeSettings  # noqa: PLC0414 - part of an acknowledgement

MYPY = False  # for type checkers only: MicroPython has no collections.abc
if MYPY:
    from collections.abc import Callable

VERSION = 1
UPLINK_BYTES = 32  # 247 ms on the air at SF9
ACK_BYTES = 22
ACK_WITH_SETTINGS_BYTES = 33
KEY_BYTES = 16
MAC_BYTES = 6  # a forger who sends a frame a second for a year succeeds with probability 1e-7

EVENT = 1  # the gateway's forecast is wrong
HEARTBEAT = 2  # the node was silent for long
BACKFILL = 4  # an older reading, for the database only: no trend, and does not change the gateway's forecast
SENSOR_FAULT = 8
LOW_BATTERY = 16
KIND = EVENT | HEARTBEAT | BACKFILL  # exactly one of the three is set
KIND_NAMES = {EVENT: "event", HEARTBEAT: "heartbeat", BACKFILL: "backfill"}

AGE_LIMIT_S = 0xFFFFFF  # 194 days; the age of older samples, and of those of unknown age
ANSWER_LIMIT = 0x7FFFFFFF  # counters above it are never asked for: `answers` has a sign
AGAIN_LIMIT = 30  # the farthest that an acknowledgement can ask back; 31 is reserved, and asks for nothing

REASONS = ("length", "version", "unknown_node", "node", "epoch", "mac", "trend", "flags", "range", "replay")

_UPLINK = "<BHHIIHB"  # version and damping, node, epoch, frame, counter, age (24 bits)
_READING = "<hH4sBB"  # temperature, humidity, trend or answers, flags and generation, battery
_ACK = "<BHHIIHB"  # version and type 1, node, epoch, frame, Unix time in s and ms, generation and `again`
_SETTINGS = "<HHHHHB"  # the fields of NodeSettings


class Uplink(
    namedtuple(
        "Uplink", "node epoch frame counter age_s temperature_c humidity_c trend flags generation battery answers"
    )
):
    """A frame from a node.

    Attributes:
        node: Number of the node, 0..65535.
        epoch: How many times it has been provisioned, 0..65535; its counters begin again with each epoch.
        frame: Number of the frame, 0..2**32-1; rises with each distinct frame; a resend has the same.
        counter: Number of the reading in this epoch, 0..2**32-1; its content never changes.
        age_s: Seconds from the sample to the first transmission of the frame, 0..AGE_LIMIT_S.
        temperature_c: 0.01 °C, -32768..32767.
        humidity_c: 0.01 %RH, 0..65535.
        trend: How the estimate moves on from the reading; without steps and slopes in a BACKFILL.
        flags: One of EVENT, HEARTBEAT and BACKFILL, and SENSOR_FAULT and LOW_BATTERY if they apply.
        generation: Generation of the settings in force at the node, 0..7; 0: as provisioned.
        battery: 20 mV steps above 1.0 V, 0..255; 0: unknown.
        answers: In a BACKFILL that was asked for, the number T that was asked for, else 0. T: "nothing that I hold lies
            in (counter, T], and no number there was ever acknowledged". -T: the first half only. When counter > T, the
            range is 1..T. -ANSWER_LIMIT..ANSWER_LIMIT.
    """

    __slots__ = ()
    node: int
    epoch: int
    frame: int
    counter: int
    age_s: int
    temperature_c: int
    humidity_c: int
    trend: Trend
    flags: int
    generation: int
    battery: int
    answers: int

    @property
    def kind(self) -> str:
        """`event`, `heartbeat` or `backfill`."""
        return KIND_NAMES[self.flags & KIND]


class Ack(namedtuple("Ack", "node epoch frame unix_s unix_ms generation settings again")):
    """The gateway's answer once the reading is safe.

    Attributes:
        node: Node of the frame that is acknowledged.
        epoch: Its epoch.
        frame: Its number.
        unix_s: The gateway's Unix time when it made this answer, seconds; 0: it does not know the time.
        unix_ms: Milliseconds of that time, 0..999.
        generation: Generation of the settings that the gateway wants, 0..7.
        settings: Those settings if the node does not have them yet, otherwise None.
        again: Asks for the newest reading that the node holds at or below n - again, where n is the number of the
            reading that is acknowledged: 1..AGAIN_LIMIT; 0 asks for nothing, and so does 31.
    """

    __slots__ = ()
    node: int
    epoch: int
    frame: int
    unix_s: int
    unix_ms: int
    generation: int
    settings: NodeSettings | None
    again: int


class Rejected(namedtuple("Rejected", "reason detail")):
    """A frame that is not accepted.

    Attributes:
        reason: One of REASONS, fit for a metric label.
        detail: The same for a person.
    """

    __slots__ = ()
    reason: str
    detail: str


def encode_uplink(uplink: Uplink, key: bytes) -> bytes:
    """The 32 bytes of a node's frame.

    Raises:
        InternalError: A field does not fit, or the key is not KEY_BYTES long.
    """
    trend = uplink.trend
    _check("node", uplink.node, 0, 0xFFFF)
    _check("epoch", uplink.epoch, 0, 0xFFFF)
    _check("frame", uplink.frame, 0, 0xFFFFFFFF)
    _check("counter", uplink.counter, 0, 0xFFFFFFFF)
    _check("age_s", uplink.age_s, 0, AGE_LIMIT_S)
    _check("temperature_c", uplink.temperature_c, -0x8000, 0x7FFF)
    _check("humidity_c", uplink.humidity_c, 0, 0xFFFF)
    for name, value in zip(("level_t", "slope_t", "level_h", "slope_h"), trend):
        _check(name, value, -128, 127)
    _check("damping", trend.damping, 0, DAMPED)
    _check("generation", uplink.generation, 0, 7)
    _check("battery", uplink.battery, 0, 255)
    if (uplink.flags & KIND) not in KIND_NAMES or uplink.flags >> 5:
        raise InternalError(f"flags are {uplink.flags}; set exactly one kind, and nothing above LOW_BATTERY")
    if uplink.flags & BACKFILL:
        _check("answers", uplink.answers, -ANSWER_LIMIT, ANSWER_LIMIT)
        if trend[:4] != HOLD[:4]:
            raise InternalError("a backfill has no trend")
        shared = struct.pack("<i", uplink.answers)
    else:
        _check("answers of a new reading", uplink.answers, 0, 0)
        shared = struct.pack("<bbbb", *trend[:4])
    flags = uplink.flags | uplink.generation << 5
    body = struct.pack(_UPLINK, VERSION << 4 | trend.damping, *uplink[:4], uplink.age_s & 0xFFFF, uplink.age_s >> 16)
    body += struct.pack(_READING, uplink.temperature_c, uplink.humidity_c, shared, flags, uplink.battery)
    return body + _mac(b"U", body, key)


def decode_uplink(data: bytes, key_of: "Callable[[int], bytes | None]") -> Uplink | Rejected:
    """The uplink in `data`, or why it is rejected.

    Args:
        data: Any bytes from the radio.
        key_of: Returns the key of a node by its number, None for an unknown node.
    """
    if len(data) != UPLINK_BYTES:
        return Rejected("length", f"{len(data)} bytes; a frame has {UPLINK_BYTES}")
    if data[0] >> 4 != VERSION:
        return Rejected("version", f"version {data[0] >> 4}; this gateway reads {VERSION}")
    node = data[1] | data[2] << 8
    key = key_of(node)
    if key is None:
        return Rejected("unknown_node", f"node {node} has no key here")
    body = data[:-MAC_BYTES]
    if not _same(_mac(b"U", body, key), data[-MAC_BYTES:]):
        return Rejected("mac", f"node {node}: the frame was damaged or made without the node's key")
    return _uplink(body)


def node_of(data: bytes) -> int | None:
    """The node number in a frame, not authenticated; None when the frame is too short."""
    return data[1] | data[2] << 8 if len(data) >= 3 else None


def encode_ack(ack: Ack, key: bytes) -> bytes:
    """The 22 bytes of an acknowledgement, 33 with settings.

    Raises:
        InternalError: A field does not fit, or the key is not KEY_BYTES long.
    """
    _check("node", ack.node, 0, 0xFFFF)
    _check("epoch", ack.epoch, 0, 0xFFFF)
    _check("frame", ack.frame, 0, 0xFFFFFFFF)
    _check("unix_s", ack.unix_s, 0, 0xFFFFFFFF)
    _check("unix_ms", ack.unix_ms, 0, 999)
    _check("generation", ack.generation, 0, 7)
    _check("again", ack.again, 0, 31)
    body = struct.pack(_ACK, VERSION << 4 | 1, *ack[:5], ack.generation | ack.again << 3)
    settings = ack.settings
    if settings is not None:
        fault = settings_fault(settings)
        if fault:
            raise InternalError(fault)
        body += struct.pack(_SETTINGS, *settings)
    return body + _mac(b"D", body, key)


def decode_ack(data: bytes, node: int, epoch: int, key: bytes) -> Ack | Rejected:
    """The acknowledgement in `data` for this node and epoch, or why it is rejected; `data` is any bytes."""
    if len(data) != ACK_BYTES and len(data) != ACK_WITH_SETTINGS_BYTES:
        return Rejected("length", f"{len(data)} bytes; an acknowledgement has {ACK_BYTES} or {ACK_WITH_SETTINGS_BYTES}")
    if data[0] != VERSION << 4 | 1:
        return Rejected("version", f"first byte {data[0]}")
    if data[1] | data[2] << 8 != node:
        return Rejected("node", f"for node {data[1] | data[2] << 8}")
    body = data[:-MAC_BYTES]
    if not _same(_mac(b"D", body, key), data[-MAC_BYTES:]):
        return Rejected("mac", "the acknowledgement was damaged or made without the node's key")
    ack = _ack(body)
    if isinstance(ack, Ack) and ack.epoch != epoch:
        return Rejected("epoch", f"for epoch {ack.epoch}; this is {epoch}")
    return ack


def _uplink(body: bytes) -> Uplink | Rejected:
    """The fields of an authenticated frame."""
    first, node, epoch, frame, counter, age_low, age_high = struct.unpack(_UPLINK, body[:16])
    temperature_c, humidity_c, shared, flags, battery = struct.unpack(_READING, body[16:])
    if first & 15 > DAMPED:
        return Rejected("trend", f"node {node}: damping code {first & 15} is unknown")
    if (flags & KIND) not in KIND_NAMES:
        return Rejected("flags", f"node {node}: flags {flags} do not have exactly one kind")
    steps, answers = HOLD[:4], 0
    if flags & BACKFILL:
        (answers,) = struct.unpack("<i", shared)
        if answers < -ANSWER_LIMIT:
            return Rejected("range", f"node {node}: answers {answers}")
    else:
        steps = struct.unpack("<bbbb", shared)
    content = (age_low | age_high << 16, temperature_c, humidity_c, Trend(*steps, first & 15))
    return Uplink(node, epoch, frame, counter, *content, flags & 31, flags >> 5, battery, answers)


def _ack(body: bytes) -> Ack | Rejected:
    """The fields of an authenticated acknowledgement."""
    _, node, epoch, frame, unix_s, unix_ms, low = struct.unpack(_ACK, body[:16])
    settings = None
    if len(body) > 16:
        settings = NodeSettings(*struct.unpack(_SETTINGS, body[16:]))
    fault = settings_fault(settings) if settings is not None else ""
    if unix_ms > 999:
        fault = f"unix_ms is {unix_ms}; use 0 to 999"
    if fault:
        return Rejected("range", fault)
    return Ack(node, epoch, frame, unix_s, unix_ms, low & 7, settings, low >> 3)


def settings_fault(settings: NodeSettings) -> str:
    """The first fault of settings for a node, with its remedy; empty when there is none."""
    names = ("beta_t_c", "beta_h_c", "period_s", "heartbeat_s", "heartbeat_min_s", "tau")
    for name, value, low in zip(names, settings, (1, 1, 1, 0, 0, 1)):
        high = 255 if name == "tau" else 65535
        if not low <= value <= high:
            return f"{name} is {value}; use {low} to {high}"
    return ""


def _check(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:  # MicroPython's struct silently truncates a number that is too large
        raise InternalError(f"{name} is {value}; it must be {low} to {high} to fit into a frame")


def _mac(direction: bytes, body: bytes, key: bytes) -> bytes:
    """The first MAC_BYTES of HMAC-SHA256 (RFC 2104); MicroPython has no hmac module."""
    if len(key) != KEY_BYTES:
        raise InternalError(f"a key has {len(key)} bytes; provision the node with {KEY_BYTES}")
    padded = key + bytes(64 - KEY_BYTES)
    digest = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded) + direction + body).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in padded) + digest).digest()[:MAC_BYTES]


def _same(one: bytes, other: bytes) -> bool:
    """Whether two codes are equal; takes the same time wherever they differ."""
    difference = len(one) ^ len(other)
    for left, right in zip(one, other):
        difference |= left ^ right
    return difference == 0
