"""Layers of a network and the arithmetic that both mirrored models share: forward, one step of descent, and back.

In float64; the older installation computes in float32, whose rounding the models forget.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import mul

from aoii.core.errors import AoiiError

Vector = tuple[float, ...]
Matrix = tuple[Vector, ...]  # one row for each output


class ModelError(AoiiError):
    """A weight or a prediction is no longer finite; the mirror itself is unchanged."""


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of the inputs (in the order of the inputs) and of the outputs (2 each)."""

    x_mean: Vector
    x_std: Vector
    y_mean: Vector
    y_std: Vector

    def inputs(self, values: Sequence[float]) -> list[float]:
        """Inputs, °C, %RH and time of day, in standardised units."""
        return [(v - m) / s for v, m, s in zip(values, self.x_mean, self.x_std, strict=True)]

    def errors(self, outputs: Sequence[float], temperature: float, humidity: float) -> list[float]:
        """Outputs minus a reading, °C and %RH, both in standardised units."""
        target = ((v - m) / s for v, m, s in zip((temperature, humidity), self.y_mean, self.y_std, strict=True))
        return [out - want for out, want in zip(outputs, target, strict=True)]

    def physical(self, outputs: Sequence[float]) -> tuple[float, float]:
        """Standardised outputs as °C and %RH.

        Raises:
            ModelError: One of them is not finite.
        """
        temperature, humidity = (v * s + m for v, m, s in zip(outputs, self.y_mean, self.y_std, strict=True))
        if not (math.isfinite(temperature) and math.isfinite(humidity)):
            raise ModelError("the mirrored model's prediction is not finite", "it starts again from the weights file")
        return temperature, humidity


@dataclass(frozen=True)
class Layer:
    """Weights, one row for each output, and biases."""

    weights: Matrix
    biases: Vector

    def forward(self, x: Sequence[float]) -> list[float]:
        """What the layer makes of its inputs, before any activation."""
        return [sum(map(mul, row, x)) + bias for row, bias in zip(self.weights, self.biases, strict=True)]

    def descended(self, delta: Sequence[float], x: Sequence[float], rate: float) -> "Layer":
        """The layer after one step against its gradient; `delta` is the error at its outputs, `x` its inputs."""
        steps = [rate * d for d in delta]
        return Layer(
            tuple(
                tuple(w - step * v for w, v in zip(row, x, strict=True)) if step else row
                for row, step in zip(self.weights, steps, strict=True)
            ),
            tuple(bias - step for bias, step in zip(self.biases, steps, strict=True)),
        )

    def back(self, delta: Sequence[float]) -> list[float]:
        """The error at its inputs; `delta` is that at its outputs."""
        return [sum(map(mul, column, delta)) for column in zip(*self.weights, strict=True)]


def check_finite(layers: Iterable[Layer]) -> None:
    """Check layers after a step.

    Raises:
        ModelError: A weight is not finite.
    """
    if not all(math.isfinite(sum(map(sum, layer.weights)) + sum(layer.biases)) for layer in layers):
        raise ModelError("the mirrored model diverged", "it starts again from the weights file")


def numbers(layers: Iterable[Layer]) -> list[float]:
    """All numbers of some layers: of each its rows, then its biases."""
    return [number for layer in layers for row in (*layer.weights, layer.biases) for number in row]


def from_numbers(numbers: Iterable[float], shapes: Iterable[tuple[int, int]]) -> tuple[Layer, ...]:
    """The inverse of `numbers`; `shapes` are inputs and outputs of each layer."""
    source = iter(numbers)

    def vector(size: int) -> Vector:
        return tuple(next(source) for _ in range(size))

    return tuple(Layer(tuple(vector(inputs) for _ in range(outputs)), vector(outputs)) for inputs, outputs in shapes)
