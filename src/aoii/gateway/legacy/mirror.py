"""The mirrored model: the network by which an old node knows the gateway's estimate, run at the gateway too.

12-64-32-2, ReLU. Its input is the window of the last four (temperature, humidity, time of day), oldest first. After
every sample of the node its *prediction*, not its value, is shifted into the window; at every send both ends take one
step of gradient descent towards the reading. A mirror is a value: `step` and `learn` return a new one, so that a
reading whose commit fails leaves no trace. `old_node` counts the samples.

The node computes in float32 and does not know whether its packet arrived, so the two models may drift apart; that is
why our own nodes send trends instead. `sigmoid_mirror` is the model before this one.
"""

import struct
from dataclasses import dataclass, replace

from aoii.gateway.legacy.layers import Layer, Scale, Vector, check_finite, from_numbers, numbers

INPUTS, HIDDEN_1, HIDDEN_2, OUTPUTS = 12, 64, 32, 2
SHAPES = ((INPUTS, HIDDEN_1), (HIDDEN_1, HIDDEN_2), (HIDDEN_2, OUTPUTS))
LEARNING_RATE = 0.01  # of the old firmware
NOON = 0.5  # time of day in the window before the first sample

SIZE = INPUTS + sum((inputs + 1) * outputs for inputs, outputs in SHAPES)
LAYOUT = struct.Struct(f"<{SIZE}d")


@dataclass(frozen=True)
class Mirror:
    """One node's model and window after its latest sample."""

    PERIOD_MS = 60_000  # between two steps: the old firmware's fixed sampling period
    STEPS_LIMIT = 1440  # a day; the window holds four, and a step costs 0.1 ms of the 0.9 s in which the reply is due

    scale: Scale
    layers: tuple[Layer, ...]
    window: Vector

    @classmethod
    def initial(cls, scale: Scale, layers: tuple[Layer, ...]) -> "Mirror":
        """The model of a node that has not sampled yet."""
        return cls(scale, layers, (*scale.y_mean, NOON) * 4)

    def predict(self, time_n: float = NOON) -> tuple[float, float]:
        """The prediction of the next sample, °C and %RH.

        Raises:
            ModelError: The prediction is not finite.
        """
        return self.scale.physical(self._forward()[-1])

    def step(self, time_n: float) -> "Mirror":
        """The mirror after a sample that the node did not send.

        Args:
            time_n: Time of day at the sample in the node's zone, 0..1.

        Raises:
            ModelError: The prediction is not finite.
        """
        return self._shifted(self.predict(), time_n)

    def learn(self, temperature: float, humidity: float, time_n: float) -> tuple[tuple[float, float], "Mirror"]:
        """Learn from a sample that the node sent.

        Args:
            temperature: °C.
            humidity: %RH.
            time_n: Time of day at the sample in the node's zone, 0..1.

        Returns:
            The prediction for this sample, °C and %RH, and the mirror after the step.

        Raises:
            ModelError: A weight or the prediction is no longer finite.

        Source: the old firmware: gradient of half the squared error in standardised units; the output layer
        first, then each hidden layer with the weights above it already updated.
        """
        x, a1, a2, y = self._forward()
        first, second, third = self.layers
        delta = self.scale.errors(y, temperature, humidity)
        third = third.descended(delta, a2, LEARNING_RATE)
        delta = _through_relu(third.back(delta), a2)
        second = second.descended(delta, a1, LEARNING_RATE)
        delta = _through_relu(second.back(delta), a1)
        first = first.descended(delta, x, LEARNING_RATE)
        learned = replace(self, layers=(first, second, third))
        check_finite(learned.layers)
        predicted = self.scale.physical(y)
        return predicted, learned._shifted(predicted, time_n)

    def dump(self) -> bytes:
        """Window and weights as little-endian float64; the scale is not in it."""
        return LAYOUT.pack(*self.window, *numbers(self.layers))

    @classmethod
    def load(cls, scale: Scale, dumped: bytes) -> "Mirror":
        """The inverse of `dump`; `dumped` has passed its checksum, so its length is right."""
        found = LAYOUT.unpack(dumped)
        return cls(scale, from_numbers(found[INPUTS:], SHAPES), found[:INPUTS])

    def _forward(self) -> tuple[list[float], list[float], list[float], list[float]]:
        """Standardised input, the activations of both hidden layers, standardised output."""
        x = self.scale.inputs(self.window)
        first, second, third = self.layers
        a1 = [0.0 if z <= 0.0 else z for z in first.forward(x)]
        a2 = [0.0 if z <= 0.0 else z for z in second.forward(a1)]
        return x, a1, a2, third.forward(a2)

    def _shifted(self, predicted: tuple[float, float], time_n: float) -> "Mirror":
        """The mirror with a prediction as the newest of the four in its window."""
        return replace(self, window=(*self.window[3:], *predicted, time_n))


def _through_relu(delta: list[float], activation: list[float]) -> list[float]:
    """The error in front of a ReLU, where `activation` is what it put out."""
    return [d if a > 0.0 else 0.0 for d, a in zip(delta, activation, strict=True)]
