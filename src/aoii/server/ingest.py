"""What the server decides about messages: what a payload contains, and how each gateway is answered. Pure.

The database or the dead letters give each reading its `DeliveryStatus`; `commit_acks` turns those into answers.
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

DONE: dict[DeliveryStatus, AckStatus] = {
    "stored": "stored",
    "duplicate": "duplicate",
    "retired": "duplicate",  # the word for "done" that gateways of every version know
}
DEAD_LETTERED: AckStatus = "parked"  # for every other status: the dead letters have the reading
ACK_BYTES_LIMIT = 18_000  # the embedded broker rejects payloads over 20 kB, and node names have up to 128 characters
ENVELOPE_BYTES = 250  # of a commit acknowledgement without its items: packet header, topic, namespace, JSON
ITEM_BYTES = 83  # an item without its node's name: two numbers of 19 digits, status, digest, punctuation


@dataclass(frozen=True)
class Malformed:
    """A payload that is not a message.

    Attributes:
        payload: The bytes; of a payload that is too long, only the beginning.
        reason: One of the reasons of `decode_message`.
        detail: What is wrong, for people.
        gateway: The gateway that waits for an answer; None unless it and the identity can both be read.
        identity: The identity of the reading; None when `gateway` is None.
    """

    payload: bytes
    reason: str
    detail: str
    gateway: str | None = None
    identity: Identity | None = None

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


@dataclass(frozen=True)
class Answer:
    """What became of one payload that is durable now; its gateway waits for that."""

    payload: bytes
    content: Reading | Malformed
    status: DeliveryStatus


@dataclass(frozen=True)
class Kept:
    """A message that the broker had retained, and that is no news: the broker goes on keeping it."""


def is_kept(is_retained: bool, content: Reading | Estimate | Malformed) -> bool:
    """Whether a message is no news.

    What a broker has retained arrived once already, and comes again at each connect: a reading without an identity
    would become a row each time, and an estimate would set the clock's offset. A reading with an identity is one row
    however often it comes, and this may be the chance to store it.
    """
    return is_retained and (not isinstance(content, Reading) or content.identity is None)


def decode_payload(payload: bytes) -> Reading | Estimate | Malformed:
    """The content of a payload, whatever its bytes are."""
    try:
        return decode_message(payload)
    except ProtocolError as error:
        gateway, identity = decode_sender(payload) or (None, None)
        return Malformed(payload, error.reason, str(error), gateway, identity)


def commit_acks(answers: Sequence[Answer], packet_limit: int | None = None) -> list[tuple[str, list[Committed]]]:
    """The commit acknowledgements to publish, as (gateway, items); none exceeds the limits of items and bytes.

    Args:
        answers: What became of the readings.
        packet_limit: The largest packet that the broker takes; None if it has no limit. A single item may exceed it.

    Readings of the older installation's gateway have no identity, and nothing waits for their acknowledgement.

    Each item names its payload by a digest: if another sender used the same identity, the gateway must keep its own
    reading.
    """
    acks: list[tuple[str, list[Committed]]] = []
    limit = ACK_BYTES_LIMIT if packet_limit is None else min(ACK_BYTES_LIMIT, packet_limit - ENVELOPE_BYTES)
    open_acks: dict[str, tuple[list[Committed], int]] = {}
    for answer in answers:
        gateway, identity = answer.content.gateway, answer.content.identity
        if identity is None or gateway is None:
            continue
        item = Committed(identity, DONE.get(answer.status, DEAD_LETTERED), payload_digest(answer.payload))
        size = len(json.dumps(identity.node)) + ITEM_BYTES
        items, used = open_acks.get(gateway, ([], 0))
        if not items or len(items) == ACK_ITEMS_LIMIT or used + size > limit:
            items, used = [], 0
            acks.append((gateway, items))
        items.append(item)
        open_acks[gateway] = (items, used + size)
    return acks
