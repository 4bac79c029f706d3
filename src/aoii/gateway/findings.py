"""Findings: what became of numbers that the server asked for and this gateway does not hold.

They are kept for a day after the last one of the same node and epoch, so that a question that is repeated is answered
without asking the node again. Memory is bounded: the nodes untouched for longest go first, and of a single node what
has been reported. Pure.
"""

from collections.abc import Iterable
from typing import NamedTuple

from aoii.broker.repair_messages import Finding, FindingKind
from aoii.gateway.number_ranges import NumberRanges

KEPT_MS = 86_400_000
LIMIT = 5_000  # ranges, of all nodes: about a megabyte; the server asks again for those of which it hears nothing


class NodeEpoch(NamedTuple):
    """A node's name and one of its epochs: in what numbers count."""

    node: str
    epoch: int


class _Found(NamedTuple):
    kind: FindingKind
    is_new: bool


class Findings:
    """The findings of all nodes."""

    def __init__(self) -> None:
        self._ranges: dict[NodeEpoch, NumberRanges[_Found]] = {}  # the one longest untouched first
        self._touched_ms: dict[NodeEpoch, int] = {}
        self._size = 0
        self.unreported = 0  # at least so many ranges were not taken by `take` yet; exact after each `take`

    def __len__(self) -> int:
        return self._size

    def put(self, whose: NodeEpoch, findings: Iterable[Finding], now_ms: int) -> None:
        """Add findings; a later one about the same number replaces an earlier one."""
        findings = list(findings)
        if not findings:
            return
        ranges = self._ranges.pop(whose, None) or NumberRanges()
        before = len(ranges)
        for one in findings:
            ranges.put(one.first, one.last, _Found(one.kind, True))
            self.unreported += 1
        self._ranges[whose] = ranges  # the last one now
        self._touched_ms[whose] = now_ms
        self._size += len(ranges) - before
        self._forget(now_ms)

    def within(self, whose: NodeEpoch, first: int, last: int) -> list[Finding]:
        """What was found of the numbers `first`..`last`, in order."""
        ranges = self._ranges.get(whose)
        return [] if ranges is None else [Finding(*one[:2], one[2].kind) for one in ranges.within(first, last)]

    def renew(self, whose: NodeEpoch, first: int, last: int) -> None:
        """Let what was found of these numbers be taken once more."""
        ranges = self._ranges.get(whose)
        if ranges is not None:
            before = len(ranges)
            for begin, end, found in ranges.within(first, last):
                ranges.put(begin, end, found._replace(is_new=True))
            self._size += len(ranges) - before

    def cut(self, whose: NodeEpoch, first: int, last: int) -> None:
        """Forget what was found of these numbers: they are here now, or are looked for again."""
        ranges = self._ranges.get(whose)
        if ranges is not None:
            before = len(ranges)
            ranges.cut(first, last)
            self._size += len(ranges) - before
            if not ranges:
                self._drop(whose)

    def take(self, is_all: bool) -> dict[NodeEpoch, tuple[Finding, ...]]:
        """The findings that were not taken yet, or all of them, by node and epoch; from now on they count as taken."""
        taken: dict[NodeEpoch, tuple[Finding, ...]] = {}
        for whose, ranges in self._ranges.items():
            chosen = [(*one[:2], one[2].kind) for one in ranges if is_all or one[2].is_new]
            if chosen:
                taken[whose] = tuple(Finding(*one) for one in chosen)
                before = len(ranges)
                for first, last, kind in chosen:
                    ranges.put(first, last, _Found(kind, False))
                self._size += len(ranges) - before
        self.unreported = 0
        return taken

    def _forget(self, now_ms: int) -> None:
        while now_ms - self._touched_ms[oldest := next(iter(self._ranges))] >= KEPT_MS:
            self._drop(oldest)  # never the one that was touched just now
        while self._size > LIMIT and len(self._ranges) > 1:
            self._drop(next(iter(self._ranges)))
        if self._size > LIMIT:
            ((whose, ranges),) = self._ranges.items()
            reported_first = sorted(ranges, key=lambda one: one[2].is_new)  # the server remembers those
            for first, last, _ in reported_first[: self._size - LIMIT]:
                self.cut(whose, first, last)

    def _drop(self, whose: NodeEpoch) -> None:
        self._size -= len(self._ranges.pop(whose))
        del self._touched_ms[whose]
