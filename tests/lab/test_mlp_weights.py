"""The perceptron's weights: trained on recordings, written and read back strictly."""

import json
from pathlib import Path

import numpy as np
import pytest

from aoii.core.errors import InputError
from aoii.lab import mlp_weights
from aoii.lab.mlp_weights import SHIPPED, encode_mlp, fit_mlp, parse_mlp
from series import made


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
