"""One conformance suite over every policy: what any of them owes to the comparison."""

import math
import random
from dataclasses import replace

import pytest

from aoii.core.errors import InputError
from aoii.lab import POLICY_NAMES, losses, pretrain
from aoii.lab.policies import POLICIES, Content, Derivative, Kalman, Pair, Policy, World
from aoii.lab.replay import Options, replay
from aoii.simulation import recordings
from aoii.simulation.recordings import Series

MLP = pretrain.load_mlp()
WORLD = World((50, 300), 600, 60, mlp=MLP)
OPTIONS = Options(mlp=MLP)
QUIET = losses.Random(0.0, 0.0, "")

every_policy = pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
every_sender_on_violation = pytest.mark.parametrize(
    "policy", [policy for policy in POLICIES if policy.clock is None], ids=lambda policy: policy.name
)


def shipped(samples: int = 600) -> Series:
    (day,) = recordings.parse()
    return replace(
        day,
        slots=day.slots[:samples],
        timestamps=day.timestamps[:samples],
        temperature_c=day.temperature_c[:samples],
        humidity_c=day.humidity_c[:samples],
    )


def made(readings: list[Pair], slots: list[int] | None = None) -> Series:
    return Series(
        node="made",
        start_unix_s=0.0,
        interval_s=60.0,
        slots=tuple(slots or range(len(readings))),
        timestamps=tuple(str(i) for i in range(len(readings))),
        temperature_c=tuple(t for t, _ in readings),
        humidity_c=tuple(h for _, h in readings),
    )


def test_the_command_line_lists_the_policies_that_exist() -> None:
    assert tuple(policy.name for policy in POLICIES) == POLICY_NAMES


@every_sender_on_violation
def test_without_loss_the_forecast_is_never_wrong(policy: Policy) -> None:
    outcome = replay(shipped(), policy, OPTIONS, QUIET)

    assert outcome.meter.wrong == 0
    assert outcome.max_error[0] < 50
    assert outcome.max_error[1] < 300


@every_policy
def test_the_same_replay_gives_the_same_outcome(policy: Policy) -> None:
    first, second = (replay(shipped(300), policy, OPTIONS, losses.Random(0.2, 0.2, "x"), 30) for _ in range(2))

    assert first.estimates == second.estimates
    assert (first.packets, first.retries, first.acks) == (second.packets, second.retries, second.acks)


@every_policy
def test_two_forecasts_with_the_same_packets_agree_and_a_copy_goes_its_own_way(policy: Policy) -> None:
    node, one, other = policy.node(WORLD), policy.forecast(WORLD), policy.forecast(WORLD)
    chance = random.Random(3)
    reading = (2000, 5000)

    for step in range(200):
        reading = (reading[0] + chance.randint(-30, 30), reading[1] + chance.randint(-90, 90))
        node.observe(reading, 1, step * 60_000)
        assert one.advance(1, step * 60_000) == other.advance(1, step * 60_000)
        if step % 7 == 0:
            assert one.receive(node.content()) == other.receive(node.content())
    copied = one.copy()
    for step in range(3):
        copied.advance(1, step)
        copied.receive(node.content()._replace(reading=(9000, 100)))

    assert one.advance(1, 0) == other.advance(1, 0)
    assert copied.advance(1, 0) != one.advance(1, 0)


@every_policy
def test_a_forecast_is_empty_until_it_hears_and_right_when_it_does(policy: Policy) -> None:
    node, forecast = policy.node(WORLD), policy.forecast(WORLD)

    before = forecast.advance(1, 0)
    node.observe((2000, 5000), 1, 0)
    after = forecast.receive(node.content())

    assert before is None
    assert abs(after[0] - 2000) < 50
    assert abs(after[1] - 5000) < 300


@every_policy
@pytest.mark.parametrize("readings", [[(2000, 5000)] * 400, [(8500, 10000), (-4000, 0)] * 200], ids=["still", "wild"])
def test_extremes_keep_estimates_whole_and_finite(policy: Policy, readings: list[Pair]) -> None:
    outcome = replay(made(readings), policy, OPTIONS, QUIET, 10)

    assert all(isinstance(value, int) and math.isfinite(value) for pair in outcome.estimates if pair for value in pair)


