"""The learner: what it learns, what it survives, and what a packet carries of it."""

import hashlib
import json
import math
import random
from array import array
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aoii.core import prior
from aoii.core.forecast import HOLD, Trend, estimate_pair
from aoii.core.learner import FEATURES, PACKED, WINDOWS, Learner, fit_course
from aoii.simulation import recordings

Sample = tuple[int, int, int, int | None]


def day(samples: int = 1440) -> Sequence[Sample]:
    (series,) = recordings.parse()
    pairs = zip(series.temperature_c, series.humidity_c, strict=True)
    return [(t, h, 1, 60_000 * minute) for minute, (t, h) in enumerate(pairs)][:samples]


def fed(samples: Sequence[Sample], node: Learner | None = None) -> Learner:
    node = node or Learner(50, 300)
    for sample in samples:
        node.observe(*sample)
    return node


def packets(samples: Sequence[Sample], node: Learner, epsilon_t_c: int = 50, epsilon_h_c: int = 300) -> int:
    """How many packets keep the forecast right."""
    sent, steps, forecast = 0, 0, None
    for t, h, passed, at in samples:
        node.observe(t, h, passed, at)
        steps += passed
        if forecast is not None:
            estimate = estimate_pair(*forecast, epsilon_t_c, epsilon_h_c, steps)
        if forecast is None or abs(t - estimate[0]) >= epsilon_t_c or abs(h - estimate[1]) >= epsilon_h_c:
            forecast, steps, sent = (t, h, node.trend()), 0, sent + 1
            estimate = estimate_pair(*forecast, epsilon_t_c, epsilon_h_c, 0)
            assert abs(t - estimate[0]) < epsilon_t_c
            assert abs(h - estimate[1]) < epsilon_h_c
    return sent


def is_sound(node: Learner) -> bool:
    """Whether every number of its state is finite, and every covariance has a positive diagonal."""
    floats = array(
        "f", node.dump()[-4 * (2 * 17 + 4 + 2 + 10 + 16 * FEATURES + 10 * FEATURES + WINDOWS * PACKED) : -4 * 34]
    )
    diagonal = [row * (row + 3) // 2 for row in range(FEATURES)]
    return all(math.isfinite(number) for number in floats) and all(
        floats[window * PACKED + k] > 0 for window in range(WINDOWS) for k in diagonal
    )


def test_it_needs_far_fewer_packets_than_holding_on_the_shipped_day() -> None:
    assert packets(day(), Learner(50, 300)) <= 0.65 * 131  # send-on-delta needs 131


def test_a_line_is_learned_and_continued() -> None:
    node = fed([(2000 + 5 * k, 4000, 1, None) for k in range(400)])

    trend = node.trend()

    ahead = [estimate_pair(2000 + 5 * 399, 4000, trend, 50, 300, k)[0] - (2000 + 5 * 399) for k in (0, 4, 8)]
    assert abs(ahead[0]) <= 8
    assert 20 <= ahead[1] <= 30  # more than the line itself: the trend is damped, the gain has made up for it
    assert 40 <= ahead[2] <= 60


def test_what_stands_still_is_held() -> None:
    node = fed([(2000, 4000, 1, None)] * 500)

    trend = node.trend()

    assert (trend.slope_t, trend.slope_h) == (0, 0)


def test_where_trends_cost_more_than_holding_it_holds() -> None:
    walk = random.Random(4)
    t, samples = 2000, []
    for _ in range(2500):
        t += walk.choice((-20, 20))
        samples.append((t, 4000, 1, None))
    wrong_way = tuple(tuple(-12 * value for value in row) for row in prior.WEIGHTS)

    sent = packets(samples, Learner(50, 300, wrong_way))

    held = 0
    anchor = 10**6
    for reading, *_ in samples:
        if abs(reading - anchor) >= 50:
            held, anchor = held + 1, reading
    assert sent <= 1.04 * held  # it costs some packets to find out


@pytest.mark.parametrize(
    "disturbance",
    [
        pytest.param([(-760, 5270, 1, None)] * 1200, id="stuck sensor"),
        pytest.param([(8500, 10000, 1, 0), (-4000, 0, 1, 0)] * 200, id="jumps"),
        pytest.param([(-760, 5270, 100_000, 5)], id="gap"),
        pytest.param([(-760, 5270, 3, None), (-700, 5300, 2, None)] * 300, id="never two in a row"),
    ],
)
def test_it_recovers(disturbance: Sequence[Sample]) -> None:
    node = fed(day(700))

    fed(disturbance, node)
    sent = packets(day(), node)

    assert is_sound(node)
    assert sent < 131  # send-on-delta


def test_it_stays_sound_for_as_long_as_it_runs() -> None:
    node = Learner(50, 300)
    noise = random.Random(1)
    t = h = 0.0

    for k in range(4_000):  # long calm, then storms, over and over
        calm = k % 1000 < 750
        t = 0.999 * t + noise.gauss(0, 0.0 if calm else 60)
        h = 0.999 * h + noise.gauss(0, 1.0 if calm else 400)
        node.observe(int(2000 + t), int(5000 + h), 1, k % 1440 * 60_000)

    assert is_sound(node)


def test_a_spoilt_covariance_begins_anew() -> None:
    node = fed(day(100))
    node._covariance[0] = float("nan")
    node._covariance[PACKED + 2] = -1e6

    fed(day(300), node)

    assert is_sound(node)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(-32768, 32767),
            st.integers(0, 32767),
            st.integers(1, 40),
            st.none() | st.integers(0, 86_399_999),
        ),
        min_size=1,
        max_size=60,
    ),
    st.integers(1, 1000),
    st.integers(1, 1000),
)
def test_any_readings_leave_it_sound_and_the_estimate_right_at_the_packet(
    samples: Sequence[Sample], epsilon_t_c: int, epsilon_h_c: int
) -> None:
    node = Learner(epsilon_t_c, epsilon_h_c)

    packets(samples, node, epsilon_t_c, epsilon_h_c)

    assert is_sound(node)


