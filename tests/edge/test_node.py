"""The node: what it sends when, and that both ends agree whatever the radio does."""

import heapq
import math
import random
from collections.abc import Callable
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aoii.core import frames, trigger
from aoii.core.forecast import HOLD, Forecast, NodeSettings, Trend
from aoii.core.frames import Uplink
from aoii.core.link import Send
from aoii.core.link_timing import TIMING
from aoii.core.store import RamStore
from aoii.edge.node import FAULT_SAMPLES, Node
from edge.predictors import Hold
from gateway_twin import UNIX_S, GatewayTwin

KEY = bytes(range(16))
SETTINGS = NodeSettings(beta_t_c=50, beta_h_c=300, period_s=60, heartbeat_s=0, heartbeat_min_s=0, tau=1)
PERIOD_MS = 60_000


class Wobble:
    """A predictor whose trends are easily told apart."""

    def __init__(self) -> None:
        self.observed: list[tuple[int, int, int, int | None]] = []
        self.errors: list[tuple[int, int]] = []
        self.thresholds: tuple[int, int] | None = None

    def observe(self, temperature_c: int, humidity_c: int, steps: int, day_ms: int | None) -> None:
        self.observed.append((temperature_c, humidity_c, steps, day_ms))

    def trend(self, error_t_c: int, error_h_c: int) -> Trend:
        self.errors.append((error_t_c, error_h_c))
        n = len(self.errors)
        return Trend(n % 5 - 2, n * 7 % 41 - 20, n % 3 - 1, n * 11 % 41 - 20, n % 2)

    def retune(self, epsilon_t_c: int, epsilon_h_c: int) -> None:
        self.thresholds = (epsilon_t_c, epsilon_h_c)


def make(node_settings: NodeSettings = SETTINGS, predictor: Wobble | Hold | None = None) -> tuple[Node, GatewayTwin]:
    node = Node(7, 1, KEY, node_settings, predictor or Hold(), RamStore(), random.Random(1).random)
    return node, GatewayTwin(KEY, node_settings)


def read(sends: list[Send]) -> Uplink:
    assert len(sends) == 1
    uplink = frames.decode_uplink(sends[0].data, lambda node: KEY)
    assert isinstance(uplink, Uplink)
    return uplink


def deliver(node: Node, gateway: GatewayTwin, sends: list[Send], now_ms: int) -> None:
    """A perfect radio."""
    for send in sends:
        ack = gateway.accept(send.data, now_ms + 300)
        assert ack is not None
        deliver(node, gateway, node.receive(ack, now_ms + 600), now_ms + 600)


def acknowledged_node(
    node_settings: NodeSettings = SETTINGS, predictor: Wobble | Hold | None = None
) -> tuple[Node, GatewayTwin]:
    """A node whose first sample, 20 °C and 50 %RH at 0, the gateway has acknowledged."""
    node, gateway = make(node_settings, predictor)
    deliver(node, gateway, node.sample(0, 20.0, 50.0), 0)
    return node, gateway


def status(node: Node) -> str:
    assert node.sampled is not None
    return node.sampled.status


def test_the_first_contact_is_an_event_without_a_previous_forecast() -> None:
    node, _ = make()

    sends = node.sample(0, 20.0, 50.0)

    uplink = read(sends)
    assert (sends[0].kind, uplink.kind, uplink.trend, uplink.age_s) == ("event", "event", HOLD, 0)
    assert node.sampled == (2000, 5000, 2000, 5000, 0, 0, trigger.EVENT)
    assert node.forecast is None


def test_a_reading_inside_both_thresholds_is_skipped() -> None:
    node, _ = acknowledged_node()

    assert node.sample(PERIOD_MS, 20.49, 47.01) == []
    assert node.sampled == (2049, 4701, 2000, 5000, 49, -299, trigger.SKIP)


@pytest.mark.parametrize(("temperature", "humidity"), [(20.5, 50.0), (19.5, 50.0), (20.0, 53.0), (20.0, 47.0)])
def test_a_reading_at_a_threshold_is_an_event(temperature: float, humidity: float) -> None:
    node, _ = acknowledged_node()

    sends = node.sample(PERIOD_MS, temperature, humidity)

    assert read(sends).kind == "event"
    assert status(node) == trigger.EVENT


