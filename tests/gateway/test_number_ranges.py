"""Ranges of numbers with values, held against a dictionary that has every number for itself."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from aoii.gateway.number_ranges import NumberRanges

HUGE = 2**63 - 1

spans = st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted)
acts = st.lists(st.tuples(st.sampled_from(["put a", "put b", "cut"]), spans), max_size=30)


@given(acts, spans, st.integers(0, 31))
def test_ranges_have_what_a_dictionary_has(acts: list[tuple[str, list[int]]], span: list[int], number: int) -> None:
    ranges: NumberRanges[str] = NumberRanges()
    model: dict[int, str] = {}
    for act, (first, last) in acts:
        numbers = range(first, last + 1)
        before = {one: model[one] for one in numbers if one in model}
        if act == "cut":
            assert spelled(ranges.cut(first, last)) == before
            model = {one: value for one, value in model.items() if one not in before}
        else:
            ranges.put(first, last, act)
            model |= dict.fromkeys(numbers, act)

    assert spelled(list(ranges)) == model
    assert spelled(ranges.within(*span)) == {one: value for one, value in model.items() if span[0] <= one <= span[1]}
    assert ranges.highest_below(number) == max((one for one in model if one < number), default=None)
    assert all(a[1] < b[0] - 1 or (a[1] < b[0] and a[2] != b[2]) for a, b in pairwise(ranges)), list(ranges)


def spelled(ranges: list[tuple[int, int, str]]) -> dict[int, str]:
    """Each number with its value."""
    return {number: value for first, last, value in ranges for number in range(first, last + 1)}


def test_a_huge_range_costs_no_more_than_a_small_one() -> None:
    ranges: NumberRanges[bool] = NumberRanges()

    ranges.put(0, HUGE, True)

    assert ranges.cut(5, 5) == [(5, 5, True)]
    assert list(ranges) == [(0, 4, True), (6, HUGE, True)]
    assert ranges.highest_below(HUGE) == HUGE - 1
