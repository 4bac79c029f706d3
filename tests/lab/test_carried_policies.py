"""The carried policies; that `trend` is what the node runs: the real node, link and frames against the replay."""

from aoii.core import frames, trigger
from aoii.core.forecast import Forecast, Trend
from aoii.core.frames import Ack, NodeSettings, Uplink
from aoii.core.learner import Learner
from aoii.core.store import RamStore
from aoii.edge.node import Node
from aoii.lab.carried_policies import DbpNode, LineEstimator
from aoii.lab.channel import lossless
from aoii.lab.policies import BY_NAME
from aoii.lab.policy import Packet, PolicySetup
from aoii.lab.replay import Options, replay
from aoii.simulation.recordings import Series
from series import shipped

KEY = bytes(16)
SETTINGS = NodeSettings(50, 300, 60, 0, 0, 1)
SETUP = PolicySetup((50, 300))


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
            ack = Ack(7, 1, uplink.frame, 1_451_606_400 + 60 * minute, 0, 1, wanted)
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
    node = DbpNode(SETUP)
    for k in range(30):
        node.observe((2000 + 12 * k, 5000 - 5 * k), 1, 0)

    assert node.packet().slope == (12.0, -5.0)


def test_a_line_has_no_end() -> None:
    estimator = LineEstimator(SETUP)
    estimator.receive(Packet((2000, 5000), slope=(0.5, -2.0)))

    assert estimator.advance(1000, 0) == (2500, 3000)
