"""Lines of old-firmware nodes: every form, every fault, and predictions like those of the node itself."""

import math
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aoii.gateway.legacy import old_node, weights
from aoii.gateway.legacy.model import Weights
from aoii.gateway.legacy.old_node import OldNodeForecast, OldState, Payload, RejectedLine, TimeRequest
from aoii.gateway.readings import Instant
from gateway.reference_mlp import ReferenceNode, random_model, source

START_MS = 1_700_000_000_000
MINUTE = 60
EPOCH = 1 << 40
TIGHT = 1e-9


def day_fraction(unix_ms: int) -> float:
    return unix_ms % 86_400_000 / 86_400_000


def at(second: float, *, session: int = 1, synced: bool = True) -> Instant:
    return Instant(int(START_MS + 1000 * second), synced, int(1000 * second), session)


def edge_ms(second: float) -> int:
    return int(START_MS + 1000 * second) % 2**32


def accept(
    state: OldState | None, payload: Payload, when: Instant, model: Weights | None = None, epoch: int = EPOCH
) -> old_node.Accepted:
    return old_node.accept(state, payload, "gateway/ttyUSB0", epoch, model, day_fraction, when)


@pytest.fixture
def model(tmp_path: Path) -> Weights:
    file = tmp_path / "gateway.py"
    file.write_text(source(random_model(9), "list"))
    return weights.extract_weights(file)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Received: 4294967295,21.50,40.25", Payload(21.5, 40.25, 4294967295)),
        ("Received: 21.50,40.25", Payload(21.5, 40.25, None)),
        ("Received: -3.00,99.99", Payload(-3.0, 99.99, None)),
        ("Received:21.5,40\t", Payload(21.5, 40.0, None)),
        ("Received: 0.0,0.0", TimeRequest()),
        ("Received: 0.00,0.00", TimeRequest()),
        ("Received: 0,-0.0", TimeRequest()),
        ("Received: 5,0.0,0.0", TimeRequest()),
        ("Received: 5,0.00,0.00", TimeRequest()),
        ("Received: 0.00,0.01", Payload(0.0, 0.01, None)),
        ("Received: +24.80,40.25", Payload(24.8, 40.25, None)),
        ("Received: 1.248e1,40.25", Payload(12.48, 40.25, None)),
        ("Received: 5,2.48E1,+40.25,7,x", Payload(24.8, 40.25, 5)),
        ("Received: 250.00,40.25", Payload(250.0, 40.25, None)),
        ("Received: 21.50,140.25", Payload(21.5, 140.25, None)),
        ("LoRa Gateway Node Ready (433MHz)Received: 21.50,40.25", Payload(21.5, 40.25, None)),
        ("Received: 21.5Received: 21.60,40.25", Payload(21.6, 40.25, None)),
        ("Sync sent: 1700000000", None),
        ("------------------------", None),
        ("ets Jun  8 2016 00:22:57", RejectedLine("noise")),
        ("eceived: 21.50,40.25", RejectedLine("noise")),
        ("Received: ", RejectedLine("payload")),
        ("Received: 21.50", RejectedLine("payload")),
        ("Received: 21.50,", RejectedLine("payload")),
        ("Received: ,21.50,40.25", RejectedLine("payload")),
        ("Received: 21.50,40.25,7", RejectedLine("payload")),
        ("Received: 1e3,21.50,40.25", RejectedLine("payload")),
        ("Received: 2_1.50,40.25", RejectedLine("payload")),
        ("Received: 1_0,21.50,40.25", RejectedLine("payload")),
        ("Received: 21.50,٤٠.25", RejectedLine("payload")),
        ("Received: x,21.50,40.25", RejectedLine("payload")),
        ("Received: -5,21.50,40.25", RejectedLine("payload")),
        ("Received: ２１.50,40.25", RejectedLine("payload")),
        ("Received: nan,40.25", RejectedLine("range")),
        ("Received: 21.50,-inf", RejectedLine("range")),
        ("Received: 1000.01,40.25", RejectedLine("range")),
        ("Received: 1e999,40.25", RejectedLine("range")),
        ("Received: 21.50,-400.01", RejectedLine("range")),
        ("Received: 4294967296,21.50,40.25", RejectedLine("range")),
    ],
)
def test_a_line_says_a_reading_asks_for_the_time_or_is_refused(line: str, said: object) -> None:
    assert old_node.decode_line(line) == said


