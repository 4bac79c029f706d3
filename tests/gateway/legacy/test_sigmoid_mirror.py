"""The model of the time before March 2026 against a second implementation with numpy."""

import math
import random
from pathlib import Path

import pytest

from aoii.gateway.legacy import old_node
from aoii.gateway.legacy.layers import ModelError
from aoii.gateway.legacy.model import Weights
from aoii.gateway.legacy.old_node import OldNodeForecast, OldState, Payload
from aoii.gateway.legacy.sigmoid_mirror import SigmoidMirror
from aoii.gateway.legacy.weights import extract_weights
from aoii.gateway.readings import Instant
from gateway.reference_mlp import OlderGateway, old_time_n, random_sigmoid_model, source

START_MS = 1_771_000_000_000
TIGHT = 1e-9


def extracted(folder: Path, end: str = "") -> Weights:
    file = folder / "gateway.py"
    file.write_text(source(random_sigmoid_model(3), "list") + end)
    return extract_weights(file)


def at(second: int) -> Instant:
    return Instant(START_MS + 1000 * second, True, 1000 * second, 1)


def time_n(second: int) -> float:
    return old_time_n(START_MS + 1000 * second)


def accept(state: OldState | None, reading: tuple[float, float], second: int, model: Weights) -> old_node.Accepted:
    payload = Payload(*reading, (START_MS + 1000 * second) % 2**32 if second % 2 else None)
    return old_node.accept(state, payload, "gateway/ttyUSB0", 1, model, old_time_n, at(second))


def test_the_estimate_is_that_of_the_older_gateway_second_by_second(tmp_path: Path) -> None:
    model = extracted(tmp_path, "model.online_update(actual_t, actual_h, lr=0.01)\n")
    gateway = OlderGateway(random_sigmoid_model(3), 0.01)
    chance = random.Random(5)
    state: OldState | None = None
    due = 0

    for second in range(7200):
        if second != due:
            gateway.second(time_n(second))
            continue
        reading = (round(20 + chance.gauss(0, 3), 2), round(40 + chance.gauss(0, 8), 2))
        accepted = accept(state, reading, second, model)
        assert accepted.reading.estimate == pytest.approx(gateway.second(time_n(second), reading), abs=TIGHT)
        state = old_node.decode_state(old_node.encode_state(accepted.state), model)
        due = second + chance.randint(1, 900)

    assert state is not None
    assert state.counter > 10


def test_between_two_packets_it_goes_on_from_the_reading(tmp_path: Path) -> None:
    model = extracted(tmp_path)
    gateway = OlderGateway(random_sigmoid_model(3))
    state = accept(None, (22.0, 41.0), 0, model).state
    gateway.second(time_n(0), (22.0, 41.0))
    forecast = OldNodeForecast(state)

    for second in range(1, 200):
        expected = gateway.second(time_n(second))
        if second < 10 or second % 60 == 0:  # after a minute the model has forgotten from where it went on
            assert forecast.at(at(second), old_time_n) == pytest.approx(expected, abs=TIGHT)


def test_a_long_silence_is_bounded_work_and_forgets_how_it_began(tmp_path: Path) -> None:
    model = extracted(tmp_path)
    gateway = OlderGateway(random_sigmoid_model(3))
    state = accept(None, (22.0, 41.0), 0, model).state
    gateway.second(time_n(0), (22.0, 41.0))
    for second in range(1, 20_000):
        gateway.second(time_n(second))

    estimate = accept(state, (22.0, 41.0), 20_000, model).reading.estimate

    assert estimate == pytest.approx(gateway.second(time_n(20_000)), abs=1e-6)


@pytest.mark.parametrize(
    ("end", "rate"),
    [
        ("", 0.05),
        ("model.online_update(t, h, lr=0.01)\n", 0.01),
        ("while True:\n    if x:\n        model.online_update(t, h, lr=0.02)\n", 0.02),
        ("# model.online_update(t, h, lr=0.02)\n", 0.05),
        ("model.online_update(t, h, lr=rate)\n", 0.05),
        ("model.online_update(t, h, lr=-1.0)\n", 0.05),
    ],
)
def test_the_learning_rate_is_that_in_the_file(tmp_path: Path, end: str, rate: float) -> None:
    model = extracted(tmp_path, end)

    assert model.rate == rate
    assert model.is_sigmoid


def test_another_rate_is_another_model(tmp_path: Path) -> None:
    slow = extracted(tmp_path, "model.online_update(t, h, lr=0.01)\n")

    assert slow.fingerprint != extracted(tmp_path).fingerprint


def test_a_mirror_is_the_same_after_dump_and_load(tmp_path: Path) -> None:
    model = extracted(tmp_path)
    _, mirror = model.initial().learn(25.0, 60.0, 0.75)

    assert model.load(mirror.dump()) == mirror


def test_a_model_that_diverges_is_an_error_and_the_old_one_stays(tmp_path: Path) -> None:
    mirror = extracted(tmp_path).initial()
    assert isinstance(mirror, SigmoidMirror)
    before = mirror.dump()

    with pytest.raises(ModelError):
        mirror.learn(1e308, 1e308, 0.25)

    assert mirror.dump() == before
    assert all(math.isfinite(value) for value in mirror.predict(0.5))
