"""The readings in flight: published and not acknowledged, in the order of their first publish, each with a deadline.

Decides nothing: when a reading is published, and which one, is the outbox policy's (`outbox.py`). Pure.

The policy asks for the earliest deadline at every event, so the deadlines lie in a heap. A deadline that has moved, or
whose reading is gone, stays in there until it comes up or such entries are most of the heap.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from aoii.broker.messages import Identity
from aoii.gateway.readings import Item

STALE_LIMIT = 1_000  # entries of the heap that may be stale before it is made anew, besides one for each reading


class Deadline(NamedTuple):
    """An entry of the heap; of two that are equally early, the reading that was published first comes first.

    Attributes:
        due_ms: Without a commit acknowledgement until then, the reading is published again.
        launch: The number of the reading among all that were ever published first, rising.
        identity: The reading.
    """

    due_ms: int
    launch: int
    identity: Identity


@dataclass(slots=True)
class Flight:
    """A reading in flight.

    Attributes:
        item: The reading.
        since_ms: When it was first published.
        is_fresh: Whether it did not come from the backlog.
        deadline: When it is published again; an entry of the heap that is another one is stale.
        wait_ms: Between the latest publish and the deadline, before jitter.
        spared_until_ms: Before this it makes no room for others.
        is_hurried: Whether the end of a silence has brought it forward; if it is still here, no silence keeps it.
    """

    item: Item
    since_ms: int
    is_fresh: bool
    deadline: Deadline
    wait_ms: int = 0
    spared_until_ms: int = 0
    is_hurried: bool = False

    @property
    def due_ms(self) -> int:
        """When it is published again."""
        return self.deadline.due_ms


class InFlight:
    """The readings in flight.

    Args:
        jitter: Returns numbers 0..1, which spread the deadlines.

    Attributes:
        from_backlog: How many of them came from the backlog.
    """

    def __init__(self, jitter: Callable[[], float]) -> None:
        self._jitter = jitter
        self._flights: dict[Identity, Flight] = {}
        self._deadlines: list[Deadline] = []  # a heap, with one entry that holds for each reading, and stale ones
        self._launches = 0
        self.from_backlog = 0
        self._heard_since_ms = 0  # first publish of the acknowledged reading that was published last

    def __len__(self) -> int:
        return len(self._flights)

    def __contains__(self, identity: Identity) -> bool:
        return identity in self._flights

    def launch(self, item: Item, wait_ms: int, now_ms: int, *, is_fresh: bool) -> None:
        """Note that a reading is published for the first time, and give it a deadline."""
        self._launches += 1
        deadline = Deadline(now_ms, self._launches, item.identity)
        self._flights[item.identity] = Flight(item, now_ms, is_fresh, deadline)
        self.from_backlog += not is_fresh
        self.launch_again(self._flights[item.identity], wait_ms, now_ms)

    def launch_again(self, flight: Flight, wait_ms: int, now_ms: int) -> None:
        """Note that a reading in flight is published now, and give it a new deadline."""
        flight.wait_ms = wait_ms
        self._set_due(flight, now_ms + self.spread(wait_ms))

    def remove(self, identity: Identity) -> bool:
        """Remove a reading; return whether it was here."""
        return self._pop(identity) is not None

    def acknowledge(self, identity: Identity) -> None:
        """Remove a reading that was acknowledged, if it is here; it has overtaken those published before it."""
        flight = self._pop(identity)
        if flight is not None:
            self._heard_since_ms = max(self._heard_since_ms, flight.since_ms)

    def _pop(self, identity: Identity) -> Flight | None:
        flight = self._flights.pop(identity, None)
        self.from_backlog -= flight is not None and not flight.is_fresh
        return flight

    def is_overtaken(self, flight: Flight) -> bool:
        """Whether a reading was acknowledged that was first published after this one.

        A server that is slow acknowledges in order; one that has passed a reading over may never acknowledge it.
        """
        return flight.since_ms < self._heard_since_ms

    def oldest(self, is_of_backlog: bool) -> Flight:
        """The one that was first published before all others; there must be one.

        Args:
            is_of_backlog: Look only at those that came from the backlog.
        """
        return next(flight for flight in self._flights.values() if not (is_of_backlog and flight.is_fresh))

    def first_due(self) -> Flight:
        """The one with the earliest deadline; there must be one."""
        while not self._holds(self._deadlines[0]):
            heapq.heappop(self._deadlines)
        return self._flights[self._deadlines[0].identity]

    def late(self, now_ms: int) -> list[Flight]:
        """Those whose deadline is over, the earliest first."""
        due: list[Deadline] = []
        while self._deadlines and self._deadlines[0].due_ms <= now_ms:
            deadline = heapq.heappop(self._deadlines)
            if self._holds(deadline):
                due.append(deadline)
        for deadline in due:  # they hold until they are published again
            heapq.heappush(self._deadlines, deadline)
        return [self._flights[deadline.identity] for deadline in due]

    def hurry(self, wait_ms: int, now_ms: int) -> None:
        """Bring each deadline forward to at most `wait_ms` from now, and let its doubling begin again."""
        for flight in self._flights.values():
            self._hurry(flight, wait_ms, now_ms)

    def hurry_once(self, wait_ms: int, now_ms: int) -> None:
        """The same, but not for one that was brought forward so before and was not acknowledged.

        What was published in a silence may never have arrived, so until it is published again it makes no room.
        """
        for flight in self._flights.values():
            if not flight.is_hurried:
                self._hurry(flight, wait_ms, now_ms)
                flight.is_hurried = True
                flight.spared_until_ms = now_ms + wait_ms

    def spread(self, wait_ms: int) -> int:
        """A wait that is up to a quarter shorter, so that deadlines do not all come at once."""
        return int(wait_ms * (0.75 + 0.25 * self._jitter()))

    def _hurry(self, flight: Flight, wait_ms: int, now_ms: int) -> None:
        flight.wait_ms = wait_ms
        self._set_due(flight, min(flight.due_ms, now_ms + self.spread(wait_ms)))

    def _set_due(self, flight: Flight, due_ms: int) -> None:
        if len(self._deadlines) > 2 * len(self._flights) + STALE_LIMIT:
            self._deadlines = [deadline for deadline in self._deadlines if self._holds(deadline)]
            heapq.heapify(self._deadlines)
        flight.deadline = flight.deadline._replace(due_ms=due_ms)
        heapq.heappush(self._deadlines, flight.deadline)

    def _holds(self, deadline: Deadline) -> bool:
        """Whether this is the deadline of a reading that is in flight."""
        flight = self._flights.get(deadline.identity)
        return flight is not None and flight.deadline is deadline