def test_with_a_threshold_of_two_samples_one_wrong_sample_is_waited_out() -> None:
    node, gateway = acknowledged_node(SETTINGS._replace(tau=2))

    assert node.sample(PERIOD_MS, 21.0, 50.0) == []
    assert node.sample(2 * PERIOD_MS, 20.0, 50.0) == []
    assert node.sample(3 * PERIOD_MS, 21.0, 50.0) == []
    sends = node.sample(4 * PERIOD_MS, 21.0, 50.0)
    assert read(sends).kind == "event"
    deliver(node, gateway, sends, 4 * PERIOD_MS)
    assert node.sample(5 * PERIOD_MS, 22.0, 50.0) == []  # a forecast that was acknowledged begins anew
    assert read(node.sample(6 * PERIOD_MS, 22.0, 50.0)).kind == "event"


def test_the_predictor_sees_every_sample_and_what_the_error_was() -> None:
    wobble = Wobble()
    node, _ = acknowledged_node(predictor=wobble)

    node.sample(PERIOD_MS, 20.1, 50.0)
    node.sample(4 * PERIOD_MS, 21.0, 49.0)

    day_ms = UNIX_S * 1000 % 86_400_000 - 300  # the answer was 300 ms on its way
    assert wobble.observed == [
        (2000, 5000, 1, None),
        (2010, 5000, 1, day_ms + PERIOD_MS),
        (2100, 4900, 3, day_ms + 4 * PERIOD_MS),
    ]
    assert wobble.errors == [(100, -100)]  # the first packet held: generation 0 has no trend


def test_a_heartbeat_is_due_when_the_gateway_has_been_silent_for_long() -> None:
    wobble = Wobble()
    node, gateway = acknowledged_node(SETTINGS._replace(heartbeat_s=180), wobble)

    quiet = [node.sample(minute * PERIOD_MS, 20.0, 50.0) for minute in (1, 2, 3)]
    sends = node.sample(4 * PERIOD_MS, 20.0, 50.0)

    assert quiet == [[], [], []]
    assert (sends[0].kind, read(sends).kind, status(node)) == ("heartbeat", "heartbeat", trigger.HEARTBEAT)
    assert wobble.errors == [(0, 0)]
    deliver(node, gateway, sends, 4 * PERIOD_MS)
    assert node.sample(5 * PERIOD_MS, 20.0, 50.0) == []


def test_a_heartbeat_of_zero_is_never_due() -> None:
    node, _ = acknowledged_node()

    assert all(node.sample(minute * PERIOD_MS, 20.0, 50.0) == [] for minute in range(1, 3000, 7))


def test_what_was_not_acknowledged_goes_on_even_when_the_old_forecast_is_right_again() -> None:
    node, gateway = acknowledged_node()
    lost = node.sample(PERIOD_MS, 21.0, 50.0)
    gateway.accept(
        lost[0].data, PERIOD_MS
    )  # it arrives, the answer does not: the gateway holds 21, the node cannot know

    node.sample(2 * PERIOD_MS, 20.4, 50.0)  # the old forecast is right again, the new one is wrong

    assert status(node) == trigger.EVENT
    assert not node.is_acknowledged


def test_what_was_not_acknowledged_is_repeated_while_it_is_right_itself() -> None:
    node, gateway = acknowledged_node()
    lost = node.sample(PERIOD_MS, 20.6, 50.0)

    sends = node.sample(PERIOD_MS + 1000, 20.3, 50.0)  # both forecasts are right here
    assert (sends, status(node)) == ([], trigger.SKIP)
    again = [send for at_ms in range(61_000, 90_000, 500) for send in node.due(at_ms)]

    assert again[0] == Send(lost[0].data, "retry")
    deliver(node, gateway, again[:1], 70_000)
    assert node.is_acknowledged
    assert node.forecast is not None
    assert node.forecast.temperature_c == 2060


