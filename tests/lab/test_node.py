"""That `trend` is what the node runs: the real node, its link and its frames, against the replay of the lab."""

from aoii.core import frames, trigger
from aoii.core.forecast import Forecast, Trend
from aoii.core.frames import Ack, NodeSettings, Uplink
from aoii.core.learner import Learner
from aoii.core.store import RamStore
from aoii.edge.node import Node
from aoii.lab import losses
from aoii.lab.policies import POLICIES
from aoii.lab.replay import Options, replay
from aoii.simulation import recordings
from aoii.simulation.recordings import Series

KEY = bytes(16)
SETTINGS = NodeSettings(50, 300, 60, 0, 0, 1)


class Clocked(Learner):
    """A learner that knows the time from the first sample on, as the lab's does; a node must hear it first."""

    def __init__(self, start_ms: int) -> None:
        self._clock_ms = start_ms
        super().__init__(SETTINGS.beta_t_c, SETTINGS.beta_h_c)

    def observe(self, temperature_c: int, humidity_c: int, steps: int, day_ms: int | None) -> None:
        super().observe(temperature_c, humidity_c, steps, self._clock_ms)
        self._clock_ms = (self._clock_ms + 60_000 * steps) % 86_400_000


def live(series: Series) -> tuple[list[bool], list[tuple[int, int]]]:
    """A node on a perfect radio: at which samples it spoke, and what a gateway believed after each."""
    node = Node(7, 1, KEY, SETTINGS, Clocked(0), RamStore(), lambda: 0.5, limits=trigger.Limits(-9000, 9000, 0, 20000))
    spoke, believed = [], []
    forecast: Forecast | None = None
    for minute, (t, h) in enumerate(zip(series.temperature_c, series.humidity_c, strict=True)):
        now_ms = 60_000 * minute
        sends = node.sample(now_ms, t / 100, h / 100)
        spoke.append(bool(sends))
        for send in sends:
            uplink = frames.decode_uplink(send.data, lambda node: KEY)
            assert isinstance(uplink, Uplink)
            forecast = Forecast(uplink.temperature_c, uplink.humidity_c, uplink.trend, SETTINGS, now_ms)
            told = None if uplink.generation else SETTINGS
            ack = Ack(7, 1, uplink.frame, 1_451_606_400 + 60 * minute, 0, 1, told)
            node.receive(frames.encode_ack(ack, KEY), now_ms)
        assert forecast is not None
        believed.append(forecast.at(now_ms))
    return spoke, believed


def test_the_node_sends_what_the_lab_says_and_the_gateway_believes_it() -> None:
    (day,) = recordings.parse()
    trend = next(policy for policy in POLICIES if policy.name == "trend")

    outcome = replay(day, trend, Options(), losses.Random(0.0, 0.0, ""))
    spoke, believed = live(day)

    assert spoke == outcome.sent
    assert believed == outcome.estimates


def test_every_trend_of_the_day_fits_into_a_frame() -> None:
    (day,) = recordings.parse()
    learner = Learner(50, 300)

    for minute, (t, h) in enumerate(zip(day.temperature_c, day.humidity_c, strict=True)):
        learner.observe(t, h, 1, 60_000 * minute)
        trend = learner.trend()

        assert isinstance(trend, Trend)
        assert all(-128 <= value <= 127 for value in trend)
