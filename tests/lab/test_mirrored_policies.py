"""The mirrored policies: their filters against their own equations, and the older MLP as it was."""

import pytest

from aoii.core.errors import InputError
from aoii.lab.channel import SimulatedChannel
from aoii.lab.mirrored_policies import KalmanEstimator, NlmsEstimator
from aoii.lab.mlp_weights import parse_mlp
from aoii.lab.policies import BY_NAME
from aoii.lab.policy import Packet, PolicySetup
from aoii.lab.replay import Options, replay
from aoii.settings.channel import ChannelModel
from series import shipped

SETUP = PolicySetup((50, 300), 600, 60, mlp=parse_mlp())


def test_the_kalman_filter_converges_to_where_its_equations_say() -> None:
    """With a packet at every sample the variance of the value converges to the root of the Riccati equation."""
    estimator = KalmanEstimator(SETUP)
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
    estimator = BY_NAME["mlp"].estimator(SETUP)
    node = BY_NAME["mlp"].node(SETUP)
    errors = []
    for _ in range(300):
        estimate = estimator.advance(1, 0)
        node.observe((2200, 3000), 1, 0)
        estimator.receive(node.packet())
        errors.append(abs(estimate[0] - 2200) if estimate else 10**6)

    assert errors[-1] < 10


def test_the_perceptron_needs_weights() -> None:
    with pytest.raises(InputError, match="pretrain --model mlp"):
        BY_NAME["mlp"].estimator(PolicySetup((50, 300)))


def test_the_adaptive_filter_learns_the_sign_of_a_slope() -> None:
    estimator = NlmsEstimator(SETUP)
    for step in range(60):
        estimator.advance(1, 0)
        estimator.receive(Packet((2000 + 10 * step, 5000 - 20 * step)))

    t, h = estimator.advance(1, 0) or (0, 0)

    assert 2590 < t <= 2610
    assert 3800 <= h < 3820


def test_the_perceptron_sends_once_and_its_two_ends_part_for_good() -> None:
    options = Options(mlp=parse_mlp())

    outcome = replay(shipped(), BY_NAME["mlp"], options, SimulatedChannel(ChannelModel(0.02, 0.02), "1"))

    assert outcome.retries == 0
    assert outcome.meter.wrong > 0.02 * len(outcome.sent)  # the two models have parted for good
