"""Gaps as values: a change does what it would do number by number."""

import itertools
from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st

from aoii.server.gap import DatedGap, Gap, GapState, overlaid

STATES: tuple[GapState, ...] = ("open", "void")
EARLY, LATE = datetime(2026, 1, 1), datetime(2026, 1, 2)  # noqa: DTZ001 - the table's times have no zone


@st.composite
def disjoint(draw: st.DrawFn, at: datetime) -> list[DatedGap]:
    bounds = sorted(draw(st.sets(st.integers(0, 40), max_size=16)))
    pairs = zip(bounds[::2], bounds[1::2], strict=False)
    return [DatedGap(Gap("7", 1, first, last, draw(st.sampled_from(STATES))), at) for first, last in pairs]


def numbers_of(gaps: list[DatedGap]) -> dict[int, GapState]:
    return {number: one.gap.state for one in gaps for number in range(one.gap.first, one.gap.last + 1)}


@given(disjoint(EARLY), disjoint(LATE), st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), max_size=5))
def test_a_change_is_what_it_would_be_number_by_number(
    before: list[DatedGap], new: list[DatedGap], more: list[tuple[int, int]]
) -> None:
    before = overlaid(before, [], [])  # as the table has them
    cleared = [(first, first + more) for first, more in more]
    ranges = [*cleared, *((one.gap.first, one.gap.last) for one in new)]
    expected = numbers_of(before)
    for first, last in cleared:
        for number in range(first, last + 1):
            expected.pop(number, None)

    after = overlaid(before, ranges, new)

    assert numbers_of(after) == expected | numbers_of(new)
    assert sum(one.gap.last - one.gap.first + 1 for one in after) == len(expected | numbers_of(new))
    for one, other in itertools.pairwise(after):
        assert one.gap.last < other.gap.first
        assert one.gap.last + 1 < other.gap.first or one.gap.state != other.gap.state
