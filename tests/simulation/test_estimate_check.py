"""The check of both ends' estimates: equal to the hundredth, and right within the thresholds of the forecast."""

from aoii.core.forecast import DAMPED, PROVISIONED, Forecast, Trend
from aoii.simulation.estimate_check import EstimateCheck

HELD = Forecast(2000, 5000, Trend(0, 64, 0, 0, DAMPED), PROVISIONED, 0)
MINUTE_MS = 60_000


def test_equal_estimates_agree_and_a_hundredth_is_a_mismatch() -> None:
    check = EstimateCheck({7: HELD})
    t, h = HELD.at(3 * MINUTE_MS)

    assert check.agrees(7, (t, h), 3 * MINUTE_MS)
    assert not check.agrees(7, (t, h + 1), 3 * MINUTE_MS)
    assert (check.checks, check.mismatches) == (2, 1)


def test_a_reading_is_wrong_from_the_threshold_on() -> None:
    check = EstimateCheck({7: HELD})
    t, h = HELD.at(MINUTE_MS)

    assert not check.is_wrong(7, (t + PROVISIONED.beta_t_c - 1, h), MINUTE_MS)
    assert check.is_wrong(7, (t + PROVISIONED.beta_t_c, h), MINUTE_MS)


def test_a_node_of_which_the_gateway_holds_nothing_is_wrong_until_it_holds_something() -> None:
    held: dict[int, Forecast] = {}
    check = EstimateCheck(held)

    before = check.is_wrong(7, (2000, 5000), 0)
    held[7] = HELD

    assert before
    assert not check.is_wrong(7, (2000, 5000), 0)
