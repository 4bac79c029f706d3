"""The perceptron's weights: trained on recordings, written and read back strictly."""

import json
from datetime import timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from aoii.core.errors import InputError
from aoii.lab import mlp_weights
from aoii.lab.mlp_weights import SHIPPED, encode_mlp, fit_mlp, measure, parse_mlp
from series import made, shipped


def test_a_perceptron_is_read_back_to_five_digits(tmp_path: Path) -> None:
    weights = parse_mlp()
    path = tmp_path / "mlp.json"
    path.write_text(encode_mlp(weights, []))

    again = parse_mlp(path)

    assert np.array_equal(again.x_std, weights.x_std)
    assert all(
        np.array_equal(a, b)
        for one, two in zip(again.layers, weights.layers, strict=True)
        for a, b in zip(one, two, strict=True)
    )


def test_a_perceptron_with_a_number_that_is_not_finite_is_rejected(tmp_path: Path) -> None:
    content = json.loads(SHIPPED.read_text())
    content["y_std"][0] = float("nan")
    path = tmp_path / "mlp.json"
    path.write_text(json.dumps(content))

    with pytest.raises(InputError, match="not finite"):
        parse_mlp(path)


def test_a_perceptron_of_another_size_is_rejected(tmp_path: Path) -> None:
    content = json.loads(SHIPPED.read_text())
    del content["layers"][0]
    path = tmp_path / "mlp.json"
    path.write_text(json.dumps(content))

    with pytest.raises(InputError, match="layers of other sizes"):
        parse_mlp(path)


def test_training_needs_five_samples_without_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlp_weights, "EPOCHS", 2)
    readings = [(2000 + 10 * k, 5000) for k in range(5)]

    fitted = fit_mlp([made(readings)])

    assert fitted.y_mean[0] == pytest.approx(20.4)
    with pytest.raises(InputError, match="five samples"):
        fit_mlp([made(readings, [0, 1, 2, 3, 5])])


def test_accuracy_is_what_scikit_learn_computes() -> None:
    from sklearn.metrics import mean_absolute_error, r2_score

    series = shipped(400)
    weights = parse_mlp()

    accuracy = measure(weights, [series])

    window = [
        (t / 100, h / 100, (series.start_unix_s + slot * 60) % 86_400 / 86_400)
        for t, h, slot in zip(series.temperature_c, series.humidity_c, series.slots, strict=True)
    ]
    y = np.array([row[:2] for row in window[4:]])
    x = np.array([np.ravel(window[i : i + 4]) for i in range(len(y))])
    a = (x - weights.x_mean) / weights.x_std
    (w1, b1), (w2, b2), (w3, b3) = weights.layers
    predicted = (np.maximum(np.maximum(a @ w1 + b1, 0) @ w2 + b2, 0) @ w3 + b3) * weights.y_std + weights.y_mean
    assert accuracy.samples == 396
    assert accuracy.r2 == pytest.approx(r2_score(y, predicted))
    assert accuracy.mae_t == pytest.approx(mean_absolute_error(y[:, 0], predicted[:, 0]))
    assert accuracy.mae_h == pytest.approx(mean_absolute_error(y[:, 1], predicted[:, 1]))


def test_the_time_of_day_is_that_of_the_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlp_weights, "EPOCHS", 2)
    series = made([(2000 + 10 * k, 5000) for k in range(10)])

    utc, west = fit_mlp([series]), fit_mlp([series], timezone(-timedelta(hours=8)))

    assert (utc.x_mean[2] - west.x_mean[2]) % 1 == pytest.approx(8 / 24)
