"""Decides which numbers a node is asked for over the air, and what its answers prove.

A question is five bits of an acknowledgement: the distance from the acknowledged counter back to the number that is
wanted, 30 at most; what lies farther back is reached in hops. The node answers with the newest reading that it holds
at or below that number, and says what lies between (`Uplink.answers`). A question is repeated in each acknowledgement
until an answer comes, because acknowledgements are lost and a node has one question at a time. A node that has heard
questions and goes on without an answer, as old firmware does, is `silent`. It has heard the last one when it sends a
backfill, or a heartbeat after an event or a heartbeat: nothing waits for its acknowledgement then. Anything else may
follow a reading whose acknowledgement was lost. Only nodes of our own with a key here are asked. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from aoii.broker.repair_messages import Finding, FindingKind
from aoii.core.frames import BACKFILL, HEARTBEAT, Uplink
from aoii.gateway.findings import NodeEpoch
from aoii.gateway.number_ranges import NumberRanges

FARTHEST = 30  # the distance has five bits, and 31 is reserved: docs/reference/wire-format.md
COUNTER_LIMIT = 2**31 - 1  # the answer names the number in a signed field of 32 bits
SILENT_AFTER = 3  # questions that a node has heard, without an answer to any
# Acknowledgements with a question, by node; one costs the node a packet. So many that the whole ring (126) comes back
# in a day, with some questions that are lost: later, new readings would have pushed its oldest out. A node recalls 200.
DAILY_LIMIT = 160
DAY_MS = 86_400_000
UNHEARD_MS = DAY_MS  # a node that sends nothing but events is silent after so long: it may hear nothing
PATIENCE_MS = 2 * DAY_MS  # after the server's last question a number is not asked for any longer
RANGES_LIMIT = 300  # of numbers, by node: it holds 126 readings, so more would bring nothing

AirResult = Literal["asked", "answered", "recovered", "silent", "limited"]
"""What happened: a question was put into an acknowledgement; an answer came; with a reading that was wanted; the node
does not answer; it has been asked often enough today.
"""


@dataclass(frozen=True)
class Learned:
    """What follows from an accepted frame.

    Attributes:
        again: For its acknowledgement: the distance back to the number that is asked for, 1..FARTHEST; 0 for none.
        findings: What is known now of numbers that were asked for.
        results: For the counts.
    """

    again: int = 0
    findings: Sequence[Finding] = ()
    results: Sequence[AirResult] = ()


@dataclass
class _Asked:
    """What one node is asked for in one epoch.

    Attributes:
        wanted: The numbers; the value says whether this gateway had them and has forgotten them.
        asked_ms: When the server last asked for one of them.
        questions: Counters of the readings that were acknowledged with a question since the last answer.
        newest: The newest of these readings: its counter, and whether it was backfill; None once another one has come.
        heard: How many of the questions it has heard for sure.
        since_ms: When the first of them was asked.
    """

    wanted: NumberRanges[bool]
    asked_ms: int
    questions: set[int] = field(default_factory=set)
    newest: tuple[int, bool] | None = None
    heard: int = 0
    since_ms: int = 0

    def take(self, uplink: Uplink) -> None:
        """Note what a new frame without an answer says of the newest question."""
        if self.newest is None or uplink.counter == self.newest[0]:
            return
        is_after_backfill = self.newest[1]
        self.newest = None
        self.heard += bool(uplink.flags & BACKFILL or (uplink.flags & HEARTBEAT and not is_after_backfill))

    def is_silent(self, counter: int, now_ms: int) -> bool:
        """Whether the node, which sends this counter, has left enough questions without an answer."""
        is_unheard_long = now_ms - self.since_ms >= UNHEARD_MS
        return self.heard >= SILENT_AFTER or (is_unheard_long and len(self.questions - {counter}) >= SILENT_AFTER)

    def answered(self) -> None:
        """Begin anew: the node answers."""
        self.questions.clear()
        self.newest, self.heard = None, 0


class AirAsks:
    """What the nodes of one gateway are asked for."""

    def __init__(self) -> None:
        self._nodes: dict[NodeEpoch, _Asked] = {}
        self._spent: dict[str, tuple[int, int]] = {}  # by node: since when the day is counted, and the questions in it

    def want(self, whose: NodeEpoch, first: int, last: int, was_here: bool, now_ms: int) -> list[Finding]:
        """Ask a node for numbers from now on; return what is known of those that it cannot be asked for.

        Args:
            whose: A node of our own with a key, and an epoch in which that key is used.
            first: The lowest of the numbers.
            last: The highest.
            was_here: Whether this gateway had them, and has forgotten them.
            now_ms: The machine's elapsed clock.
        """
        low, high = max(first, 1), min(last, COUNTER_LIMIT)
        unasked = [(first, min(last, 0)), (max(first, COUNTER_LIMIT + 1), last)]
        if low <= high:
            asked = self._nodes.setdefault(whose, _Asked(NumberRanges(), now_ms))
            asked.asked_ms = now_ms
            asked.wanted.put(low, high, was_here)
            if len(asked.wanted) > RANGES_LIMIT:  # the newest are the most likely to be held
                asked.wanted.cut(0, list(asked.wanted)[-RANGES_LIMIT][0] - 1)
        return [_finding(*one, was_here, "silent") for one in unasked if one[0] <= one[1]]

    def wanted(self, whose: NodeEpoch, first: int, last: int) -> list[tuple[int, int]]:
        """Those of the numbers that the node is being asked for, as ranges in order."""
        asked = self._nodes.get(whose)
        return [] if asked is None else [one[:2] for one in asked.wanted.within(first, last)]

    def learn(self, uplink: Uplink, is_new: bool, now_ms: int) -> Learned:
        """Learn from an accepted frame, and decide what its acknowledgement asks for.

        Args:
            uplink: The frame; its reading is safe.
            is_new: Whether the frame was not accepted before.
            now_ms: The machine's elapsed clock.
        """
        whose = NodeEpoch(str(uplink.node), uplink.epoch)
        asked = self._nodes.get(whose)
        if asked is None:
            return Learned()
        if now_ms - asked.asked_ms >= PATIENCE_MS:
            del self._nodes[whose]
            return Learned()
        results: list[AirResult] = []
        is_recovered = bool(asked.wanted.cut(uplink.counter, uplink.counter))
        findings = _unused(asked, uplink) if is_new else []
        if uplink.answers:
            findings += _answered(asked, uplink)
            asked.answered()
            if is_new:
                results += ["answered", "recovered"] if is_recovered else ["answered"]
        elif is_new:
            asked.take(uplink)
            if asked.is_silent(uplink.counter, now_ms):
                findings += _findings(asked.wanted.cut(0, COUNTER_LIMIT), "silent")
                results.append("silent")
        again = self._again(asked, uplink, results, now_ms)
        if not asked.wanted:
            del self._nodes[whose]
        return Learned(again, findings, results)

    def _again(self, asked: _Asked, uplink: Uplink, results: list[AirResult], now_ms: int) -> int:
        """The distance back to the highest number that is wanted, or one hop towards it; 0 for no question."""
        wanted = asked.wanted.highest_below(uplink.counter)
        if wanted is None:
            return 0
        if uplink.counter not in asked.questions:
            node = str(uplink.node)
            since_ms, spent = self._spent.get(node, (now_ms, 0))
            if now_ms - since_ms >= DAY_MS:
                since_ms, spent = now_ms, 0
            if spent >= DAILY_LIMIT:
                results.append("limited")
                return 0
            self._spent[node] = since_ms, spent + 1
            if not asked.questions:
                asked.since_ms = now_ms
            asked.questions.add(uplink.counter)
            asked.newest = uplink.counter, bool(uplink.flags & BACKFILL)
            results.append("asked")
        return min(uplink.counter - wanted, FARTHEST)


def _unused(asked: _Asked, uplink: Uplink) -> list[Finding]:
    """What a live reading says of higher numbers: the node has not used them yet, so it cannot be asked for them."""
    if uplink.flags & BACKFILL:
        return []
    return _findings(asked.wanted.cut(uplink.counter + 1, COUNTER_LIMIT), "silent")


def _answered(asked: _Asked, uplink: Uplink) -> list[Finding]:
    """What an answer says: nothing is held above its reading up to the number that was asked for.

    An answer whose reading is above that number says that nothing is held at or below it.
    """
    target = abs(uplink.answers)
    first = uplink.counter + 1 if uplink.counter <= target else 0
    return _findings(asked.wanted.cut(first, target), "void" if uplink.answers > 0 else "unknown")


def _findings(ranges: list[tuple[int, int, bool]], kind: FindingKind) -> list[Finding]:
    return [_finding(first, last, was_here, kind) for first, last, was_here in ranges]


def _finding(first: int, last: int, was_here: bool, kind: FindingKind) -> Finding:
    """A finding; what this gateway has forgotten is called that, whatever the node says of it."""
    return Finding(first, last, "forgotten" if was_here else kind)
