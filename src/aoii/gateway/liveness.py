"""Judges whether a silent node is right or dead: by what it has promised, and by time in which somebody listened. Pure.

A node sends nothing while the gateway's estimate is right, so silence alone says nothing. But it has promised a packet
at least every `heartbeat_s`, and repeats one that nobody acknowledges until somebody does. So a node that is silent for
longer is late, and one that is silent for twice as long is dead. Both are measured on the clock of the receiver that
heard it last, which stands still while nobody listens: a gateway that was off accuses nobody.

A node that promises nothing, with the old firmware or without heartbeats, gets a measured deadline: a multiple of its
longest silence among the last ones.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

Liveness = Literal["ok", "late", "dead", "unknown"]
"""What is known of a node.

`ok`: its silence is within what it has promised; `late`: longer, and a packet or two may just be lost; `dead`: nothing
came in twice the time; `unknown`: nobody listens now, or nobody has heard it yet.
"""

RETRIES_MS = 1_200_000  # within which a node sends the same packet eleven times at least: core.link_timing.TIMING
LATE_MS = 120_000  # likewise six times
SILENCES = 32  # that are remembered of a node without a promise
SILENCES_LEAST = 8  # fewer say nothing
MEASURED_FACTOR = 4  # times the longest: with one packet in five lost, eight heartbeats of the old firmware
UNPROMISED_LEAST_MS = 3_600_000
UNPROMISED_MOST_MS = 86_400_000


@dataclass(frozen=True)
class Promise:
    """How long a node may be silent, ms.

    Attributes:
        late_ms: Then it is late.
        dead_ms: Then it is dead.
    """

    late_ms: int
    dead_ms: int


def promise(heartbeat_s: int) -> Promise:
    """The promise of a node that sends a heartbeat after so many seconds without a packet, 1..65535."""
    beat_ms = 1000 * heartbeat_s
    return Promise(beat_ms + LATE_MS, max(2 * beat_ms, beat_ms + RETRIES_MS))


class ListeningClock:
    """How long a receiver has listened, ms; it stands while it does not.

    Args:
        listened_ms: In earlier runs of the gateway.
    """

    def __init__(self, listened_ms: int = 0) -> None:
        self._listened_ms = listened_ms
        self._since_ms: int | None = None

    @property
    def is_listening(self) -> bool:
        """Whether it listens now."""
        return self._since_ms is not None

    def set_listening(self, is_listening: bool, now_ms: int) -> None:
        """Note that it listens from now on, or does not."""
        self._listened_ms = self.read(now_ms)
        self._since_ms = now_ms if is_listening else None

    def read(self, now_ms: int) -> int:
        """How long it has listened, ms."""
        return self._listened_ms + (0 if self._since_ms is None else max(0, now_ms - self._since_ms))


@dataclass(frozen=True)
class Heard:
    """When a node was heard last, and what it has promised; it outlives a restart.

    Attributes:
        receiver: That has heard it last.
        heard_ms: When, on the clock of that receiver.
        heartbeat_s: What it has promised; 0: nothing.
        silences_ms: The last silences that a packet ended, on such clocks; at most SILENCES.
        unix_ms: When, by the wall clock; None if that was not synced.
        is_faulty: Whether its sensor did not measure.
    """

    receiver: str
    heard_ms: int
    heartbeat_s: int
    silences_ms: tuple[int, ...] = ()
    unix_ms: int | None = None
    is_faulty: bool = False

    @property
    def promise(self) -> Promise:
        """How long it may be silent."""
        if self.heartbeat_s:
            return promise(self.heartbeat_s)
        longest_ms = max(self.silences_ms) if len(self.silences_ms) >= SILENCES_LEAST else UNPROMISED_MOST_MS
        dead_ms = min(max(MEASURED_FACTOR * longest_ms, UNPROMISED_LEAST_MS), UNPROMISED_MOST_MS)
        return Promise(dead_ms // 2, dead_ms)


@dataclass(frozen=True)
class Judgement:
    """What is known of a node now.

    Attributes:
        liveness: In a word.
        silent_ms: Since it was heard, as far as somebody listened.
        promise: How long it may be silent.
        heard_unix_ms: When it was heard last, by the wall clock; None if that was not synced.
    """

    liveness: Liveness
    silent_ms: int
    promise: Promise
    heard_unix_ms: int | None = None


class NodesLiveness:
    """The nodes of one gateway; for one thread.

    Args:
        listened_ms: By receiver, for how long it listened in earlier runs.
        heard: By node, when it was heard in earlier runs.

    Attributes:
        heard: By node, when it was heard last; replaced and never changed.
    """

    def __init__(self, listened_ms: Mapping[str, int], heard: Mapping[str, Heard]) -> None:
        self._clocks = {receiver: ListeningClock(ms) for receiver, ms in listened_ms.items()}
        self.heard = dict(heard)

    def set_listening(self, receiver: str, is_listening: bool, now_ms: int) -> None:
        """Note that a receiver listens from now on, or does not."""
        self._clock(receiver).set_listening(is_listening, now_ms)

    def record(
        self,
        node: str,
        receiver: str,
        heartbeat_s: int | None,
        now_ms: int,
        unix_ms: int | None = None,
        *,
        is_faulty: bool = False,
    ) -> None:
        """Note that a receiver has heard a node.

        Args:
            node: The node.
            receiver: The receiver.
            heartbeat_s: The node promises a heartbeat after so many seconds of silence; 0: none; None: as before.
            now_ms: Now.
            unix_ms: Now, by the wall clock; None if that is not synced.
            is_faulty: Whether its sensor does not measure.
        """
        heard_ms = self._clock(receiver).read(now_ms)
        before = self.heard.get(node)
        if heartbeat_s is None:
            heartbeat_s = 0 if before is None else before.heartbeat_s
        silences_ms = () if before is None else before.silences_ms
        if before is not None and not heartbeat_s:
            silences_ms = (*silences_ms, self._silent_ms(before, now_ms))[-SILENCES:]
        self.heard = self.heard | {node: Heard(receiver, heard_ms, heartbeat_s, silences_ms, unix_ms, is_faulty)}

    def pardon(self) -> None:
        """Give each node that is not dead its whole deadline again: what it said last may not have been stored."""
        heard = dict(self.heard)
        for name, one in self.heard.items():
            listened_ms = self._clock(one.receiver).read(0)
            if listened_ms - one.heard_ms < one.promise.dead_ms:
                heard[name] = replace(one, heard_ms=listened_ms)
        self.heard = heard

    def retain(self, belongs_here: Callable[[str], bool]) -> None:
        """Forget the nodes that do not belong here any more."""
        self.heard = {name: one for name, one in self.heard.items() if belongs_here(name)}

    def judge(self, node: str, now_ms: int) -> Judgement | None:
        """What is known of a node; None if nobody has heard it yet."""
        one = self.heard.get(node)
        if one is None:
            return None
        silent_ms, limits = self._silent_ms(one, now_ms), one.promise
        liveness: Liveness = "ok"
        if silent_ms >= limits.dead_ms:
            liveness = "dead"
        elif not self._clock(one.receiver).is_listening:
            liveness = "unknown"
        elif silent_ms >= limits.late_ms:
            liveness = "late"
        return Judgement(liveness, silent_ms, limits, one.unix_ms)

    def listened_ms(self, now_ms: int) -> dict[str, int]:
        """By receiver, for how long it has listened."""
        return {receiver: clock.read(now_ms) for receiver, clock in self._clocks.items()}

    def _clock(self, receiver: str) -> ListeningClock:
        return self._clocks.setdefault(receiver, ListeningClock())

    def _silent_ms(self, node: Heard, now_ms: int) -> int:
        return max(0, self._clock(node.receiver).read(now_ms) - node.heard_ms)
