"""Messages on `aoii/nodes/<gateway>/<node>`, which the broker keeps: what one gateway says of one node.

A node's name may have any printable sign, and a level of a topic may not: in the topic everything but ASCII letters,
digits and `-._~` is percent-encoded (RFC 3986), as `attic%2Fdev%2FttyUSB0`; the message has the name as it is. An empty
message says that the gateway does not know the node any more. Pure.
"""

import json
from dataclasses import dataclass
from typing import NamedTuple

from aoii.broker import json_fields
from aoii.broker.messages import decode_gateway, decode_name
from aoii.broker.node_liveness import NodeLiveness, Vouched, decode_bound, decode_liveness, encode_bound
from aoii.core.errors import ProtocolError

NODES_TOPIC = "aoii/nodes"
EVERY_NODE = f"{NODES_TOPIC}/+/+"
LIMIT_BYTES = 4096  # a message has about 250
GONE = b""  # the message of a node that its gateway does not know any more; the broker then keeps none
VALID_LIMIT_S = 86_400
SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class Label(NamedTuple):
    """What people call a node, and where it is; None if they have not said."""

    name: str | None = None
    place: str | None = None


NO_LABEL = Label()


@dataclass(frozen=True)
class NodeStatus:
    """What a gateway says of a node.

    Attributes:
        node: The node's name.
        gateway: GATEWAY_ID.
        vouched: Its liveness, when it was heard, and what its estimate may be wrong by.
        silence_s: Since it was heard, s, as far as somebody listened; None before it was.
        deadline_s: The silence after which it is dead, s; None before it was heard.
        unix_ms: When this was said, Unix milliseconds; None without a synced clock.
        valid_s: For how long it holds for a reader, s: by then another message has come from a gateway that is there.
        label: Its name and place.
    """

    node: str
    gateway: str
    vouched: Vouched
    silence_s: float | None
    deadline_s: float | None
    unix_ms: int | None
    valid_s: int
    label: Label = NO_LABEL

    @property
    def liveness(self) -> NodeLiveness:
        """In a word."""
        return self.vouched.liveness


def topic_of(gateway: str, node: str) -> str:
    """The topic of a node at a gateway."""
    level = "".join(chr(byte) if byte in SAFE else f"%{byte:02X}" for byte in node.encode())
    return f"{NODES_TOPIC}/{gateway}/{level}"


def is_topic(topic: str) -> bool:
    """Whether messages on this topic are of nodes."""
    return topic.startswith(f"{NODES_TOPIC}/")


def encode(status: NodeStatus) -> bytes:
    """JSON of a node's status; the one place where this message is made."""
    payload = {
        "v": 1,
        "node": status.node,
        "gateway": status.gateway,
        "liveness": status.vouched.liveness,
        "last_heard": status.vouched.last_heard_ms,
        "silence_s": status.silence_s,
        "deadline_s": status.deadline_s,
        "error_bound": encode_bound(status.vouched.error_bound),
        "unix_ms": status.unix_ms,
        "valid_s": status.valid_s,
        "name": status.label.name,
        "place": status.label.place,
    }
    return json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def decode(topic: str, payload: bytes) -> NodeStatus | None:
    """Decode a message; None if the gateway does not know the node any more.

    Raises:
        ProtocolError: With reason `size`, `encoding`, `json`, `shape` (also if it is of another gateway or node than
            its topic) or `range`.
    """
    if payload == GONE:
        return None
    fields = json_fields.decode_object(payload, LIMIT_BYTES)
    node, gateway, liveness = decode_name(fields, "node"), decode_gateway(fields), decode_liveness(fields)
    if not json_fields.is_one(fields.get("v")) or node is None or gateway is None or liveness is None:
        raise ProtocolError("shape", "not the status of a node, version 1")
    if topic != topic_of(gateway, node):
        raise ProtocolError("shape", f"it is of node {node} at {gateway}, and its topic is not")
    return NodeStatus(
        node=node,
        gateway=gateway,
        vouched=Vouched(liveness, json_fields.instant(fields, "last_heard", is_synced=True), decode_bound(fields)),
        silence_s=_seconds(fields, "silence_s"),
        deadline_s=_seconds(fields, "deadline_s"),
        unix_ms=json_fields.instant(fields, "unix_ms", is_synced=True),
        valid_s=json_fields.whole(fields, "valid_s", 0, VALID_LIMIT_S),
        label=Label(decode_name(fields, "name"), decode_name(fields, "place")),
    )


def _seconds(fields: json_fields.Fields, name: str) -> float | None:
    return None if fields.get(name) is None else json_fields.number(fields, name, 0, 1e12)
