"""One suite over every policy: the rules that all of them keep, so that they can be compared."""

import math
import random
from dataclasses import replace

import pytest

from aoii.lab import POLICY_NAMES
from aoii.lab.channel import SimulatedChannel, lossless
from aoii.lab.mlp_weights import parse_mlp
from aoii.lab.policies import BY_NAME, POLICIES
from aoii.lab.policy import Pair, Policy, PolicySetup
from aoii.lab.replay import Options, replay
from aoii.settings.channel import ChannelModel
from series import made, shipped

MLP = parse_mlp()
SETUP = PolicySetup((50, 300), 600, 60, mlp=MLP)
OPTIONS = Options(mlp=MLP)
LOSSLESS = lossless()

every_policy = pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
every_sender_on_violation = pytest.mark.parametrize(
    "policy", [policy for policy in POLICIES if policy.clock is None], ids=lambda policy: policy.name
)


def test_the_command_line_lists_the_policies_that_exist() -> None:
    assert tuple(policy.name for policy in POLICIES) == POLICY_NAMES


@every_sender_on_violation
def test_without_loss_the_estimate_is_never_wrong(policy: Policy) -> None:
    day = shipped(600)

    outcome = replay(day, policy, OPTIONS, LOSSLESS)

    assert outcome.meter.wrong == 0
    for reading, estimate in zip(zip(day.temperature_c, day.humidity_c, strict=True), outcome.estimates, strict=True):
        assert estimate is not None
        assert abs(reading[0] - estimate[0]) < 50
        assert abs(reading[1] - estimate[1]) < 300


@every_policy
def test_the_same_replay_gives_the_same_outcome(policy: Policy) -> None:
    first, second = (
        replay(shipped(300), policy, OPTIONS, SimulatedChannel(ChannelModel(0.2, 0.2), "x"), 30) for _ in range(2)
    )

    assert first.estimates == second.estimates
    assert (first.packets, first.retries, first.acks) == (second.packets, second.retries, second.acks)


@every_policy
def test_two_estimators_with_the_same_packets_agree_and_a_copy_is_independent(policy: Policy) -> None:
    node, one, other = policy.node(SETUP), policy.estimator(SETUP), policy.estimator(SETUP)
    generator = random.Random(3)
    reading = (2000, 5000)

    for step in range(200):
        reading = (reading[0] + generator.randint(-30, 30), reading[1] + generator.randint(-90, 90))
        node.observe(reading, 1, step * 60_000)
        assert one.advance(1, step * 60_000) == other.advance(1, step * 60_000)
        if step % 7 == 0:
            assert one.receive(node.packet()) == other.receive(node.packet())
    copied = one.copy()
    for step in range(3):
        copied.advance(1, step)
        copied.receive(node.packet()._replace(reading=(9000, 100)))

    assert one.advance(1, 0) == other.advance(1, 0)
    assert copied.advance(1, 0) != one.advance(1, 0)


@every_policy
def test_an_estimator_has_no_estimate_before_its_first_packet_and_a_right_one_after_it(policy: Policy) -> None:
    node, estimator = policy.node(SETUP), policy.estimator(SETUP)

    before = estimator.advance(1, 0)
    node.observe((2000, 5000), 1, 0)
    after = estimator.receive(node.packet())

    assert before is None
    assert abs(after[0] - 2000) < 50
    assert abs(after[1] - 5000) < 300


@every_policy
@pytest.mark.parametrize("readings", [[(2000, 5000)] * 400, [(8500, 10000), (-4000, 0)] * 200], ids=["still", "wild"])
def test_extremes_keep_estimates_whole_and_finite(policy: Policy, readings: list[Pair]) -> None:
    outcome = replay(made(readings), policy, OPTIONS, LOSSLESS, 10)

    assert all(isinstance(value, int) and math.isfinite(value) for pair in outcome.estimates if pair for value in pair)


@every_policy
def test_gaps_short_and_long_are_survived(policy: Policy) -> None:
    day = shipped(200)
    slots = [slot + 5 * (slot >= 50) + 2000 * (slot >= 120) for slot in day.slots]

    outcome = replay(replace(day, slots=tuple(slots)), policy, OPTIONS, LOSSLESS, 20)

    assert len(outcome.sent) == len(outcome.estimates) == 200
    assert outcome.sent[0]
    assert outcome.sent[120]


@pytest.mark.parametrize("name", ["send_on_delta", "damped", "nlms", "kalman", "trend"])
def test_a_constant_reading_needs_one_packet(name: str) -> None:
    policy = BY_NAME[name]

    assert replay(made([(2000, 5000)] * 500), policy, OPTIONS, LOSSLESS).packets == 1


@pytest.mark.parametrize("name", ["dbp", "nlms", "kalman", "trend"])
def test_a_line_needs_fewer_packets_than_holding(name: str) -> None:
    policy = BY_NAME[name]
    line = made([(2000 + 7 * k, 5000 - 3 * k) for k in range(900)])
    hold = BY_NAME["send_on_delta"]

    assert replay(line, policy, OPTIONS, LOSSLESS).packets < 0.8 * replay(line, hold, OPTIONS, LOSSLESS).packets


def test_periodic_sends_always_and_its_equal_as_often_as_it_may_and_evenly() -> None:
    periodic, equal = POLICIES[:2]

    always, evenly = (replay(shipped(600), policy, OPTIONS, LOSSLESS, 60) for policy in (periodic, equal))

    at = [i for i, sent in enumerate(evenly.sent) if sent]
    assert always.packets == 600
    assert at == list(range(0, 600, 10))
