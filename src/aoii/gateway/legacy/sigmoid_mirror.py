"""The mirrored model of the time before March 2026: 3-16-2, sigmoid.

Its input is temperature, humidity and time of day. The node puts its own reading in, which no gateway can know before
it is sent; so this mirrors the older *gateway*: once a second it put its last prediction in and took what came out as
the next one, and after a packet it went on from the reading, after one step of gradient descent towards it. A mirror is
a value, as in `mirror`.
"""

import math
import struct
from dataclasses import dataclass, replace

from aoii.gateway.legacy.layers import Layer, Scale, Vector, check_finite, from_numbers, numbers

INPUTS, HIDDEN, OUTPUTS = 3, 16, 2
SHAPES = ((INPUTS, HIDDEN), (HIDDEN, OUTPUTS))
LEARNING_RATE = 0.05  # of the older gateway's class, if its gateway.py gives none
CLIP = 20.0  # of the input of its sigmoid

LAYOUT = struct.Struct(f"<{OUTPUTS + 1 + sum((inputs + 1) * outputs for inputs, outputs in SHAPES)}d")


@dataclass(frozen=True)
class SigmoidMirror:
    """The older gateway's model of a node. `last`: its latest prediction, or a newer reading, °C and %RH."""

    PERIOD_MS = 1000  # between two steps: the older gateway slept for a second
    STEPS_LIMIT = 900  # a quarter of an hour, longer than a heartbeat; a step costs 0.1 ms of the 0.9 s for a reply

    scale: Scale
    layers: tuple[Layer, ...]
    last: Vector
    rate: float

    @classmethod
    def initial(cls, scale: Scale, layers: tuple[Layer, ...], rate: float) -> "SigmoidMirror":
        """The model when the gateway begins."""
        return cls(scale, layers, scale.y_mean, rate)

    def predict(self, time_n: float) -> tuple[float, float]:
        """The prediction for a time of day in the node's zone, 0..1; °C and %RH.

        Raises:
            ModelError: The prediction is not finite.
        """
        return self.scale.physical(self._forward(time_n)[-1])

    def step(self, time_n: float) -> "SigmoidMirror":
        """The mirror a second later, at a time of day in the node's zone, 0..1.

        Raises:
            ModelError: The prediction is not finite.
        """
        return replace(self, last=self.predict(time_n))

    def learn(self, temperature: float, humidity: float, time_n: float) -> tuple[tuple[float, float], "SigmoidMirror"]:
        """Learn from a reading, °C and %RH, at a time of day in the node's zone, 0..1.

        Returns:
            The prediction for the reading, °C and %RH, and the mirror after the step.

        Raises:
            ModelError: A weight or the prediction is no longer finite.

        Source: the older gateway: gradient of half the squared error in standardised units; the output layer first,
        then the hidden layer with the weights above it already updated.
        """
        x, a, y = self._forward(time_n)
        first, second = self.layers
        delta = self.scale.errors(y, temperature, humidity)
        second = second.descended(delta, a, self.rate)
        delta = [d * v * (1.0 - v) for d, v in zip(second.back(delta), a, strict=True)]
        first = first.descended(delta, x, self.rate)
        check_finite((first, second))
        predicted = self.scale.physical(y)
        return predicted, replace(self, layers=(first, second), last=(temperature, humidity))

    def dump(self) -> bytes:
        """Latest value, rate and weights as little-endian float64; the scale is not in it."""
        return LAYOUT.pack(*self.last, self.rate, *numbers(self.layers))

    @classmethod
    def load(cls, scale: Scale, dumped: bytes) -> "SigmoidMirror":
        """The inverse of `dump`; `dumped` has passed its checksum, so its length is right."""
        temperature, humidity, rate, *rest = LAYOUT.unpack(dumped)
        return cls(scale, from_numbers(rest, SHAPES), (temperature, humidity), rate)

    def _forward(self, time_n: float) -> tuple[list[float], list[float], list[float]]:
        """Standardised input, the activations of the hidden layer, standardised output."""
        x = self.scale.inputs((*self.last, time_n))
        first, second = self.layers
        a = [1.0 / (1.0 + math.exp(-min(max(z, -CLIP), CLIP))) for z in first.forward(x)]
        return x, a, second.forward(a)
