"""Topics and payloads that gateway and server agree on.

Readings and estimates go to one topic, as JSON with the keys of the older installation and keys of our own, which old
readers ignore. Commit acknowledgements come back on a topic of each gateway. Pure: values in, bytes out; bytes in, a
value or a `ProtocolError` out.
"""

import contextlib
import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from aoii.broker import json_fields
from aoii.broker.node_liveness import MEASURED, ErrorBound, NodeLiveness, decode_bound, decode_liveness, encode_bound
from aoii.core.errors import ProtocolError

READINGS_TOPIC = "aoii/readings"
PAYLOAD_LIMIT_BYTES = 4096  # an RX has about 450 bytes; anything near this limit is not ours
ACK_ITEMS_LIMIT = 300  # items in one commit acknowledgement: about 17 kB, under the embedded broker's limit of 20 kB
ACK_LIMIT_BYTES = 128_000  # a longer commit acknowledgement is rejected, whatever the number of its items
DIGEST = re.compile(r"[0-9a-f]{16}", re.ASCII)
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)
# With these signs, also in their wide form, a spreadsheet begins a formula; some split a line of CSV at ; or | too.
FORMULA = re.compile(r"(?:^|[,;|])\s*[=+\-@＝＋－＠]")

Kind = Literal["event", "heartbeat", "backfill", "legacy"]
DeliveryStatus = Literal[
    "stored", "duplicate", "retired", "database_away", "bad_row", "mismatch", "malformed", "corrupt"
]
"""What became of a reading.

It is in the table, was there already, is not above its node's floor (`retired`: neither stored nor missed), or is a
dead letter for one of the other reasons.
"""

AckStatus = Literal["stored", "duplicate", "parked"]
"""The same in a commit acknowledgement, where `parked` is a dead letter for any reason."""

KINDS: tuple[Kind, ...] = get_args(Kind)
ACK_STATUSES: tuple[AckStatus, ...] = get_args(AckStatus)


@dataclass(frozen=True)
class Identity:
    """What identifies a reading, so that it is one row however often it comes: node, epoch and counter."""

    node: str
    epoch: int
    counter: int


@dataclass(frozen=True)
class Reading:
    """An `RX` message: a reading that a gateway accepted, and the gateway's estimate before it.

    Attributes:
        identity: None in a message of the older installation's gateway.
        gateway: GATEWAY_ID of the gateway that accepted it; None in the same case.
        kind: Why the node sent it.
        timestamp: Local time of the gateway, `YYYY-MM-DD HH:MM:SS`.
        time_n: Local time of day, 0..1.
        actual_t: The reading's temperature, °C.
        actual_h: The reading's humidity, %RH.
        pred_t: The gateway's estimate for the instant of the sample, °C.
        pred_h: The same, %RH.
        total_tx: Readings that this gateway has accepted since its outbox was created.
        transmission_delay_ms: Gateway clock minus node clock, for nodes that send their clock.
        event_unix_ms: When the node took the sample, Unix milliseconds; None if unknown.
        clock_synced: Whether `event_unix_ms` comes from a synced clock.
        is_delay_impossible: Whether the older installation's gateway gave a delay that cannot be one; it is None then.
        last_heard_ms: When the gateway heard the node say it, Unix milliseconds; None from gateways before 0.3, and
            without a synced clock.
    """

    identity: Identity | None
    gateway: str | None
    kind: Kind
    timestamp: str
    time_n: float
    actual_t: float
    actual_h: float
    pred_t: float
    pred_h: float
    total_tx: int
    transmission_delay_ms: int | None
    event_unix_ms: int | None
    clock_synced: bool
    is_delay_impossible: bool = False
    last_heard_ms: int | None = None

    def digest(self) -> str:
        """Sixteen hexadecimal digits over the content that the node sent, the same at every gateway.

        The same identity with another digest is not a repetition but a fault, and goes to the dead letters.
        """
        who = self.identity
        content = f"{who.node}|{who.epoch}|{who.counter}|" if who else "||"
        content += f"{round(self.actual_t * 100)}|{round(self.actual_h * 100)}"
        return payload_digest(content.encode())


