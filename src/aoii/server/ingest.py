"""What the server decides, without a socket, a file or a clock: what a payload is, what is told to whom, when to park.

The life of a message: `read` makes it a reading, an estimate or a malformed payload; the database or the dead letters
give each reading its `Fate`; `commit_acks` says to each gateway what became of its readings. `Circuit` decides how
often the database is tried before readings are parked.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from aoii.broker.messages import (
    ACK_ITEMS_LIMIT,
    Committed,
    Estimate,
    Identity,
    Reading,
    Status,
    decode_message,
    decode_sender,
    payload_digest,
)
from aoii.core.errors import PeerError, ProgramError

Fate = Literal["stored", "duplicate", "mismatch", "bad_row", "parked"]

# What a gateway is told: whatever lies in the dead letters, for whichever reason, is off its hands.
STATUS_OF: dict[Fate, Status] = {
    "stored": "stored",
    "duplicate": "duplicate",
    "mismatch": "parked",
    "bad_row": "parked",
    "parked": "parked",
}
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


Answer = tuple[bytes, Reading | Malformed, Fate]
"""A payload, what it is, and what became of it."""


def read(payload: bytes) -> Reading | Estimate | Malformed:
    """What a payload is."""
    try:
        return decode_message(payload)
    except PeerError as error:
        gateway, identity = decode_sender(payload) or (None, None)
        return Malformed(payload, error.reason, str(error), gateway, identity)


def commit_acks(settled: Sequence[Answer]) -> list[tuple[str, list[Committed]]]:
    """The commit acknowledgements for settled messages: (gateway, items), none over the limits of items and bytes.

    Readings of the reference system's gateway have no identity, and nobody waits for their acknowledgement.

    Each item names its payload: somebody else may have published another one under the same identity, and the gateway
    must not forget its own for that.
    """
    acks: list[tuple[str, list[Committed]]] = []
    present: dict[str, tuple[list[Committed], int]] = {}
    for payload, content, fate in settled:
        if content.identity is None or content.gateway is None:
            continue
        item = Committed(content.identity, STATUS_OF[fate], payload_digest(payload))
        size = len(json.dumps(item.identity.node)) + 83  # two numbers of 19 digits, status, digest and punctuation
        items, used = present.get(content.gateway, ([], 0))
        if not items or len(items) == ACK_ITEMS_LIMIT or used + size > ACK_BYTES_LIMIT:
            items, used = [], 0
            acks.append((content.gateway, items))
        items.append(item)
        present[content.gateway] = (items, used + size)
    return acks


CLOSED = "closed"  # the database takes rows
OPEN = "open"  # it is known to be away: readings are parked at once
TRIAL = "trial"  # it answers again; whether it takes rows is not known (a full table answers, too)

STORED = "stored"
FAILED = "failed"  # an insert failed, after all its tries
ANSWERED = "answered"  # the probe got through

RULES = {
    (CLOSED, STORED): CLOSED,
    (CLOSED, FAILED): OPEN,
    (CLOSED, ANSWERED): CLOSED,
    (OPEN, ANSWERED): TRIAL,
    (TRIAL, STORED): CLOSED,
    (TRIAL, FAILED): OPEN,
    (TRIAL, ANSWERED): TRIAL,
}


class Circuit:
    """How often an insert is tried before its readings are parked.

    Without it every batch would wait for all its retries while the database is away, and the broker's queue would
    overflow. It begins OPEN: nothing is known of the database before its first answer.

    Args:
        max_retries: Retries of an insert while the database is believed to take rows.
    """

    def __init__(self, max_retries: int) -> None:
        self._max_retries = max_retries
        self.state = OPEN

    def handle(self, event: str) -> bool:
        """Take STORED, FAILED or ANSWERED; whether the state changed.

        Raises:
            ProgramError: The table has no such transition.
        """
        after = RULES.get((self.state, event))
        if after is None:
            raise ProgramError(f"circuit {self.state} cannot take {event}")
        changed = after != self.state
        self.state = after
        return changed

    def tries(self) -> int:
        """Tries that the next insert has; 0: park at once."""
        return {CLOSED: 1 + self._max_retries, TRIAL: 1, OPEN: 0}[self.state]
