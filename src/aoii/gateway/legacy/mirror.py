"""The mirrored model: the network by which an old node knows the gateway's estimate, run at the gateway too.

12-64-32-2, ReLU, in float64. Its input is the window of the last four (temperature, humidity, time of day), oldest
first. After every sample of the node its *prediction*, not its value, is shifted into the window; at every send both
ends take one step of gradient descent towards the reading. A mirror is a value: `step` and `learn` return a new one, so
that a reading whose commit fails leaves no trace. `old_node` counts the samples.

The node computes in float32 and does not know whether its packet arrived, so the two models may drift apart; that is
why our own nodes send trends instead.
"""

import math
import struct
from dataclasses import dataclass, replace
from itertools import chain, islice
from operator import mul

from aoii.core.errors import AoiiError

Vector = tuple[float, ...]
Matrix = tuple[Vector, ...]  # one row for each output

INPUTS, HIDDEN_1, HIDDEN_2, OUTPUTS = 12, 64, 32, 2
LEARNING_RATE = 0.01  # of the old firmware
NOON = 0.5  # time of day in the window before the first sample

SIZE = INPUTS + HIDDEN_1 * (INPUTS + 1) + HIDDEN_2 * (HIDDEN_1 + 1) + OUTPUTS * (HIDDEN_2 + 1)
LAYOUT = struct.Struct(f"<{SIZE}d")


class ModelError(AoiiError):
    """A weight or a prediction is no longer finite; the mirror itself is unchanged."""


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of the inputs (12 each, in window order) and of the outputs (2 each)."""

    x_mean: Vector
    x_std: Vector
    y_mean: Vector
    y_std: Vector


@dataclass(frozen=True)
class Layer:
    """Weights, one row for each output, and biases."""

    weights: Matrix
    biases: Vector


@dataclass(frozen=True)
class Weights:
    """The model that the operators trained: its layers from input to output, and a fingerprint of all its numbers."""

    scale: Scale
    layers: tuple[Layer, Layer, Layer]
    fingerprint: str


@dataclass(frozen=True)
class Mirror:
    """One node's model and window after its latest sample."""

    scale: Scale
    layers: tuple[Layer, Layer, Layer]
    window: Vector

    @classmethod
    def initial(cls, weights: Weights) -> "Mirror":
        """The model of a node that has not sampled yet."""
        return cls(weights.scale, weights.layers, (*weights.scale.y_mean, NOON) * 4)

    def predict(self) -> tuple[float, float]:
        """The prediction of the next sample, °C and %RH.

        Raises:
            ModelError: The prediction is not finite.
        """
        return self._physical(self._forward()[-1])

    def step(self, time_n: float) -> "Mirror":
        """The mirror after a sample that the node did not send.

        Args:
            time_n: Local time of day at the sample, 0..1.

        Raises:
            ModelError: The prediction is not finite.
        """
        return self._shifted(self.predict(), time_n)

    def learn(self, temperature: float, humidity: float, time_n: float) -> tuple[tuple[float, float], "Mirror"]:
        """Learn from a sample that the node sent.

        Args:
            temperature: °C.
            humidity: %RH.
            time_n: Local time of day at the sample, 0..1.

        Returns:
            The prediction for this sample, °C and %RH, and the mirror after the step.

        Raises:
            ModelError: A weight or the prediction is no longer finite.

        Source: the old firmware: gradient of half the squared error in standardised units; the output layer
        first, then each hidden layer with the weights above it already updated.
        """
        x, a1, a2, y = self._forward()
        first, second, third = self.layers
        target = [
            (v - m) / s for v, m, s in zip((temperature, humidity), self.scale.y_mean, self.scale.y_std, strict=True)
        ]
        delta = [out - want for out, want in zip(y, target, strict=True)]
        third = _descend(third, delta, a2)
        delta = _back(third, delta, a2)
        second = _descend(second, delta, a1)
        delta = _back(second, delta, a1)
        first = _descend(first, delta, x)
        learned = replace(self, layers=(first, second, third))
        if not all(math.isfinite(sum(map(sum, layer.weights)) + sum(layer.biases)) for layer in learned.layers):
            raise ModelError("the mirrored model diverged", "it starts again from the weights file")
        predicted = self._physical(y)
        return predicted, learned._shifted(predicted, time_n)

    def dump(self) -> bytes:
        """Window and weights as little-endian float64; the scale is not in it."""
        rows = (row for layer in self.layers for row in (*layer.weights, layer.biases))
        return LAYOUT.pack(*self.window, *chain.from_iterable(rows))

    @classmethod
    def load(cls, scale: Scale, dumped: bytes) -> "Mirror":
        """The inverse of `dump`; `dumped` has passed its checksum, so its length is right."""
        numbers = iter(LAYOUT.unpack(dumped))

        def vector(size: int) -> Vector:
            return tuple(islice(numbers, size))

        def layer(inputs: int, outputs: int) -> Layer:
            return Layer(tuple(vector(inputs) for _ in range(outputs)), vector(outputs))

        window = vector(INPUTS)
        layers = layer(INPUTS, HIDDEN_1), layer(HIDDEN_1, HIDDEN_2), layer(HIDDEN_2, OUTPUTS)
        return cls(scale, layers, window)

    def _forward(self) -> tuple[list[float], list[float], list[float], list[float]]:
        """Standardised input, the activations of both hidden layers, standardised output."""
        x = [(v - m) / s for v, m, s in zip(self.window, self.scale.x_mean, self.scale.x_std, strict=True)]
        first, second, third = self.layers
        a1 = [0.0 if z <= 0.0 else z for z in _affine(first, x)]
        a2 = [0.0 if z <= 0.0 else z for z in _affine(second, a1)]
        return x, a1, a2, _affine(third, a2)

    def _physical(self, y: list[float]) -> tuple[float, float]:
        """Standardised output as °C and %RH.

        Raises:
            ModelError: One of them is not finite.
        """
        temperature, humidity = (v * s + m for v, m, s in zip(y, self.scale.y_mean, self.scale.y_std, strict=True))
        if not (math.isfinite(temperature) and math.isfinite(humidity)):
            raise ModelError("the mirrored model's prediction is not finite", "it starts again from the weights file")
        return temperature, humidity

    def _shifted(self, predicted: tuple[float, float], time_n: float) -> "Mirror":
        """The mirror with a prediction as the newest of the four in its window."""
        return replace(self, window=(*self.window[3:], *predicted, time_n))


def _affine(layer: Layer, x: list[float]) -> list[float]:
    return [sum(map(mul, row, x)) + bias for row, bias in zip(layer.weights, layer.biases, strict=True)]


def _descend(layer: Layer, delta: list[float], x: list[float]) -> Layer:
    """One step of a layer against its gradient; `delta` is the error at its outputs, `x` its inputs."""
    steps = [LEARNING_RATE * d for d in delta]
    return Layer(
        tuple(
            tuple(w - step * v for w, v in zip(row, x, strict=True)) if step else row
            for row, step in zip(layer.weights, steps, strict=True)
        ),
        tuple(bias - step for bias, step in zip(layer.biases, steps, strict=True)),
    )


def _back(above: Layer, delta: list[float], activation: list[float]) -> list[float]:
    """The error in front of the ReLU of the layer below `above`, where `activation` is what the ReLU put out."""
    columns = zip(*above.weights, strict=True)
    return [sum(map(mul, column, delta)) if a > 0.0 else 0.0 for column, a in zip(columns, activation, strict=True)]