@dataclass(frozen=True)
class Estimate:
    """An `EST` message: the gateway's estimate of one node now. A lost one is replaced by the next.

    Attributes:
        gateway: GATEWAY_ID; None in a message of the older installation's gateway.
        node: The node's name; None in the same case.
        timestamp: Local time of the gateway, `YYYY-MM-DD HH:MM:SS`.
        time_n: Local time of day, 0..1.
        pred_t: The estimate, °C.
        pred_h: The estimate, %RH.
        total_tx: Readings that this gateway has accepted since its outbox was created.
        unix_ms: The instant of the estimate, Unix milliseconds; None without a synced clock.
        epoch: Epoch of the reading that the estimate follows from; None from gateways before 0.3, and if it is unknown.
        counter: Counter of that reading; None in the same cases.
        liveness: Of the node; None from gateways before 0.3.
        last_heard_ms: When the gateway heard the node last, Unix milliseconds; None as in a `Reading`.
        error_bound: What the estimate may be wrong by; None if nothing vouches for it.
    """

    gateway: str | None
    node: str | None
    timestamp: str
    time_n: float
    pred_t: float
    pred_h: float
    total_tx: int
    unix_ms: int | None
    epoch: int | None = None
    counter: int | None = None
    liveness: NodeLiveness | None = None
    last_heard_ms: int | None = None
    error_bound: ErrorBound | None = None

    @property
    def follows_from(self) -> tuple[int, int]:
        """Epoch and counter of its reading, for comparison; unknown ones are lower than all others."""
        return (-1, -1) if self.epoch is None or self.counter is None else (self.epoch, self.counter)


def is_gateway_name(text: str) -> bool:
    """Whether a gateway may have this name, which becomes a level of a topic: a `GATEWAY_ID`."""
    return bool(re.fullmatch(r"\w[\w.-]{0,63}", text, re.ASCII))


def is_node_name(text: str) -> bool:
    """Whether a node may have this name: 1 to 128 printable characters, no blanks around them, and no formula.

    Names reach CSV files, which people open with spreadsheets, and are written there as they are.
    """
    return 1 <= len(text) <= 128 and text.isprintable() and text == text.strip() and not FORMULA.search(text)


def is_wrong(error_t: float, error_h: float, beta_t: float, beta_h: float) -> bool:
    """Whether an error is at or over a threshold, compared in whole hundredths because a float may miss 0.5."""
    return round(abs(error_t) * 100) >= round(beta_t * 100) or round(abs(error_h) * 100) >= round(beta_h * 100)


def encode_reading(reading: Reading, qos: int) -> bytes:
    """JSON of an `RX`, the older installation's keys first; `error_*` are absolute here and signed in the database."""
    who = reading.identity
    payload = {
        "event": "RX",
        "timestamp": reading.timestamp,
        "time_n": round(reading.time_n, 6),
        "actual_t": reading.actual_t,
        "actual_h": reading.actual_h,
        "pred_t": reading.pred_t,
        "pred_h": reading.pred_h,
        "error_t": round(abs(reading.actual_t - reading.pred_t), 6),
        "error_h": round(abs(reading.actual_h - reading.pred_h), 6),
        "total_tx": reading.total_tx,
    }
    if reading.transmission_delay_ms is not None:
        payload["transmission_delay_ms"] = reading.transmission_delay_ms
    payload |= {"v": 1, "gateway": reading.gateway, "kind": reading.kind, "qos": qos}
    if who is not None:
        payload |= {"node": who.node, "epoch": who.epoch, "counter": who.counter}
    payload |= {"event_unix_ms": reading.event_unix_ms, "clock_synced": reading.clock_synced}
    payload |= {
        "source": "measured",
        "error_bound": encode_bound(MEASURED),
        "last_heard": reading.last_heard_ms,
        "is_historical": reading.kind == "backfill",
    }
    return json.dumps(payload, allow_nan=False, separators=(",", ":")).encode()


def encode_estimate(estimate: Estimate) -> bytes:
    """JSON of an `EST`: the actual and error fields are null, as in the older installation."""
    payload = {
        "event": "EST",
        "timestamp": estimate.timestamp,
        "time_n": round(estimate.time_n, 6),
        "actual_t": None,
        "actual_h": None,
        "pred_t": estimate.pred_t,
        "pred_h": estimate.pred_h,
        "error_t": None,
        "error_h": None,
        "total_tx": estimate.total_tx,
        "v": 1,
        "gateway": estimate.gateway,
        "node": estimate.node,
        "unix_ms": estimate.unix_ms,
        "qos": 0,
    }
    if estimate.epoch is not None and estimate.counter is not None:
        payload |= {"epoch": estimate.epoch, "counter": estimate.counter}
    payload |= {
        "source": "estimated",
        "error_bound": encode_bound(estimate.error_bound),
        "last_heard": estimate.last_heard_ms,
        "liveness": estimate.liveness,
        "is_historical": False,
    }
    return json.dumps(payload, allow_nan=False, separators=(",", ":")).encode()


