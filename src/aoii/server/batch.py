"""A batch of messages on its way through ingest: which of them are pending, and which may be acknowledged.

A message is pending until its reading is durable; a malformed payload, until the dead letters have taken it or dropped
it. Messages are acknowledged in the order of their arrival, each only when no message before it is pending.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from aoii.broker.client import Message
from aoii.broker.messages import Estimate, Reading
from aoii.server.ingest import Kept, Malformed

C = TypeVar("C", Reading, Malformed)


@dataclass(frozen=True, eq=False)  # two equal messages are still two
class Received:
    """A message, and what its payload contains."""

    message: Message
    content: Reading | Estimate | Malformed | Kept


class Batch:
    """Received messages, in the order of their arrival.

    Estimates are never pending: they are in no table. What the broker has kept is not, either: it is no news.
    """

    def __init__(self, received: Iterable[Received]) -> None:
        self._unacknowledged = deque(received)
        self._pending = {one for one in self._unacknowledged if isinstance(one.content, Reading | Malformed)}

    @property
    def is_finished(self) -> bool:
        """Whether `take_acknowledgeable` has returned every message."""
        return not self._unacknowledged

    def pending(self, kind: type[C]) -> list[tuple[Received, C]]:
        """The pending messages whose content is of one kind."""
        return [
            (one, one.content) for one in self._unacknowledged if one in self._pending and isinstance(one.content, kind)
        ]

    def mark_durable(self, received: Iterable[Received]) -> None:
        """Make these messages pending no longer."""
        self._pending.difference_update(received)

    def take_acknowledgeable(self) -> list[Message]:
        """The messages that may be acknowledged now, in order; each is returned once."""
        taken = []
        while self._unacknowledged and self._unacknowledged[0] not in self._pending:
            taken.append(self._unacknowledged.popleft().message)
        return taken