@given(st.one_of(st.text(), st.text(alphabet="0123456789.,-naif ").map(lambda text: f"Received: {text}")))
def test_any_text_is_one_of_these(line: str) -> None:
    said = old_node.decode_line(line)

    if isinstance(said, Payload):
        assert math.isfinite(said.temperature)
        assert math.isfinite(said.humidity)
    elif isinstance(said, RejectedLine):
        assert said.reason in ("noise", "payload", "range")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/dev/ttyUSB0", "gw/ttyUSB0"),
        ("/dev/serial/by-id/usb-1", "gw/serial/by-id/usb-1"),
        ("/run/aoii/receiver", "gw/run/aoii/receiver"),
        ("data/run/receiver", "gw/data/run/receiver"),
    ],
)
def test_a_port_gives_the_node_its_name(path: str, name: str) -> None:
    assert old_node.node_name("gw", path) == name


def test_a_name_fits_into_messages_and_tables_and_stays_unique() -> None:
    long = [old_node.node_name("g" * 64, f"/run/{'x' * 200}/{number}/receiver") for number in range(2)]

    assert [len(name) for name in long] == [128, 128]
    assert long[0] != long[1]


def test_readings_are_counted_from_zero_in_a_new_file() -> None:
    first = accept(None, Payload(21.5, 40.0, None), at(0))
    second = accept(first.state, Payload(21.6, 40.0, None), at(60))
    other = accept(second.state, Payload(21.7, 40.0, None), at(120), epoch=EPOCH + 1)

    assert [one.reading.identity.counter for one in (first, second, other)] == [0, 1, 0]
    assert other.reading.identity.epoch == EPOCH + 1
    assert other.reading.identity.node == "gateway/ttyUSB0"


def test_without_weights_the_forecast_is_the_last_reading() -> None:
    first = accept(None, Payload(21.5, 40.0, None), at(0))
    second = accept(first.state, Payload(22.5, 41.0, None), at(600))

    assert first.reading.estimate is None
    assert second.reading.estimate == (21.5, 40.0)
    assert OldNodeForecast(second.state).at(at(9999), day_fraction) == (22.5, 41.0)


@pytest.mark.parametrize(
    ("unix_ms", "edge", "delay_ms"),
    [
        (START_MS, START_MS % 2**32, 0),
        (START_MS + 1234, START_MS % 2**32, 1234),
        (START_MS, (START_MS + 500) % 2**32, -500),
        (2**32 * 400 + 100, 2**32 - 100, 200),
        (2**32 * 400 - 100, 100, -200),
        (START_MS, (START_MS - 600_000) % 2**32, 600_000),
        (START_MS, (START_MS - 600_001) % 2**32, None),
        (START_MS, 61_000, None),
    ],
)
def test_the_delay_is_the_signed_difference_modulo_2_to_the_32(unix_ms: int, edge: int, delay_ms: int | None) -> None:
    assert old_node.transmission_delay_ms(unix_ms, edge) == delay_ms


def test_the_event_time_is_the_nodes_own_when_its_clock_was_set() -> None:
    unix = accept(None, Payload(21.5, 40.0, edge_ms(58.5)), at(60)).reading
    uptime = accept(None, Payload(21.5, 40.0, 61_000), at(60)).reading

    assert (unix.unix_ms, unix.delay_ms) == (at(58.5).unix_ms, 1500)
    assert (uptime.unix_ms, uptime.delay_ms) == (at(60).unix_ms, None)


def test_predictions_are_those_of_the_node_through_silent_minutes_and_sends(model: Weights) -> None:
    node = ReferenceNode(random_model(9))
    chance = random.Random(3)
    state: OldState | None = None
    compared = 0

    for minute in range(300):
        second = minute * MINUTE
        time_n = day_fraction(at(second).unix_ms)
        if minute and chance.random() < 0.7:
            node.sample(time_n)
            continue
        reading = (round(24 + chance.gauss(0, 2), 2), round(55 + chance.gauss(0, 5), 2))
        accepted = accept(state, Payload(*reading, edge_ms(second)), at(second + chance.random()), model)
        assert accepted.reading.estimate == pytest.approx(node.sample(time_n, reading), abs=TIGHT)
        assert accepted.reading.unix_ms == at(second).unix_ms
        state = old_node.decode_state(old_node.encode_state(accepted.state), model)
        compared += 1

    assert compared > 60