def test_after_power_returns_the_numbers_go_on() -> None:
    store = RamStore()
    first = read(Node(7, 1, KEY, SETTINGS, Hold(), store, random.Random(1).random).sample(0, 20.0, 50.0))

    again = read(Node(7, 1, KEY, SETTINGS, Hold(), store, random.Random(1).random).sample(0, 20.0, 50.0))

    assert again.frame > first.frame
    assert again.counter > first.counter


def test_settings_from_the_gateway_take_effect_and_are_reported_back() -> None:
    wobble = Wobble()
    node, gateway = make(predictor=wobble)
    gateway.settings, gateway.generation = NodeSettings(20, 100, 30, 600, 0, 1), 9

    deliver(node, gateway, node.sample(0, 20.0, 50.0), 0)

    assert node.settings == NodeSettings(20, 100, 30, 600, 0, 1)
    assert wobble.thresholds == (20, 100)
    assert read(node.sample(30_000, 20.2, 50.0)).generation == 1  # 9 modulo 8


def test_the_time_of_day_comes_with_the_acknowledgement() -> None:
    node, _ = acknowledged_node()

    assert node.unix_ms(10_000) == UNIX_S * 1000 + 10_000 - 300


def test_a_node_that_no_gateway_answered_has_no_time() -> None:
    node, _ = make()
    node.sample(0, 20.0, 50.0)

    assert node.unix_ms(10_000) is None


def test_the_tick_may_wrap() -> None:
    node, gateway = make(SETTINGS._replace(heartbeat_s=180))
    start = 2**32 - 90_000
    deliver(node, gateway, node.sample(start, 20.0, 50.0), start)

    before = node.unix_ms(start + 60_000)
    after = node.unix_ms(30_000)

    assert before is not None
    assert after == before + 60_000
    assert node.sample(60_000, 20.0, 50.0) == []
    assert node.sample(150_000, 20.0, 50.0)[0].kind == "heartbeat"


@pytest.mark.parametrize(
    ("temperature", "humidity", "fault"),
    [
        (None, None, trigger.ABSENT),
        (20.0, None, trigger.ABSENT),
        (85.01, 50.0, trigger.RANGE),
        (-40.01, 50.0, trigger.RANGE),
        (20.0, 100.01, trigger.RANGE),
        (20.0, -0.01, trigger.RANGE),
        (math.nan, 50.0, trigger.RANGE),
        (20.0, math.inf, trigger.RANGE),
    ],
)
def test_what_is_no_reading_is_neither_sent_nor_learned_from(
    temperature: float | None, humidity: float | None, fault: str
) -> None:
    wobble = Wobble()
    node, _ = acknowledged_node(predictor=wobble)

    assert node.sample(PERIOD_MS, temperature, humidity) == []

    assert (node.fault, node.sampled, len(wobble.observed)) == (fault, None, 1)


def test_a_sensor_that_keeps_failing_is_reported_once_with_the_last_reading_at_its_age() -> None:
    node, gateway = acknowledged_node()

    silent = [node.sample(minute * PERIOD_MS, None, None) for minute in range(1, FAULT_SAMPLES)]
    report = node.sample(FAULT_SAMPLES * PERIOD_MS, None, None)
    deliver(node, gateway, report, FAULT_SAMPLES * PERIOD_MS)
    later = [node.sample(minute * PERIOD_MS, None, None) for minute in range(FAULT_SAMPLES + 1, 3 * FAULT_SAMPLES)]

    uplink = read(report)
    assert not any(silent + later)
    assert uplink.kind == "heartbeat"
    assert uplink.flags & frames.SENSOR_FAULT
    assert (uplink.temperature_c, uplink.age_s) == (2000, FAULT_SAMPLES * 60)
    assert node.is_acknowledged


