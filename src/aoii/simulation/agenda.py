"""The agenda of the simulated world: runs its events in order of time, on the world's own clock.

Pure: the caller waits for an instant, and decides how long that takes. Events at the same instant run in the order in
which they were scheduled.
"""

import heapq
import itertools
from collections.abc import Awaitable, Callable

ScheduledEvent = Callable[[int], Awaitable[None] | None]  # called with its instant, ms


class Agenda:
    """Events in order of time.

    Attributes:
        now_ms: Instant of the event that runs now, or ran last.
    """

    def __init__(self) -> None:
        self.now_ms = 0
        self._events: list[tuple[int, int, ScheduledEvent]] = []  # a heap
        self._order = itertools.count()

    def schedule(self, at_ms: int, event: ScheduledEvent) -> None:
        """Run an event at an instant that is not in the past."""
        heapq.heappush(self._events, (at_ms, next(self._order), event))

    async def run(self, end_ms: float, wait_until: Callable[[int], Awaitable[None]]) -> None:
        """Run events until none is left before `end_ms`; no time passes in the world while an event awaits something.

        Args:
            end_ms: Events from this instant on do not run.
            wait_until: Returns when the instant in its argument, ms, has come.
        """
        while self._events:
            at_ms, _, event = heapq.heappop(self._events)
            if at_ms >= end_ms:
                return
            await wait_until(at_ms)
            self.now_ms = at_ms
            waiting = event(at_ms)
            if waiting is not None:
                await waiting
