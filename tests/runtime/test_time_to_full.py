"""Time to full: right for what grows steadily, silent about one burst, and never before it has watched for a span."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aoii.runtime.time_to_full import SAMPLES, Growth, file_room, outbox_room, reach_s, time_to_full_s

SPAN_S = 600.0
STEP_S = SPAN_S / SAMPLES
amounts = st.floats(0, 1e12)
rates = st.floats(1e-3, 1e9)


def watched(*sizes: float, span_s: float = SPAN_S, step_s: float = STEP_S, start_s: float = 0.0) -> Growth:
    """A growth with a size at each step."""
    growth = Growth(span_s)
    for place, size in enumerate(sizes):
        growth.record(start_s + place * step_s, size)
    return growth


@given(
    rate=rates,
    before=amounts,
    start_s=st.floats(0, 1e7),
    steps=st.lists(st.floats(0.5, 60), min_size=1, max_size=300),
)
def test_what_grows_steadily_has_its_own_rate_however_it_is_sampled_and_none_before_a_span_has_passed(
    rate: float, before: float, start_s: float, steps: list[float]
) -> None:
    growth, passed_s = Growth(SPAN_S), 0.0
    growth.record(start_s, before)

    for step_s in steps:
        passed_s += step_s
        growth.record(start_s + passed_s, before + rate * passed_s)

    found = growth.steady_rate()
    if passed_s < SPAN_S - 1:
        assert found is None
    elif passed_s > SPAN_S + 60:
        assert found == pytest.approx(rate, rel=0.01, abs=before * 1e-12)


@given(burst=amounts, at=st.integers(1, 3 * SAMPLES), length=st.integers(3 * SAMPLES, 4 * SAMPLES))
def test_one_burst_at_any_instant_never_becomes_a_rate(burst: float, at: int, length: int) -> None:
    growth = Growth(SPAN_S)
    found = set()

    for step in range(length):
        growth.record(step * STEP_S, burst if step >= at else 0.0)
        found.add(growth.steady_rate())

    assert found == {None, 0.0}


@given(sizes=st.lists(amounts, min_size=SAMPLES + 1, max_size=3 * SAMPLES))
def test_a_rate_is_no_faster_than_the_growth_of_the_whole_span_and_never_negative(sizes: list[float]) -> None:
    rate = watched(*sizes).steady_rate()

    assert rate is not None
    assert rate >= 0
    assert rate * SPAN_S <= max(0.0, sizes[-1] - sizes[-1 - SAMPLES]) * (1 + 1e-9)


@given(sizes=st.lists(amounts, min_size=SAMPLES + 1, max_size=2 * SAMPLES))
def test_what_shrinks_or_stays_has_infinite_time(sizes: list[float]) -> None:
    rate = watched(*sorted(sizes, reverse=True)).steady_rate()

    assert time_to_full_s(1.0, rate) == math.inf


def test_growth_that_goes_on_is_seen_after_half_a_span_and_exactly_after_a_whole_one() -> None:
    growth, rate, seen = Growth(SPAN_S), 100.0, {}
    for step in range(3 * SAMPLES + 1):
        grown_s = max(0, step - SAMPLES) * STEP_S
        growth.record(step * STEP_S, rate * grown_s)
        seen[grown_s] = growth.steady_rate()

    assert seen[SPAN_S / 2] == 0
    assert seen[SPAN_S * 3 / 4] == pytest.approx(rate / 2)
    assert seen[SPAN_S] == pytest.approx(rate)


def test_growth_is_forgotten_when_it_has_stopped_for_half_a_span() -> None:
    rising = [100.0 * step for step in range(2 * SAMPLES)]

    assert watched(*rising, *rising[-1:] * (SAMPLES // 2)).steady_rate() == 0


def test_a_station_that_was_frozen_for_a_span_says_nothing_until_it_has_watched_again() -> None:
    growth = watched(*range(2 * SAMPLES))
    growth.record(10 * SPAN_S, 5e9)

    assert growth.steady_rate() is None


def test_a_growth_holds_no_more_than_its_samples() -> None:
    growth = watched(*range(10_000), step_s=1.0)

    assert len(growth._samples) <= SAMPLES + 2


@given(room=st.floats(1e-3, 1e15), rate=rates, elapsed=st.floats(0, 0.99))
def test_a_buffer_that_goes_on_is_full_when_it_was_said_and_half_the_room_takes_half_the_time(
    room: float, rate: float, elapsed: float
) -> None:
    seconds = time_to_full_s(room, rate)

    assert seconds is not None
    assert seconds * rate == pytest.approx(room)
    assert time_to_full_s(room / 2, rate) == pytest.approx(seconds / 2)
    assert time_to_full_s(room - rate * elapsed * seconds, rate) == pytest.approx((1 - elapsed) * seconds, rel=1e-6)


def test_not_known_not_growing_and_full_are_three_answers() -> None:
    assert time_to_full_s(1, None) is None
    assert time_to_full_s(1, 0.0) == math.inf
    assert [time_to_full_s(0, rate) for rate in (None, 0.0, 5.0)] == [0, 0, 0]


@given(limit=amounts, used=amounts, spare=amounts, disk=amounts, kept=amounts)
def test_an_outbox_has_no_more_room_than_its_limit_and_its_disk_with_what_the_kept_readings_give_up(
    limit: float, used: float, spare: float, disk: float, kept: float
) -> None:
    room = outbox_room(limit, used, spare, disk, kept)

    assert 0 <= room <= spare + disk + kept
    assert room <= max(0.0, limit - used)
    assert room in (file_room(limit, used), spare + disk + kept)


@given(
    limit=st.floats(1e6, 1e11),
    size=st.floats(200, 2000),
    readings=st.integers(1000, 10**7),
    rate=st.floats(1e-4, 1e3),
)
def test_kept_readings_reach_as_far_back_as_it_takes_to_fill_their_room(
    limit: float, size: float, readings: int, rate: float
) -> None:
    assume(size * readings <= limit)

    found = reach_s(limit, size * readings, readings, rate)

    assert found is not None
    assert found * rate * size == pytest.approx(limit)


def test_a_few_kept_readings_say_nothing_and_without_new_ones_all_stay() -> None:
    assert reach_s(1e9, 65_536, 12, 0.1) is None
    assert reach_s(1e9, 4e8, 10**6, None) is None
    assert reach_s(1e9, 4e8, 10**6, 0.0) == math.inf


def test_a_mean_rate_spans_bursts_and_says_nothing_before_it_may_or_when_counting_has_begun_anew() -> None:
    counts = [*range(SAMPLES // 2), *[500] * (SAMPLES // 2)]

    assert watched(*counts).mean_rate(SPAN_S / 2) == pytest.approx(500 / ((SAMPLES - 1) * STEP_S))
    assert watched(*counts[:10]).mean_rate(SPAN_S / 2) is None
    assert watched(*[500] * SAMPLES, 3).mean_rate(SPAN_S / 2) is None
