"""The policies: the rules that all of them keep, their equations, and that `trend` is what the node runs."""

import math
import random
from dataclasses import replace

import pytest

from aoii.core import frames, trigger
from aoii.core.errors import InputError
from aoii.core.forecast import Forecast, Trend
from aoii.core.frames import Ack, NodeSettings, Uplink
from aoii.core.learner import Learner
from aoii.core.store import RamStore
from aoii.edge.node import Node
from aoii.lab import POLICY_NAMES
from aoii.lab.channel import SimulatedChannel, lossless
from aoii.lab.mlp_weights import parse_mlp
from aoii.lab.policies import BY_NAME, POLICIES, DbpNode, KalmanEstimator, LineEstimator, NlmsEstimator
from aoii.lab.policy import Options, Packet, Pair, Policy
from aoii.lab.replay import replay
from aoii.settings.channel import ChannelModel
from aoii.simulation.recordings import Series
from series import made, shipped

MLP = parse_mlp()
OPTIONS = Options(mlp=MLP)
LOSSLESS = lossless()

KEY = bytes(16)
SETTINGS = NodeSettings(50, 300, 60, 0, 0, 1)

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
    node, one, other = policy.node(OPTIONS), policy.estimator(OPTIONS), policy.estimator(OPTIONS)
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
    node, estimator = policy.node(OPTIONS), policy.estimator(OPTIONS)

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


def test_the_kalman_filter_converges_to_where_its_equations_say() -> None:
    """With a packet at every sample the variance of the value converges to the root of the Riccati equation."""
    estimator = KalmanEstimator(OPTIONS)
    for _ in range(2000):
        estimator.advance(1, 0)
        estimator.receive(Packet((2000, 5000)))

    vv, vt, tt = estimator._spread[0]
    (q, r) = estimator._noise[0]
    pv, pt, pq = vv + 2 * vt + tt, vt + tt, tt + q  # one step ahead

    assert pv - pv * pv / (pv + r) == pytest.approx(vv)
    assert pt - pv * pt / (pv + r) == pytest.approx(vt)
    assert pq - pt * pt / (pv + r) == pytest.approx(tt)


def test_the_perceptron_steps_down_its_error() -> None:
    estimator = BY_NAME["mlp"].estimator(OPTIONS)
    node = BY_NAME["mlp"].node(OPTIONS)
    errors = []
    for _ in range(300):
        estimate = estimator.advance(1, 0)
        node.observe((2200, 3000), 1, 0)
        estimator.receive(node.packet())
        errors.append(abs(estimate[0] - 2200) if estimate else 10**6)

    assert errors[-1] < 10


def test_the_perceptron_needs_weights() -> None:
    with pytest.raises(InputError, match="pretrain --model mlp"):
        BY_NAME["mlp"].estimator(Options())


def test_the_adaptive_filter_learns_the_sign_of_a_slope() -> None:
    estimator = NlmsEstimator(OPTIONS)
    for step in range(60):
        estimator.advance(1, 0)
        estimator.receive(Packet((2000 + 10 * step, 5000 - 20 * step)))

    t, h = estimator.advance(1, 0) or (0, 0)

    assert 2590 < t <= 2610
    assert 3800 <= h < 3820


def test_the_perceptron_sends_once_and_its_two_ends_part_for_good() -> None:
    outcome = replay(shipped(), BY_NAME["mlp"], OPTIONS, SimulatedChannel(ChannelModel(0.02, 0.02), "1"))

    assert outcome.retries == 0
    assert outcome.meter.wrong > 0.02 * len(outcome.sent)  # the two models have parted for good


class Clocked(Learner):
    """A learner that knows the time from the first sample on, as the lab's does; a node learns it from a reply."""

    def __init__(self, start_ms: int) -> None:
        self._clock_ms = start_ms
        super().__init__(SETTINGS.beta_t_c, SETTINGS.beta_h_c)

    def observe(self, temperature_c: int, humidity_c: int, steps: int, day_ms: int | None) -> None:
        super().observe(temperature_c, humidity_c, steps, self._clock_ms)
        self._clock_ms = (self._clock_ms + 60_000 * steps) % 86_400_000


def run_node(series: Series) -> tuple[list[bool], list[tuple[int, int]]]:
    """A node on a perfect radio: at which samples it sent, and the gateway's estimate after each."""
    node = Node(7, 1, KEY, SETTINGS, Clocked(0), RamStore(), lambda: 0.5, limits=trigger.Limits(-9000, 9000, 0, 20000))
    sent, estimates = [], []
    forecast: Forecast | None = None
    for minute, (t, h) in enumerate(zip(series.temperature_c, series.humidity_c, strict=True)):
        now_ms = 60_000 * minute
        sends = node.sample(now_ms, t / 100, h / 100)
        sent.append(bool(sends))
        for send in sends:
            uplink = frames.decode_uplink(send.data, lambda node: KEY)
            assert isinstance(uplink, Uplink)
            forecast = Forecast(uplink.temperature_c, uplink.humidity_c, uplink.trend, SETTINGS, now_ms)
            wanted = None if uplink.generation else SETTINGS
            ack = Ack(7, 1, uplink.frame, 1_451_606_400 + 60 * minute, 0, 1, wanted, 0)
            node.receive(frames.encode_ack(ack, KEY), now_ms)
        assert forecast is not None
        estimates.append(forecast.at(now_ms))
    return sent, estimates


def test_the_node_sends_what_the_lab_says_and_the_gateway_estimates_the_same() -> None:
    day = shipped()
    outcome = replay(day, BY_NAME["trend"], Options(), lossless())
    sent, estimates = run_node(day)

    assert sent == outcome.sent
    assert estimates == outcome.estimates


def test_every_trend_of_the_day_fits_into_a_frame() -> None:
    day = shipped()
    learner = Learner(50, 300)

    for minute, (t, h) in enumerate(zip(day.temperature_c, day.humidity_c, strict=True)):
        learner.observe(t, h, 1, 60_000 * minute)
        trend = learner.trend()

        assert isinstance(trend, Trend)
        assert all(-128 <= value <= 127 for value in trend)


def test_send_on_delta_is_what_its_name_says() -> None:
    day = shipped()
    sod = BY_NAME["send_on_delta"]
    last, expected = (10**6, 10**6), []
    for reading in zip(day.temperature_c, day.humidity_c, strict=True):
        expected.append(abs(reading[0] - last[0]) >= 50 or abs(reading[1] - last[1]) >= 300)
        last = reading if expected[-1] else last

    assert replay(day, sod, Options(), lossless()).sent == expected


def test_the_derivative_goes_through_the_means_of_the_edges() -> None:
    node = DbpNode(OPTIONS)
    for k in range(30):
        node.observe((2000 + 12 * k, 5000 - 5 * k), 1, 0)

    assert node.packet().slope == (12.0, -5.0)


def test_a_line_has_no_end() -> None:
    estimator = LineEstimator(OPTIONS)
    estimator.receive(Packet((2000, 5000), slope=(0.5, -2.0)))

    assert estimator.advance(1000, 0) == (2500, 3000)
