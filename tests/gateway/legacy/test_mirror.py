"""The mirrored MLP against a second implementation with numpy."""

import math
import random
from dataclasses import replace
from pathlib import Path

import pytest

from aoii.gateway.legacy import weights
from aoii.gateway.legacy.layers import ModelError
from aoii.gateway.legacy.mirror import Mirror
from gateway.reference_mlp import ReferenceNode, random_model, source

TIGHT = 1e-9


def a_mirror(folder: Path, seed: int) -> tuple[Mirror, ReferenceNode]:
    model = random_model(seed)
    file = folder / "gateway.py"
    file.write_text(source(model, "list"))
    mirror = weights.extract_weights(file).initial()
    assert isinstance(mirror, Mirror)
    return mirror, ReferenceNode(model)


def test_five_hundred_samples_are_predicted_and_learned_like_the_reference(tmp_path: Path) -> None:
    mirror, node = a_mirror(tmp_path, seed=1)
    chance = random.Random(2)

    for minute in range(500):
        time_n = minute % 1440 / 1440
        if chance.random() < 0.3:
            reading = (24 + 4 * math.sin(minute / 60) + chance.gauss(0, 0.2), 55 + 9 * math.cos(minute / 90))
            predicted, mirror = mirror.learn(*reading, time_n)
            assert predicted == pytest.approx(node.sample(time_n, reading), abs=TIGHT)
        else:
            predicted = mirror.predict()
            mirror = mirror.step(time_n)
            assert predicted == pytest.approx(node.sample(time_n), abs=TIGHT)

    assert mirror.window == pytest.approx(node.window.reshape(-1).tolist(), abs=TIGHT)


def test_the_window_is_shifted_with_the_prediction_not_with_the_reading(tmp_path: Path) -> None:
    mirror, _ = a_mirror(tmp_path, seed=3)

    predicted, after = mirror.learn(30.0, 70.0, 0.25)

    assert after.window == (*mirror.window[3:], *predicted, 0.25)


def test_a_mirror_is_the_same_after_dump_and_load(tmp_path: Path) -> None:
    mirror, _ = a_mirror(tmp_path, seed=4)
    _, mirror = mirror.learn(25.0, 60.0, 0.75)

    again = Mirror.load(mirror.scale, mirror.dump())

    assert again == mirror


def test_learning_leaves_the_mirror_it_began_from_untouched(tmp_path: Path) -> None:
    mirror, _ = a_mirror(tmp_path, seed=5)
    before = mirror.dump()

    mirror.learn(30.0, 70.0, 0.25)

    assert mirror.dump() == before


def test_a_model_that_diverges_is_an_error_and_the_old_one_stays(tmp_path: Path) -> None:
    mirror, _ = a_mirror(tmp_path, seed=6)

    with pytest.raises(ModelError):
        mirror.learn(1e308, 70.0, 0.25)
    with pytest.raises(ModelError):
        replace(mirror, window=(math.inf,) * 12).predict()

    assert all(math.isfinite(value) for value in mirror.predict())