def test_after_a_sleep_it_goes_on_as_if_it_had_been_awake() -> None:
    awake = fed(day(300))
    asleep = fed(day(150))

    woken = Learner(50, 300)
    assert woken.load(asleep.dump())
    fed(day(300)[150:], woken)

    assert woken.dump() == awake.dump()
    assert woken.trend() == awake.trend()


@pytest.mark.parametrize("damage", [b"", b"\x00", b"\x01" * 7034])
def test_what_is_no_dump_changes_nothing(damage: bytes) -> None:
    node = fed(day(50))
    before = node.dump()

    assert not node.load(damage)

    assert node.dump() == before


@pytest.mark.parametrize(
    ("at", "damage"), [(5, b"\xff"), (6, b"\xff"), (100, b"\x00\x00\xc0\x7f"), (6000, b"\xff\xff\x7f\x7f")]
)
def test_a_dump_with_impossible_numbers_changes_nothing(at: int, damage: bytes) -> None:
    node = fed(day(50))
    before = node.dump()
    aligned = at if at < 30 else 30 + (at - 30) // 4 * 4  # after the header come numbers of four bytes

    assert not node.load(before[:aligned] + damage + before[aligned + len(damage) :])

    assert node.dump() == before


def test_a_dump_with_other_thresholds_is_not_loaded() -> None:
    assert not Learner(30, 300).load(fed(day(50)).dump())


def test_other_thresholds_begin_anew() -> None:
    node = fed(day(100))

    node.retune(30, 200)

    assert node.dump() == Learner(30, 200).dump()


def test_the_fitted_course_is_the_least_squares_one() -> None:
    """A course that is itself a damped trend comes back as it is, in 1/16 and 1/128 of the threshold."""
    centres = (1, 2, 3.5, 6.5, 12.5)
    slope = 0.05
    ahead = [0.25 + slope * (1 - 0.98**k) / 0.02 for k in centres]

    level, trend = fit_course(ahead, slope, 1.0, 50)

    assert (level, trend) == (4, round(128 * slope))


@pytest.mark.parametrize("epsilon_c", [*range(1, 40), 300, 65535])
@pytest.mark.parametrize("side", [-1, 1])
def test_a_level_never_reaches_the_threshold(epsilon_c: int, side: int) -> None:
    level, slope = fit_course([100.0 * side] * WINDOWS, 0.0, 1.0, epsilon_c)

    trend = Trend(level, slope, 0, 0, 1)

    assert abs(estimate_pair(0, 0, trend, epsilon_c, 300, 0)[0]) < epsilon_c


def test_a_new_learner_has_a_trend() -> None:
    assert Learner(50, 300).trend() in (HOLD, Trend(0, 0, 0, 0, 1))


def test_the_golden_trace_is_met() -> None:
    """Recorded on this interpreter; `tests/micropython` holds the other one to it. Changed only with the learner."""
    case = json.loads((Path(__file__).parent.parent / "vectors" / "learner.json").read_text(encoding="utf-8"))
    node = Learner(*case["epsilon_c"])
    trends = []

    for sample in case["samples"]:
        node.observe(*sample)
        trends.append(list(node.trend()))

    assert trends == case["trends"]
    assert hashlib.sha256(node.dump()).hexdigest() == case["state"]
