"""Virtual time: what happens next in a history, and the clocks that its machines read."""

import heapq
import itertools
from collections.abc import Callable

START_UNIX_MS = 1_760_000_000_000

Act = Callable[[], None]


class Timeline:
    """What is to happen, in order of time; of two acts at the same instant the one that was scheduled first."""

    def __init__(self) -> None:
        self.now_ms = 0
        self._acts: list[tuple[int, int, Act]] = []
        self._number = itertools.count()

    def at(self, at_ms: int, act: Act) -> None:
        heapq.heappush(self._acts, (max(at_ms, self.now_ms), next(self._number), act))

    def after(self, wait_ms: int, act: Act) -> None:
        self.at(self.now_ms + wait_ms, act)

    def run(self, until_ms: int) -> None:
        """Let everything happen that is due up to an instant."""
        acts = self._acts
        while acts and acts[0][0] <= until_ms:
            self.now_ms, _, act = heapq.heappop(acts)
            act()
        self.now_ms = until_ms


class Alarm:
    """Calls one act at the earliest of the times for which it was set; one of a process that is gone calls nothing."""

    def __init__(self, timeline: Timeline, act: Act) -> None:
        self._timeline = timeline
        self._act = act
        self._due_ms: int | None = None
        self._is_over = False

    def set(self, wait_ms: int) -> None:
        due_ms = self._timeline.now_ms + wait_ms
        if not self._is_over and (self._due_ms is None or due_ms < self._due_ms):
            self._due_ms = due_ms
            self._timeline.at(due_ms, lambda: self._ring(due_ms))

    def end(self) -> None:
        self._is_over = True

    def _ring(self, due_ms: int) -> None:
        if self._due_ms == due_ms and not self._is_over:
            self._due_ms = None
            self._act()


class MachineTime:
    """What the module `time` says in a history. The wall clock is for gauges there, and may be years wrong."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self.step_ms = 0

    def time_ns(self) -> int:
        return (START_UNIX_MS + self._timeline.now_ms + self.step_ms) * 1_000_000

    def time(self) -> float:
        return self.time_ns() / 1e9

    def monotonic_ns(self) -> int:
        return (10_000_000 + self._timeline.now_ms) * 1_000_000

    def monotonic(self) -> float:
        return self.monotonic_ns() / 1e9
