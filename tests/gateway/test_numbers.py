"""Where the numbers of a node are, against a plain count of each number."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from aoii.gateway.numbers import NodeNumbers, Stretch, merged, stretches, united

NUMBERS = st.sets(st.integers(0, 40))


@given(st.integers(0, 40), st.integers(0, 20), NUMBERS, NUMBERS, NUMBERS)
def test_every_number_is_in_one_stretch_and_that_says_where_it_is(
    first: int, more: int, waiting: set[int], kept: set[int], forgotten: set[int]
) -> None:
    last = first + more
    asked = range(first, last + 1)
    ranges = [each for each in merged((one, one) for one in forgotten) if each[1] >= first]

    found = list(stretches(first, last, sorted(waiting & set(asked)), sorted(kept & set(asked)), ranges))

    expected = [
        "waiting" if n in waiting else "kept" if n in kept else "forgotten" if n in forgotten else "absent"
        for n in asked
    ]
    assert [place for one, other, place in found for _ in range(one, other + 1)] == expected
    assert [one.first for one in found] == [first, *(one.last + 1 for one in found[:-1])]
    assert all(one.place != other.place for one, other in itertools.pairwise(found))


def test_a_range_of_all_numbers_costs_no_more_than_what_is_in_it() -> None:
    assert list(stretches(0, 2**63 - 1, [5], [7], [(10, 2**62)])) == [
        Stretch(0, 4, "absent"),
        Stretch(5, 5, "waiting"),
        Stretch(6, 6, "absent"),
        Stretch(7, 7, "kept"),
        Stretch(8, 9, "absent"),
        Stretch(10, 2**62, "forgotten"),
        Stretch(2**62 + 1, 2**63 - 1, "absent"),
    ]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5))))
def test_merged_ranges_have_the_same_numbers_and_touch_nowhere(spans: list[tuple[int, int]]) -> None:
    ranges = [(first, first + more) for first, more in spans]

    found = merged(ranges)

    assert {n for one, other in found for n in range(one, other + 1)} == {
        n for one, other in ranges for n in range(one, other + 1)
    }
    assert all(one[1] + 1 < other[0] for one, other in itertools.pairwise(found))


def test_what_several_files_know_of_a_node_is_one_line() -> None:
    lines = [NodeNumbers("7", 1, 5, 9, 2), NodeNumbers("7", 2, 1, 1, 0), NodeNumbers("7", 1, 1, 6, 0)]

    assert united(lines) == [NodeNumbers("7", 1, 1, 9, 2), NodeNumbers("7", 2, 1, 1, 0)]