def test_a_failing_sensor_does_not_push_aside_what_waits() -> None:
    node, gateway = acknowledged_node()
    event = node.sample(PERIOD_MS, 21.0, 50.0)

    later = [send for minute in range(2, 20) for send in node.sample(minute * PERIOD_MS, None, None)]

    assert {read([send]).counter for send in later} == {read(event).counter}
    assert {send.kind for send in later} == {"retry"}
    deliver(node, gateway, later[-1:], 19 * PERIOD_MS)
    assert node.forecast is not None
    assert node.forecast.temperature_c == 2100


def test_a_sensor_that_recovered_clears_its_flag() -> None:
    node, _ = acknowledged_node()
    node.sample(PERIOD_MS, None, None)

    assert not read(node.sample(2 * PERIOD_MS, 21.0, 50.0)).flags & frames.SENSOR_FAULT


def test_a_stuck_sensor_is_flagged_and_not_learned_from() -> None:
    wobble = Wobble()
    node, _ = acknowledged_node(SETTINGS._replace(heartbeat_s=trigger.STUCK_SAMPLES * 60), wobble)

    for minute in range(1, trigger.STUCK_SAMPLES):
        node.sample(minute * PERIOD_MS, 20.0, 50.0)
    assert node.fault == trigger.STUCK
    sends = node.sample((trigger.STUCK_SAMPLES + 1) * PERIOD_MS, 20.0, 50.0)

    assert len(wobble.observed) == trigger.STUCK_SAMPLES - 1
    assert read(sends).flags & frames.SENSOR_FAULT


@pytest.mark.parametrize(("millivolts", "battery", "low"), [(0, 0, False), (3700, 135, False), (3300, 115, True)])
def test_the_battery_is_told(millivolts: int, battery: int, low: bool) -> None:
    node, _ = make()
    node.battery_mv = millivolts

    uplink = read(node.sample(0, 20.0, 50.0))

    assert uplink.battery == battery
    assert bool(uplink.flags & frames.LOW_BATTERY) == low


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_random_bytes_from_the_radio_change_nothing(noise: list[bytes]) -> None:
    node, _ = acknowledged_node()
    forecast = node.forecast

    for data in noise:
        assert node.receive(data, 1000) == []

    assert (node.forecast, node.link.rejected) == (forecast, len(noise))


class Air:
    """A radio that loses, repeats, delays and reorders, both ways, by the numbers that it is given.

    Delays stay below a tenth of the sampling period: with the bytes of a frame true for four tenths of it, every
    count of steps at the gateway is right to the nearest.
    """

    def __init__(self, node: Node, gateway: GatewayTwin, chance: Callable[[], float], loss: float) -> None:
        self.node = node
        self.gateway = gateway
        self._chance = chance
        self._loss = loss
        self._flying: list[tuple[int, int, bool, bytes]] = []
        self._order = count()
        self.sent: list[bytes] = []
        self.acknowledgements = 0

    def send(self, sends: list[Send], now_ms: int) -> None:
        for send in sends:
            self.sent.append(send.data)
            self._launch(send.data, now_ms, up=True)

    def _launch(self, data: bytes, now_ms: int, *, up: bool) -> None:
        while self._chance() >= self._loss:  # each further copy is as likely as the first
            delay_ms = 200 + int(self._chance() ** 8 * 5500)
            heapq.heappush(self._flying, (now_ms + delay_ms, next(self._order), up, data))
            if self._chance() > 0.1:
                return

    def until(self, end_ms: int) -> None:
        """Let everything happen that is due before `end_ms`, in order."""
        while True:
            deadline_ms = self.node.deadline_ms()
            next_ms = self._flying[0][0] if self._flying else end_ms
            if deadline_ms is not None and deadline_ms < min(next_ms, end_ms):
                self.send(self.node.due(deadline_ms), deadline_ms)
            elif next_ms < end_ms:
                self._arrive(next_ms)
            else:
                return

    def _arrive(self, now_ms: int) -> None:
        _, _, up, data = heapq.heappop(self._flying)
        if up:
            ack = self.gateway.accept(data, now_ms)
            if ack is not None:
                self._launch(ack, now_ms, up=False)
            return
        was_acknowledged = self.node.is_acknowledged
        self.send(self.node.receive(data, now_ms), now_ms)
        if self.node.is_acknowledged and not was_acknowledged:
            self.acknowledgements += 1
            assert same(self.node.forecast, self.gateway.forecast)


