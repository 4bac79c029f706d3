"""The ledger: what became of every number of a node and epoch, each number in one part. Pure.

    last - first + 1 = stored + dead letters + void + waiting + open + unknown + lost + retired

Every part is counted for itself, none as the rest of the others: the stored from the rows, all others from the holes
between rows. So a number that is in two parts, or in none, shows in the sum. A row overrides everything above the
floor, a dead letter overrides a gap, and up to the floor everything is retired, whatever else is there.
"""

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import accumulate
from typing import Final

from aoii.server import ranges
from aoii.server.gap import Gap, GapState
from aoii.server.ranges import Ranges

FIRST_OLD_EPOCH: Final = 65_536  # a frame has 16 bits for an epoch; gateways number the epochs of old nodes from here
PARTS = ("stored", "dead_letters", "void", "waiting", "open", "unknown", "lost", "retired")


@dataclass(frozen=True)
class Account:
    """How many of the numbers `first`..`last` of a node and epoch are in which part.

    Attributes:
        last: One less than `first` if there is none.
        waiting: Those that nothing accounts for: on their way, or not looked for yet.
        day: The day to which the numbers belong, UTC; None for an account of all days, and for numbers after the
            last row.
    """

    node: str
    epoch: int
    first: int
    last: int
    stored: int
    dead_letters: int
    void: int
    waiting: int
    open: int
    unknown: int
    lost: int
    retired: int
    day: date | None = None

    @property
    def total(self) -> int:
        """The sum of all parts."""
        return sum(int(getattr(self, part)) for part in PARTS)

    @property
    def is_balanced(self) -> bool:
        """Whether the sum of all parts is the number of numbers."""
        return self.total == self.last - self.first + 1


@dataclass(frozen=True)
class Facts:
    """What is known of a node and epoch.

    Attributes:
        floor: Everything up to here is retired; less than the first number if there is no floor.
        rows: Rows above the floor: for each piece of the numbers, ascending, its last number and how many rows it has.
        holes: The numbers above the floor without a row, up to the highest row.
        gaps: Ascending by their first number; they should not overlap.
        letters: Numbers of dead letters, in any order, also several times.
        high: The highest number that a gateway has reported; -1 if none has.
    """

    node: str
    epoch: int
    floor: int
    rows: Sequence[tuple[int, int]]
    holes: Ranges
    gaps: Sequence[Gap]
    letters: Collection[int]
    high: int

    @property
    def first(self) -> int:
        """The number from which a node counts in this epoch."""
        return first_number(self.epoch)

    @property
    def last(self) -> int:
        """The highest number that is known from anywhere."""
        return max(
            self.first - 1,
            self.floor,
            self.high,
            self.rows[-1][0] if self.rows else -1,
            max((gap.last for gap in self.gaps), default=-1),
            max(self.letters, default=-1),
        )


def first_number(epoch: int) -> int:
    """The number from which a node counts in an epoch: 1, or 0 for old nodes."""
    return 0 if epoch >= FIRST_OLD_EPOCH else 1


def account(facts: Facts) -> Account:
    """The account of all numbers of a node and epoch."""
    return _account(_Counted(facts), facts.first, facts.last, None)


def account_up_to(facts: Facts, last: int) -> Account:
    """The account of the numbers up to `last`.

    Args:
        facts: As for `account`; `last` is the end of a piece of their rows, or above or below them all.
        last: The last number that counts.
    """
    return _account(_Counted(facts), facts.first, last, None)


def accounts_by_day(facts: Facts, days: Sequence[tuple[date, int]]) -> Iterator[Account]:
    """The same numbers by days.

    The numbers of a day are those after the day before, up to the highest row of the day; a row that is dated before
    one with a lower number changes nothing. Retired numbers belong to the day of the next row.

    Args:
        facts: As for `account`.
        days: Each day that has rows, ascending, with the highest number among them.
    """
    counted = _Counted(facts)
    first = facts.first
    for day, last in days:
        if last >= first:
            yield _account(counted, first, last, day)
            first = last + 1
    if facts.last >= first:
        yield _account(counted, first, facts.last, None)


class _Counted:
    """The numbers of each part, ready to be counted between any two."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        first, last = max(facts.first, facts.floor + 1), facts.last
        above = ((facts.rows[-1][0] if facts.rows else facts.floor) + 1, last)
        holes = ranges.united((*facts.holes, above)) if above[0] <= last else facts.holes
        holes = ranges.intersection(holes, ((first, last),)) if first <= last else ()
        letters = ranges.united((number, number) for number in facts.letters)
        free = ranges.difference(holes, letters)
        self.dead_letters = _between(ranges.intersection(holes, letters))
        self.waiting = _between(ranges.difference(free, ranges.united((gap.first, gap.last) for gap in facts.gaps)))
        self.free = _between(free)
        self.stored: Callable[[int, int], int]  # both numbers are ends of pieces of rows, or outside them all
        ends = [end for end, _ in facts.rows]
        sums = [0, *accumulate(count for _, count in facts.rows)]
        self.stored = lambda first, last: sums[bisect_right(ends, last)] - sums[bisect_right(ends, first - 1)]


def _account(counted: _Counted, first: int, last: int, day: date | None) -> Account:
    facts = counted.facts
    of_gaps: dict[GapState, int] = {"void": 0, "open": 0, "unknown": 0, "lost": 0, "retired": 0}
    for gap in facts.gaps:  # each for itself: if two overlap, the sum must show it
        if gap.first <= last and gap.last >= first:
            of_gaps[gap.state] += counted.free(max(gap.first, first), min(gap.last, last))
    of_gaps["retired"] += max(0, min(last, facts.floor) - first + 1)
    return Account(
        facts.node,
        facts.epoch,
        first,
        last,
        stored=counted.stored(first, last),
        dead_letters=counted.dead_letters(first, last),
        waiting=counted.waiting(first, last),
        day=day,
        **of_gaps,
    )


def _between(numbers: Ranges) -> Callable[[int, int], int]:
    """A function: how many of these numbers lie from one to another, both included."""
    firsts = [first for first, _ in numbers]
    sums = [0, *accumulate(last - first + 1 for first, last in numbers)]

    def up_to(limit: int) -> int:
        at = bisect_right(firsts, limit)
        return sums[at] - max(0, numbers[at - 1][1] - limit) if at else 0

    return lambda first, last: up_to(last) - up_to(first - 1)