def decode_message(payload: bytes) -> Reading | Estimate:
    """Decode a message on `aoii/readings`, from a gateway of ours or of the older installation.

    Raises:
        ProtocolError: With reason `size`, `encoding`, `json`, `shape` (a key is missing or of the wrong type), `event`
            (neither RX nor EST) or `range` (a number that is not finite, or that no such reading can have).
    """
    fields = json_fields.decode_object(payload, PAYLOAD_LIMIT_BYTES)
    _check_version(fields)
    event = fields.get("event")
    if event == "RX":
        return _reading(fields)
    if event == "EST":
        return Estimate(
            gateway=decode_gateway(fields),
            node=decode_name(fields, "node"),
            timestamp=_timestamp(fields),
            time_n=json_fields.number(fields, "time_n", 0, 1),
            pred_t=json_fields.number(fields, "pred_t", *TEMPERATURE_RANGE),
            pred_h=json_fields.number(fields, "pred_h", *HUMIDITY_RANGE),
            total_tx=json_fields.whole(fields, "total_tx", 0, 2**63 - 1),
            unix_ms=json_fields.instant(fields, "unix_ms", is_synced=True),
            epoch=json_fields.whole_or_none(fields, "epoch", 0, 2**63 - 1),
            counter=json_fields.whole_or_none(fields, "counter", 0, 2**63 - 1),
            liveness=decode_liveness(fields),
            last_heard_ms=_last_heard(fields),
            error_bound=decode_bound(fields),
        )
    raise ProtocolError("event", "event is neither RX nor EST")


def decode_sender(payload: bytes) -> tuple[str, Identity] | None:
    """Gateway and identity in a payload that `decode_message` rejects, so that it can be acknowledged.

    None when these fields are missing or cannot be read.
    """
    try:
        fields = json_fields.decode_object(payload, PAYLOAD_LIMIT_BYTES)
        gateway, node = decode_gateway(fields), decode_name(fields, "node")
        if gateway is None or node is None:
            return None
        return gateway, _identity(fields, node)
    except ProtocolError:
        return None


# Wider than any sensor's range: an estimate may overshoot, and a reading with the flag SENSOR_FAULT is a reading too.
TEMPERATURE_RANGE = (-400.0, 1000.0)
HUMIDITY_RANGE = (-400.0, 1000.0)
DELAY_RANGE = (-(2**31), 2**31 - 1)


def _reading(fields: dict[str, object]) -> Reading:
    kind = fields.get("kind", "legacy")
    if kind not in KINDS:
        raise ProtocolError("shape", f"kind is not one of {', '.join(KINDS)}")
    node = decode_name(fields, "node")
    # The older installation's gateway subtracts the node's clock modulo 2**32 from Unix milliseconds: about 1.8e12.
    is_delay_impossible = node is None and not _is_delay(fields.get("transmission_delay_ms"))
    delay_ms = None if is_delay_impossible else json_fields.whole_or_none(fields, "transmission_delay_ms", *DELAY_RANGE)
    clock_synced = json_fields.truth(fields, "clock_synced")
    return Reading(
        identity=None if node is None else _identity(fields, node),
        gateway=decode_gateway(fields),
        kind=kind,
        timestamp=_timestamp(fields),
        time_n=json_fields.number(fields, "time_n", 0, 1),
        actual_t=json_fields.number(fields, "actual_t", *TEMPERATURE_RANGE),
        actual_h=json_fields.number(fields, "actual_h", *HUMIDITY_RANGE),
        pred_t=json_fields.number(fields, "pred_t", *TEMPERATURE_RANGE),
        pred_h=json_fields.number(fields, "pred_h", *HUMIDITY_RANGE),
        total_tx=json_fields.whole(fields, "total_tx", 0, 2**63 - 1),
        transmission_delay_ms=delay_ms,
        event_unix_ms=json_fields.instant(fields, "event_unix_ms", clock_synced),
        clock_synced=clock_synced,
        is_delay_impossible=is_delay_impossible,
        last_heard_ms=_last_heard(fields),
    )


def decode_qos(payload: bytes) -> int | None:
    """The QoS that a message names, for people who watch; None if it names none."""
    qos = json_fields.decode_object(payload, PAYLOAD_LIMIT_BYTES).get("qos")
    return qos if type(qos) is int and qos in (0, 1) else None


def payload_digest(payload: bytes) -> str:
    """Sixteen hexadecimal digits that name a payload, byte for byte: the beginning of its SHA-256."""
    return hashlib.sha256(payload).hexdigest()[:16]


