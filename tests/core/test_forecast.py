"""The estimate that both ends compute from a packet."""

import math

from hypothesis import given
from hypothesis import strategies as st

from aoii.core.forecast import DAMPED, GROWTH, HOLD, LAST, Forecast, NodeSettings, Trend, estimate, steps_between

BYTE = st.integers(-128, 127)


def in_floats(reading_c: int, level: int, slope: int, damping: int, epsilon_c: int, steps: int) -> float:
    """The formula as written on paper, in double precision."""
    growth = (1 - 0.98**steps) / 0.02 if damping else 0.0
    return reading_c + level * epsilon_c / 16 + slope * epsilon_c / 128 * growth


def test_at_the_sample_itself_the_estimate_is_the_reading_and_the_level() -> None:
    assert estimate(2000, 8, 100, DAMPED, 50, 0) == 2025


def test_a_trend_without_damping_has_no_trend() -> None:
    assert estimate(2000, 0, 127, 0, 50, 1000) == 2000


def test_worked_example_of_a_damped_trend() -> None:
    # slope 64 of threshold 0.50 °C: 0.25 °C first, then 0.98 of it, and so on: 25 + 24.5 + 24.01 = 73.51 hundredths
    assert estimate(2100, 0, 64, DAMPED, 50, 1) == 2125
    assert estimate(2100, 0, 64, DAMPED, 50, 3) == 2174


def test_the_trend_comes_to_rest_at_fifty_first_steps() -> None:
    far = estimate(0, 0, 128 // 2, DAMPED, 100, 10**9)

    assert far == estimate(0, 0, 64, DAMPED, 100, LAST) == 2500
    assert len(GROWTH) < 600


@given(st.integers(-4000, 8500), BYTE, BYTE, st.sampled_from((0, DAMPED)), st.integers(1, 10000), st.integers(0, 3000))
def test_integers_follow_the_formula_to_the_nearest_hundredth(
    reading_c: int, level: int, slope: int, damping: int, epsilon_c: int, steps: int
) -> None:
    exact = in_floats(reading_c, level, slope, damping, epsilon_c, steps)
    table_error = abs(slope) * epsilon_c / 128 * 50 / 65536  # the table is rounded down at each of its steps

    assert math.isclose(estimate(reading_c, level, slope, damping, epsilon_c, steps), exact, abs_tol=0.51 + table_error)


@given(st.integers(0, 10**6), st.integers(1, 3600))
def test_steps_are_counted_to_the_nearest_sample(steps: int, period_s: int) -> None:
    late_ms = period_s * 499

    assert steps_between(steps * period_s * 1000 + late_ms, period_s) == steps
    assert steps_between(-late_ms, period_s) == 0


def test_a_forecast_is_evaluated_on_the_clock_of_its_holder() -> None:
    trend = Trend(16, 0, -16, 0, 0)
    forecast = Forecast(2000, 5000, trend, NodeSettings(50, 300, 60, 0, 0, 1), sampled_ms=1000)

    assert forecast.at(1000) == (2050, 4700)
    assert forecast._replace(trend=HOLD).at(10**9) == (2000, 5000)
