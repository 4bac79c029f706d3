"""What the server decides about a message, without socket, file or clock: what a payload is, what is told to whom.

The life of a message: `read` makes it a reading, an estimate or a malformed payload; the database or the dead letters
give each reading its `DeliveryStatus`; `commit_acks` says to each gateway what became of its readings.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from aoii.broker.messages import (
    ACK_ITEMS_LIMIT,
    AckStatus,
    Committed,
    DeliveryStatus,
    Estimate,
    Identity,
    Reading,
    decode_message,
    decode_sender,
    payload_digest,
)
from aoii.core.errors import ProtocolError

# What a gateway is told: whatever lies in the dead letters, for whichever reason, is off its hands.
TOLD: dict[DeliveryStatus, AckStatus] = {"stored": "stored", "duplicate": "duplicate"}
ACK_BYTES_LIMIT = 18_000  # the embedded broker refuses payloads over 20 kB, and node names have up to 128 characters


@dataclass(frozen=True)
class Malformed:
    """A payload that is no message; `reason` is one of `decode_message`'s.

    `gateway` and `identity` are both there when that much can be read of it: the gateway waits for an answer.
    """

    payload: bytes
    reason: str
    detail: str
    gateway: str | None = None
    identity: Identity | None = None

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


Answer = tuple[bytes, Reading | Malformed, DeliveryStatus]
"""A payload, what it is, and what became of it."""


def read(payload: bytes) -> Reading | Estimate | Malformed:
    """What a payload is."""
    try:
        return decode_message(payload)
    except ProtocolError as error:
        gateway, identity = decode_sender(payload) or (None, None)
        return Malformed(payload, error.reason, str(error), gateway, identity)


def commit_acks(answers: Sequence[Answer]) -> list[tuple[str, list[Committed]]]:
    """The commit acknowledgements for what became durable: (gateway, items), none over the limits of items and bytes.

    Readings of the reference system's gateway have no identity, and nobody waits for their acknowledgement.

    Each item names its payload: somebody else may have published another one under the same identity, and the gateway
    must not forget its own for that.
    """
    acks: list[tuple[str, list[Committed]]] = []
    present: dict[str, tuple[list[Committed], int]] = {}
    for payload, content, status in answers:
        if content.identity is None or content.gateway is None:
            continue
        item = Committed(content.identity, TOLD.get(status, "parked"), payload_digest(payload))
        size = len(json.dumps(item.identity.node)) + 83  # two numbers of 19 digits, status, digest and punctuation
        items, used = present.get(content.gateway, ([], 0))
        if not items or len(items) == ACK_ITEMS_LIMIT or used + size > ACK_BYTES_LIMIT:
            items, used = [], 0
            acks.append((content.gateway, items))
        items.append(item)
        present[content.gateway] = (items, used + size)
    return acks