def same(held: Forecast | None, held_there: Forecast | None) -> bool:
    """Whether two forecasts are the same but for their clocks."""
    assert held is not None
    assert held_there is not None
    return held._replace(sampled_ms=0) == held_there._replace(sampled_ms=0)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    loss=st.sampled_from((0.0, 0.1, 0.3, 0.6)),
    restless=st.floats(0.01, 0.6),
    changes=st.booleans(),
)
def test_both_ends_agree_after_every_acknowledgement_and_no_event_is_lost(
    seed: int, loss: float, restless: float, changes: bool
) -> None:
    chance = random.Random(seed)
    node, gateway = make(SETTINGS._replace(heartbeat_s=600), Wobble())
    air = Air(node, gateway, chance.random, loss)
    temperature, humidity = 20.0, 50.0
    for minute in range(150):
        now_ms = minute * PERIOD_MS
        air.until(now_ms)
        if changes and minute % 40 == 20:
            gateway.settings = NodeSettings(30 + minute % 41, 200 + minute, 60, 600, 0, 1)
            gateway.generation = gateway.generation % 7 + 1
        temperature += chance.gauss(0, restless)
        humidity += chance.gauss(0, 3 * restless)
        air.send(node.sample(now_ms, temperature, min(100.0, max(0.0, humidity))), now_ms)

        if node.is_acknowledged:
            assert node.forecast is not None
            assert gateway.forecast is not None
            assert same(node.forecast, gateway.forecast)
            assert node.forecast.at(now_ms) == gateway.forecast.at(now_ms)

    air._loss = 0.0
    air.until(150 * PERIOD_MS + 40 * 3_600_000)
    uplinks = [frames.decode_uplink(data, lambda node: KEY) for data in air.sent]
    events = {uplink.counter for uplink in uplinks if isinstance(uplink, Uplink) and uplink.flags & frames.EVENT}
    assert node.is_acknowledged
    assert same(node.forecast, gateway.forecast)
    assert air.acknowledgements > 0
    assert events <= gateway.readings.keys()
    assert node.link.ring.waiting == 0
    numbered = {
        (uplink.frame, data) for data, uplink in zip(air.sent, uplinks, strict=True) if isinstance(uplink, Uplink)
    }
    assert len({frame for frame, _ in numbered}) == len(numbered)  # one frame number, one content


@pytest.mark.parametrize("rate", [0.98, 1.0, 1.02])
def test_a_node_whose_tick_drifts_evaluates_what_the_gateway_does_once_it_knows_its_drift(rate: float) -> None:
    wobble = Wobble()
    node, gateway = make(SETTINGS._replace(heartbeat_s=3600), wobble)
    chance = random.Random(2)
    temperature, compared, different = 20.0, 0, 0
    for minute in range(3 * 1440):
        tick_ms = minute * PERIOD_MS
        true_ms = int(tick_ms / rate)
        temperature += chance.choice((0, 0, 0, 0, 0.03, -0.03))
        was_acknowledged = node.is_acknowledged and node.forecast is not None
        sends = node.sample(tick_ms, temperature, 50.0)
        if was_acknowledged and minute >= 1440:
            assert gateway.forecast is not None
            assert node.sampled is not None
            compared += 1
            different += node.sampled[2:4] != gateway.forecast.at(true_ms)
        for send in sends:
            ack = gateway.accept(send.data, true_ms + 300)
            assert ack is not None
            node.receive(ack, tick_ms + int(500 * rate))

    assert compared > 2000
    assert different <= compared / 100  # at the border between two steps; without the drift it is a third
    unix_ms = node.unix_ms(tick_ms)
    assert unix_ms is not None
    assert abs(unix_ms - UNIX_S * 1000 - true_ms) < 2000


def test_the_link_of_a_node_uses_the_documented_patience() -> None:
    node, _ = make()
    node.sample(0, 20.0, 50.0)

    assert node.deadline_ms() == TIMING.ack_window_ms