def test_the_window_is_stepped_by_the_nodes_clock_and_not_by_ours(model: Weights) -> None:
    state = accept(None, Payload(24.0, 55.0, edge_ms(0)), at(0), model).state

    by_node = accept(state, Payload(25.0, 56.0, edge_ms(600)), at(1), model)

    node = ReferenceNode(random_model(9))
    node.sample(day_fraction(at(0).unix_ms), (24.0, 55.0))
    for minute in range(1, 10):
        node.sample(day_fraction(at(60 * minute).unix_ms))
    expected = node.sample(day_fraction(at(600).unix_ms), (25.0, 56.0))
    assert by_node.reading.estimate == pytest.approx(expected, abs=TIGHT)


@pytest.mark.parametrize(
    ("before", "after"), [(None, None), (61_000, edge_ms(300)), (edge_ms(0), 5_000), (edge_ms(0), None)]
)
def test_a_clock_that_makes_no_sense_is_replaced_by_elapsed_time(
    model: Weights, before: int | None, after: int | None
) -> None:
    state = accept(None, Payload(24.0, 55.0, before), at(0), model).state
    same = accept(None, Payload(24.0, 55.0, None), at(0), model).state

    accepted = accept(state, Payload(25.0, 56.0, after), at(300), model)
    expected = accept(same, Payload(25.0, 56.0, None), at(300), model)

    assert accepted.reading.estimate == expected.reading.estimate
    assert expected.reading.estimate != accept(same, Payload(25.0, 56.0, None), at(240), model).reading.estimate


def test_an_uptime_clock_that_wraps_steps_the_window_all_the_same(model: Weights) -> None:
    wrapping = accept(None, Payload(24.0, 55.0, 2**32 - 60_000), at(0), model).state
    plain = accept(None, Payload(24.0, 55.0, 1_000_000), at(0), model).state

    estimate = accept(wrapping, Payload(25.0, 56.0, 60_000), at(1), model).reading.estimate

    assert estimate == accept(plain, Payload(25.0, 56.0, 1_120_000), at(1), model).reading.estimate
    assert estimate != accept(plain, Payload(25.0, 56.0, 1_060_000), at(1), model).reading.estimate


def test_the_forecast_is_what_the_node_predicts_minute_by_minute(model: Weights) -> None:
    node = ReferenceNode(random_model(9))
    node.sample(day_fraction(at(0).unix_ms), (24.0, 55.0))
    state = accept(None, Payload(24.0, 55.0, edge_ms(0)), at(0.5), model).state
    later = OldNodeForecast(state)

    for minute in range(1, 20):
        expected = node.sample(day_fraction(at(60 * minute).unix_ms))
        assert later.at(at(60 * minute + 7), day_fraction) == pytest.approx(expected, abs=TIGHT)

    assert OldNodeForecast(state).at(at(60 * 19 + 7), day_fraction) == pytest.approx(expected, abs=TIGHT)


def test_a_silence_of_weeks_is_caught_up_in_bounded_work(model: Weights) -> None:
    state = accept(None, Payload(24.0, 55.0, None), at(0), model).state

    accepted = accept(state, Payload(24.0, 55.0, None), at(40 * 86400), model)
    later = OldNodeForecast(state).at(at(40 * 86400), day_fraction)

    assert accepted.reading.estimate is not None
    assert all(math.isfinite(value) for value in (*accepted.reading.estimate, *later))


def test_other_weights_begin_a_new_mirror(model: Weights, tmp_path: Path) -> None:
    state = accept(None, Payload(24.0, 55.0, None), at(0), model).state
    (tmp_path / "other.py").write_text(source(random_model(10), "list"))
    other = weights.extract_weights(tmp_path / "other.py")

    taken_up = old_node.decode_state(old_node.encode_state(state), other)

    assert taken_up.mirror is None
    expected = ReferenceNode(random_model(10)).sample(0.5)
    assert accept(taken_up, Payload(1.0, 2.0, None), at(60), other).reading.estimate == pytest.approx(
        expected, abs=TIGHT
    )
    assert old_node.decode_state(old_node.encode_state(state), None).mirror is None


def test_a_model_that_diverges_starts_again_and_the_estimate_is_the_last_reading(model: Weights) -> None:
    state = accept(None, Payload(24.0, 55.0, None), at(0), model).state
    assert state.mirror is not None
    broken = old_node.decode_state(
        old_node.encode_state(state).replace(state.mirror.dump()[96:104], b"\xff" * 8), model
    )

    accepted = accept(broken, Payload(24.5, 55.5, None), at(60), model)

    assert accepted.diverged
    assert accepted.reading.estimate == (24.0, 55.0)
    assert accepted.state.mirror == model.initial()
