"""The one definition of the age of incorrect information."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aoii.core.aoii import AoiiMeter

verdicts = st.lists(st.booleans(), min_size=1, max_size=300)


def ages(wrong: list[bool], interval_s: int) -> list[int]:
    """Straight from the definition: time since the last right instant."""
    return [(at - max((i for i in range(at + 1) if not wrong[i]), default=-1)) * interval_s for at in range(len(wrong))]


@given(verdicts, st.integers(1, 600))
def test_mean_and_percentile_follow_the_definition(wrong: list[bool], interval_s: int) -> None:
    meter = AoiiMeter()

    observed = [meter.observe(verdict, interval_s) for verdict in wrong]

    expected = ages(wrong, interval_s)
    assert observed == expected
    assert (meter.instants, meter.wrong, meter.wrong_s) == (len(wrong), sum(wrong), sum(wrong) * interval_s)
    assert np.isclose(meter.mean_s(), np.mean(expected))
    assert meter.p99_s() == np.percentile(expected, 99, method="inverted_cdf")


@given(verdicts, verdicts)
def test_two_nodes_together_are_all_their_instants(first: list[bool], second: list[bool]) -> None:
    one, two = AoiiMeter(), AoiiMeter()
    for verdict in first:
        one.observe(verdict, 60)
    for verdict in second:
        two.observe(verdict, 60)

    one.merge(two)

    both = ages(first, 60) + ages(second, 60)
    assert np.isclose(one.mean_s(), np.mean(both))
    assert one.p99_s() == np.percentile(both, 99, method="inverted_cdf")


def test_before_the_first_instant_everything_is_zero() -> None:
    meter = AoiiMeter()

    assert (meter.mean_s(), meter.p99_s(), meter.aoii_s) == (0.0, 0, 0)
