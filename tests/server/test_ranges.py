"""Sets of numbers as ranges, against Python's own sets."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from aoii.server import ranges
from aoii.server.ranges import Ranges

SETS = st.sets(st.integers(0, 40))


def as_ranges(numbers: set[int]) -> Ranges:
    return ranges.united((number, number) for number in numbers)


def as_set(found: Ranges) -> set[int]:
    """The numbers of a set; fails if its ranges are not sorted, or touch."""
    assert all(first <= last for first, last in found)
    assert all(one[1] + 1 < other[0] for one, other in itertools.pairwise(found))
    return {number for first, last in found for number in range(first, last + 1)}


@given(SETS, SETS)
def test_the_three_operations_are_those_of_sets(one: set[int], other: set[int]) -> None:
    a, b = as_ranges(one), as_ranges(other)

    assert as_set(ranges.union(a, b)) == one | other
    assert as_set(ranges.intersection(a, b)) == one & other
    assert as_set(ranges.difference(a, b)) == one - other
    assert ranges.count(a) == len(one)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5))))
def test_ranges_that_overlap_and_come_in_any_order_are_united(given_: list[tuple[int, int]]) -> None:
    pairs = [(first, first + length) for first, length in given_]

    found = ranges.united(pairs)

    assert as_set(found) == {number for first, last in pairs for number in range(first, last + 1)}


def test_a_million_numbers_without_a_hole_are_one_range() -> None:
    assert ranges.union(((1, 500_000),), ((500_001, 1_000_000),)) == ((1, 1_000_000),)
