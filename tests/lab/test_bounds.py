"""The bounds against dynamic programming and an independent test of feasibility, and against known recordings."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aoii.lab.bounds import Bounds
from aoii.lab.replay import pieces
from aoii.simulation import recordings
from series import made

SHARED = Path(__file__).parents[3] / "shared" / "data"
EPSILON = (50, 300)
Point = tuple[int, int]


def fits_a_value(points: Sequence[Point], epsilon_c: int) -> bool:
    values = [y for _, y in points]
    return max(values) - min(values) < 2 * epsilon_c


def fits_a_line(points: Sequence[Point], epsilon_c: int) -> bool:
    """The narrowest vertical strip around points has the slope of some pair of them (rotating calipers)."""
    if len(points) == 1:
        return True
    slopes = [Fraction(b[1] - a[1], b[0] - a[0]) for a, b in combinations(points, 2)]
    widths = (max(y - s * k for k, y in points) - min(y - s * k for k, y in points) for s in slopes)
    return min(widths) < 2 * epsilon_c


def fewest(
    readings: Sequence[Point], slots: Sequence[int], starts: Sequence[int], fits: Callable[[Sequence[Point], int], bool]
) -> int:
    """The fewest segments over all ways to cut."""
    best = [0]
    for end in range(1, len(readings) + 1):
        options = []
        for begin in range(end):
            crosses = any(begin < start < end for start in starts)
            parts = [[(slots[i], readings[i][q]) for i in range(begin, end)] for q in (0, 1)]
            if not crosses and all(fits(part, EPSILON[q]) for q, part in enumerate(parts)):
                options.append(best[begin] + 1)
        best.append(min(options))
    return best[-1]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(range(0, 201, 25)), st.sampled_from(range(0, 1201, 150)), st.sampled_from([1, 1, 2, 40])
        ),
        min_size=1,
        max_size=12,
    )
)
def test_greedy_is_as_good_as_any_way_to_cut(steps: list[tuple[int, int, int]]) -> None:
    readings, slots = [(t, h) for t, h, _ in steps], [0]
    for _, _, passed in steps[1:]:
        slots.append(slots[-1] + passed)
    one = made(readings, slots)
    starts = pieces(one)

    bounds = Bounds(one, starts, EPSILON)

    assert bounds.hold == fewest(readings, slots, starts, fits_a_value)
    assert bounds.linear == fewest(readings, slots, starts, fits_a_line)


def test_the_threshold_itself_is_too_far() -> None:
    assert Bounds(made([(0, 0), (99, 0)], [0, 1]), [0], EPSILON).hold == 1
    assert Bounds(made([(0, 0), (100, 0)], [0, 1]), [0], EPSILON).hold == 2
    assert Bounds(made([(0, 0), (100, 0), (0, 0)], [0, 1, 2]), [0], EPSILON).linear == 2
    assert Bounds(made([(0, 0), (99, 0), (0, 0)], [0, 1, 2]), [0], EPSILON).linear == 1


def test_the_shipped_day() -> None:
    (day,) = recordings.parse()

    bounds = Bounds(day, [0], EPSILON)

    assert (bounds.hold, bounds.linear) == (53, 21)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared recordings are not beside the project")
def test_the_reference_log() -> None:
    log = next(s for s in recordings.parse(SHARED / "reference_logs_1min.csv.gz") if s.node == "mlp0.5")

    bounds = Bounds(log, pieces(log), EPSILON)

    assert (bounds.hold, bounds.linear) == (67, 38)