@every_policy
def test_gaps_short_and_long_do_no_harm(policy: Policy) -> None:
    day = shipped(200)
    slots = [slot + 5 * (slot >= 50) + 2000 * (slot >= 120) for slot in day.slots]

    outcome = replay(replace(day, slots=tuple(slots)), policy, OPTIONS, QUIET, 20)

    assert len(outcome.sent) == len(outcome.estimates) == 200
    assert outcome.sent[0]
    assert outcome.sent[120]


@pytest.mark.parametrize("name", ["send_on_delta", "damped", "nlms", "kalman", "trend"])
def test_what_stands_still_needs_one_packet(name: str) -> None:
    policy = next(policy for policy in POLICIES if policy.name == name)

    assert replay(made([(2000, 5000)] * 500), policy, OPTIONS, QUIET).packets == 1


@pytest.mark.parametrize("name", ["dbp", "nlms", "kalman", "trend"])
def test_a_line_needs_fewer_packets_than_holding(name: str) -> None:
    policy = next(policy for policy in POLICIES if policy.name == name)
    line = made([(2000 + 7 * k, 5000 - 3 * k) for k in range(900)])
    hold = next(policy for policy in POLICIES if policy.name == "send_on_delta")

    assert replay(line, policy, OPTIONS, QUIET).packets < 0.8 * replay(line, hold, OPTIONS, QUIET).packets


def test_send_on_delta_is_what_its_name_says() -> None:
    day = shipped(1440)
    sod = next(policy for policy in POLICIES if policy.name == "send_on_delta")
    last, expected = (10**6, 10**6), []
    for reading in zip(day.temperature_c, day.humidity_c, strict=True):
        expected.append(abs(reading[0] - last[0]) >= 50 or abs(reading[1] - last[1]) >= 300)
        last = reading if expected[-1] else last

    assert replay(day, sod, OPTIONS, QUIET).sent == expected


def test_periodic_sends_always_and_its_equal_as_often_as_it_may_and_evenly() -> None:
    periodic, equal = POLICIES[:2]

    always, evenly = (replay(shipped(), policy, OPTIONS, QUIET, 60) for policy in (periodic, equal))

    at = [i for i, sent in enumerate(evenly.sent) if sent]
    assert always.packets == 600
    assert at == list(range(0, 600, 10))


def test_the_derivative_goes_through_the_means_of_the_edges() -> None:
    node = Derivative(WORLD)
    for k in range(30):
        node.observe((2000 + 12 * k, 5000 - 5 * k), 1, 0)

    assert node.content().slope == (12.0, -5.0)


def test_the_kalman_filter_settles_where_its_equations_say() -> None:
    """With a packet at every sample the variance of the value converges to the root of the Riccati equation."""
    forecast = Kalman(WORLD)
    for _ in range(2000):
        forecast.advance(1, 0)
        forecast.receive(Content((2000, 5000)))

    vv, vt, tt = forecast._spread[0]
    (q, r) = forecast._noise[0]
    pv, pt, pq = vv + 2 * vt + tt, vt + tt, tt + q  # one step ahead

    assert pv - pv * pv / (pv + r) == pytest.approx(vv)
    assert pt - pv * pt / (pv + r) == pytest.approx(vt)
    assert pq - pt * pt / (pv + r) == pytest.approx(tt)


def test_the_perceptron_steps_down_its_error() -> None:
    forecast = next(policy for policy in POLICIES if policy.name == "mlp").forecast(WORLD)
    node = next(policy for policy in POLICIES if policy.name == "mlp").node(WORLD)
    errors = []
    for _ in range(300):
        believed = forecast.advance(1, 0)
        node.observe((2200, 3000), 1, 0)
        forecast.receive(node.content())
        errors.append(abs(believed[0] - 2200) if believed else 10**6)

    assert errors[-1] < 10


def test_the_perceptron_needs_weights() -> None:
    with pytest.raises(InputError, match="pretrain --model mlp"):
        next(policy for policy in POLICIES if policy.name == "mlp").forecast(World((50, 300)))