def ack_topic(gateway: str) -> str:
    """Topic of the commit acknowledgements for a gateway."""
    return f"aoii/ack/{gateway}"


@dataclass(frozen=True)
class Committed:
    """One item of a commit acknowledgement: the database, or its dead letters, has this reading.

    Attributes:
        identity: Which reading.
        status: What became of it.
        digest: `payload_digest` of the message that brought it; None if the server does not send it.
    """

    identity: Identity
    status: AckStatus
    digest: str | None = None


def encode_commit_ack(items: list[Committed]) -> bytes:
    """JSON `{"v": 1, "items": [[node, epoch, counter, status], …], "digests": [digest, …]}`, both in the same order.

    At most `ACK_ITEMS_LIMIT` items; without `digests` when none is known.
    """
    rows = [[item.identity.node, item.identity.epoch, item.identity.counter, item.status] for item in items]
    fields: dict[str, object] = {"v": 1, "items": rows}
    if any(item.digest is not None for item in items):
        fields["digests"] = [item.digest for item in items]
    return json.dumps(fields, separators=(",", ":")).encode()


def decode_commit_ack(payload: bytes) -> list[Committed]:
    """Decode a commit acknowledgement.

    Raises:
        ProtocolError: With reason `size`, `encoding`, `json` or `shape`; then none of its items is used.
    """
    fields = json_fields.decode_object(payload, ACK_LIMIT_BYTES)
    items = fields.get("items")
    if not json_fields.is_one(fields.get("v")) or not isinstance(items, list):
        raise ProtocolError("shape", "not a commit acknowledgement of version 1")
    committed = []
    for item, digest in zip(items, _digests(fields, len(items)), strict=True):
        match item:
            case [str(node), int(epoch), int(counter), ("stored" | "duplicate" | "parked") as status] if (
                node.isprintable()
                and not isinstance(epoch, bool)
                and not isinstance(counter, bool)
                and 0 <= epoch < 2**63  # what the outbox file can hold
                and 0 <= counter < 2**63
            ):
                committed.append(Committed(Identity(node, epoch, counter), status, digest))
            case _:
                raise ProtocolError("shape", "an item is not [node, epoch, counter, status]")
    return committed


def _digests(fields: dict[str, object], count: int) -> list[str | None]:
    """The digest of each item; a server may leave out all of them, or give null for one."""
    digests = fields.get("digests")
    if digests is None:
        return [None] * count
    if not isinstance(digests, list) or len(digests) != count:
        raise ProtocolError("shape", "digests are not a list as long as items")
    for digest in digests:
        if digest is not None and not (isinstance(digest, str) and DIGEST.fullmatch(digest)):
            raise ProtocolError("shape", "a digest is not 16 lower-case hexadecimal digits")
    return digests


def _check_version(fields: dict[str, object]) -> None:
    """The older installation's gateway names no version."""
    if "v" in fields and not json_fields.is_one(fields["v"]):
        raise ProtocolError("shape", "v is not 1; this version of aoii does not know the message")


def _timestamp(fields: dict[str, object]) -> str:
    value = fields.get("timestamp")
    if isinstance(value, str) and TIMESTAMP.fullmatch(value):
        with contextlib.suppress(ValueError):
            datetime.fromisoformat(value)
            return value
    raise ProtocolError("shape", "timestamp is not a time as YYYY-MM-DD HH:MM:SS")


def decode_name(fields: dict[str, object], name: str) -> str | None:
    """A field with the name of a node; None if it is missing or null.

    Raises:
        ProtocolError: `shape`.
    """
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not is_node_name(value):
        raise ProtocolError("shape", f"{name} is not a name of 1 to 128 printable characters without blanks around it, "
                                     "or a spreadsheet would take it for a formula")  # fmt: skip
    return value


def _is_delay(value: object) -> bool:
    low, high = DELAY_RANGE
    return value is None or (type(value) is int and low <= value <= high)


def _identity(fields: dict[str, object], node: str) -> Identity:
    return Identity(
        node, json_fields.whole(fields, "epoch", 0, 2**63 - 1), json_fields.whole(fields, "counter", 0, 2**63 - 1)
    )


def _last_heard(fields: dict[str, object]) -> int | None:
    return json_fields.instant(fields, "last_heard", is_synced=True)


def decode_gateway(fields: dict[str, object]) -> str | None:
    """The field `gateway`; None if it is missing or null.

    Raises:
        ProtocolError: `shape`.
    """
    value = fields.get("gateway")
    if value is None:
        return None
    if not isinstance(value, str) or not is_gateway_name(value):
        raise ProtocolError("shape", "gateway is not a GATEWAY_ID")
    return value
