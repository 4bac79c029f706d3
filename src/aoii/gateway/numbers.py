"""What a gateway knows of a node's numbers: which readings wait, which are kept, which it had, which it never had.

A *number* is the counter of a reading, in one epoch of one node. Pure: sorted numbers and ranges in, disjoint ranges
out. The work grows with the readings and ranges that are held, never with the numbers between them.
"""

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

Place = Literal["waiting", "kept", "forgotten", "absent"]
"""`waiting`: in the outbox; `kept`: acknowledged by the database, and still here; `forgotten`: was kept once, and has
made room; `absent`: never here, as far as this gateway knows. The first that is true counts."""


class NodeNumbers(NamedTuple):
    """Which numbers of a node and epoch a gateway has accepted, as far as it knows.

    Attributes:
        low: The lowest.
        high: The highest.
        waiting: How many of its readings are in the outbox.
    """

    node: str
    epoch: int
    low: int
    high: int
    waiting: int


class Stretch(NamedTuple):
    """The numbers `first`..`last`, all in one place."""

    first: int
    last: int
    place: Place


class GivenBack(NamedTuple):
    """What giving back has done so far.

    Attributes:
        copied: Readings that are in the outbox again.
        next: The number to go on with; None when the range is done.
    """

    copied: int
    next: int | None


def stretches(
    first: int, last: int, waiting: Iterable[int], kept: Iterable[int], forgotten: Iterable[tuple[int, int]]
) -> Iterator[Stretch]:
    """Where the numbers `first`..`last` are: disjoint stretches in order, which leave none out.

    Two stretches that follow each other are in different places.

    Args:
        first: The lowest number asked for.
        last: The highest, not below `first`.
        waiting: Numbers in the outbox, rising, none below `first`.
        kept: Numbers of readings that are kept, likewise.
        forgotten: First and last number of each range that was forgotten, rising and disjoint; the first may begin
            below `first`.
    """
    begun: Stretch | None = None
    for part in _parts(first, last, waiting, kept, forgotten):
        if begun is not None and begun.place == part.place:
            begun = begun._replace(last=part.last)
            continue
        if begun is not None:
            yield begun
        begun = part
    if begun is not None:
        yield begun


def _parts(
    first: int, last: int, waiting: Iterable[int], kept: Iterable[int], forgotten: Iterable[tuple[int, int]]
) -> Iterator[Stretch]:
    """The same in smaller parts: a number that is held is one of its own."""
    beyond = last + 1
    waiters, keepers, ranges = iter(waiting), iter(kept), iter(forgotten)
    next_waiting, next_kept = next(waiters, beyond), next(keepers, beyond)
    begin, end = next(ranges, (beyond, beyond))
    at = first
    while at <= last:
        while next_waiting < at:
            next_waiting = next(waiters, beyond)
        while next_kept < at:
            next_kept = next(keepers, beyond)
        while end < at:
            begin, end = next(ranges, (beyond, beyond))
        held = min(next_waiting, next_kept)
        if held == at:
            part = Stretch(at, at, "waiting" if next_waiting == at else "kept")
        elif begin <= at:
            part = Stretch(at, min(end, held - 1, last), "forgotten")
        else:
            part = Stretch(at, min(begin, held) - 1, "absent")
        yield part
        at = part.last + 1


def united(numbers: Iterable[NodeNumbers]) -> list[NodeNumbers]:
    """One for each node and epoch, in order: the lowest and highest number of all, and the sum of what waits."""
    found: dict[tuple[str, int], NodeNumbers] = {}
    for each in numbers:
        key = each.node, each.epoch
        one = found.get(key, each._replace(waiting=0))
        low, high = min(one.low, each.low), max(one.high, each.high)
        found[key] = NodeNumbers(*key, low, high, one.waiting + each.waiting)
    return [found[key] for key in sorted(found)]


def merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges of numbers, rising and disjoint, and with a number between any two: adjacent ones become one."""
    result: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(result[-1][1], last))
        else:
            result.append((first, last))
    return result
