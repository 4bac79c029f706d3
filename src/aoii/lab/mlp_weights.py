"""Trains the first weights of `mlp`, the older installation's perceptron 12-64-32-2, and reads and writes them."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aoii.core.errors import InputError
from aoii.lab.sources import encode_json, parse_json
from aoii.simulation.recordings import Series

SHIPPED = Path(__file__).parent / "mlp.json"
EPOCHS = 200  # the default of scikit-learn
SCALES = ("x_mean", "x_std", "y_mean", "y_std")
SHAPES = [(12, 64), (64, 32), (32, 2), (64,), (32,), (2,), (12,), (12,), (2,), (2,)]  # weights, biases, scales

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class MlpWeights:
    """A perceptron 12-64-32-2 and the scales of its inputs and outputs.

    Attributes:
        x_mean: Means of the inputs.
        x_std: Standard deviations of the inputs.
        y_mean: Means of the outputs, °C and %RH.
        y_std: Standard deviations of the outputs, °C and %RH.
        layers: Weights and biases of each layer.
    """

    x_mean: Doubles
    x_std: Doubles
    y_mean: Doubles
    y_std: Doubles
    layers: tuple[tuple[Doubles, Doubles], ...] = field(repr=False)


@dataclass(frozen=True)
class Accuracy:
    """How well a perceptron predicts the next reading of recordings.

    Attributes:
        samples: How many it predicted.
        r2: Coefficient of determination, the mean of both quantities; 1 is perfect, and 0 no better than the mean.
        mae_t: Mean absolute error, °C.
        mae_h: Mean absolute error, %RH.
    """

    samples: int
    r2: float
    mae_t: float
    mae_h: float

    def sentence(self) -> str:
        """All of it, for a person."""
        errors = f"mean absolute error {self.mae_t:.4f} °C and {self.mae_h:.4f} %RH"
        return f"R² {self.r2:.5f}, {errors} on the {self.samples} samples that it was trained on"


def fit_mlp(all_series: Sequence[Series], zone: tzinfo = UTC) -> MlpWeights:
    """Train a perceptron offline to predict the next reading from the last four readings and times of day.

    Args:
        all_series: What to learn from.
        zone: Zone of the times of day.

    Raises:
        InputError: No series has five samples without a gap.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    x, y = _examples(all_series, zone)
    x_mean, x_std, y_mean, y_std = x.mean(axis=0), x.std(axis=0) + 1e-6, y.mean(axis=0), y.std(axis=0) + 1e-6
    model = MLPRegressor(hidden_layer_sizes=(64, 32), max_iter=EPOCHS, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit((x - x_mean) / x_std, (y - y_mean) / y_std)
    layers = tuple(
        (np.array(w, dtype=np.float64), np.array(b, dtype=np.float64))
        for w, b in zip(model.coefs_, model.intercepts_, strict=True)
    )
    return MlpWeights(x_mean, x_std, y_mean, y_std, layers)


def measure(weights: MlpWeights, all_series: Sequence[Series], zone: tzinfo = UTC) -> Accuracy:
    """How well a perceptron predicts the next reading of series; arguments and errors are those of `fit_mlp`."""
    x, y = _examples(all_series, zone)
    activation = (x - weights.x_mean) / weights.x_std
    for layer, (matrix, biases) in enumerate(weights.layers, 1):
        activation = activation @ matrix + biases
        if layer < len(weights.layers):
            activation = np.maximum(activation, 0.0)
    error = y - (activation * weights.y_std + weights.y_mean)
    unexplained, spread = (error**2).sum(axis=0), ((y - y.mean(axis=0)) ** 2).sum(axis=0)
    r2 = 1.0 - unexplained / np.where(spread > 0.0, spread, np.inf)  # a quantity that never changes explains nothing
    mae_t, mae_h = np.abs(error).mean(axis=0)
    return Accuracy(len(y), float(r2.mean()), float(mae_t), float(mae_h))


def _examples(all_series: Sequence[Series], zone: tzinfo) -> tuple[Doubles, Doubles]:
    """Inputs and targets: a row of each for every five samples in a row without a gap."""
    inputs: list[list[float]] = []
    targets: list[list[float]] = []
    for series in all_series:
        rows = [
            (t / 100, h / 100, _day_fraction(series.start_unix_s + slot * series.interval_s, zone))
            for t, h, slot in zip(series.temperature_c, series.humidity_c, series.slots, strict=True)
        ]
        for i in range(4, len(rows)):
            if series.slots[i] - series.slots[i - 4] == 4:
                inputs.append([value for row in rows[i - 4 : i] for value in row])
                targets.append(list(rows[i][:2]))
    if not inputs:
        raise InputError("no recording has five samples without a gap", "give longer ones")
    return np.array(inputs), np.array(targets)


def _day_fraction(unix_s: float, zone: tzinfo) -> float:
    distance = datetime.fromtimestamp(unix_s, zone).utcoffset() or timedelta()
    return (unix_s + distance.total_seconds()) % 86_400 / 86_400


def encode_mlp(weights: MlpWeights, made_from: list[dict[str, str]]) -> str:
    """The file that `aoii lab replay --mlp` reads, with five significant digits."""

    def rounded(array: Doubles) -> list[float]:
        return [float(f"{value:.5g}") for value in array.ravel()]

    scales = {name: rounded(getattr(weights, name)) for name in SCALES}
    layers = [{"shape": w.shape, "weights": rounded(w), "biases": rounded(b)} for w, b in weights.layers]
    return encode_json({"mlp": 1, "made_from": made_from, **scales, "layers": layers})


def parse_mlp(path: Path = SHIPPED) -> MlpWeights:
    """Weights that `aoii lab pretrain --model mlp` wrote; by default the shipped ones.

    Raises:
        InputError: The file cannot be read or has no weights for this perceptron.
    """
    remedy = "make one with aoii lab pretrain --model mlp --out FILE"
    return parse_json(path, "a perceptron 12-64-32-2", remedy, _weights)


def _weights(content: Any) -> MlpWeights:
    scales = [np.array(content[name], dtype=np.float64) for name in SCALES]
    layers = tuple(
        (np.array(one["weights"], dtype=np.float64).reshape(one["shape"]), np.array(one["biases"], dtype=np.float64))
        for one in content["layers"]
    )
    arrays = [w for w, _ in layers] + [b for _, b in layers] + scales
    if [array.shape for array in arrays] != SHAPES:
        raise ValueError("layers of other sizes")
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError("numbers that are not finite")
    x_mean, x_std, y_mean, y_std = scales
    return MlpWeights(x_mean, x_std, y_mean, y_std, layers)
