"""The policies that are compared: what each puts into a packet, and what a gateway believes because of it.

A policy is two things. Its node looks at every sample and says what a packet sent now would carry. Its forecast is what
the gateway believes; the replay keeps one for the gateway and one for what the node takes the gateway to believe. All
estimates are integers in hundredths, so that a policy is judged as the real gateway judges. When to send is the
replay's business, but for the two periodic policies, which follow the clock.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from aoii.core import prior
from aoii.core.errors import InputError
from aoii.core.forecast import DAMPED, HOLD, Trend, estimate_pair
from aoii.lab.fast import FastLearner

Pair = tuple[int, int]
Prior = tuple[tuple[int, ...], ...]

READING_BYTES = 28  # a version 1 frame of docs/reference/wire-format.md without its four bytes of trend
FORECAST_FRAME_BYTES = 32
ASCII_BYTES = 22  # "4294967295,-10.25,100.00" and the like: the older firmware's payload, mean of the log mlp0.5


class Content(NamedTuple):
    """What a packet carries: the reading, and a trend or a slope in hundredths a sample where the policy has one."""

    reading: Pair
    trend: Trend = HOLD
    slope: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class World:
    """What a policy may know before the first sample.

    Attributes:
        epsilon: Thresholds, hundredths.
        samples: How many samples there will be; for `periodic_equal` only.
        packets: How many packets `trend` sent; for `periodic_equal` only.
        prior: What `trend` starts from.
        mlp: What `mlp` starts from; None unless it is asked for.
    """

    epsilon: Pair
    samples: int = 0
    packets: int = 0
    prior: Prior = prior.WEIGHTS
    mlp: "Weights | None" = None


class Node(Protocol):
    """The sending end."""

    def observe(self, reading: Pair, steps: int, day_ms: int) -> None:
        """Take the next sample, `steps` sampling intervals after the one before."""

    def content(self) -> Content:
        """What a packet sent now would carry."""


class Forecast(Protocol):
    """The receiving end."""

    def advance(self, steps: int, day_ms: int) -> Pair | None:
        """Go on by `steps` sampling intervals; what is believed then, None before the first packet."""

    def receive(self, content: Content) -> Pair:
        """Take a packet of this very sample; what is believed now."""

    def copy(self) -> Self:
        """An independent equal."""


@dataclass(frozen=True)
class Policy:
    """One way to keep the forecast right.

    Attributes:
        name: As on the command line.
        node: Makes the sending end.
        forecast: Makes the receiving end.
        frame_bytes: On air.
        clock: Whether it sends by the clock, in which case `is_due` says when.
        resends: Whether a packet without an acknowledgement is sent again; without, the node takes it for received.
    """

    name: str
    node: Callable[[World], Node]
    forecast: Callable[[World], Forecast]
    frame_bytes: int = FORECAST_FRAME_BYTES
    clock: Literal["every", "equal"] | None = None
    resends: bool = True

    def is_due(self, world: World, index: int) -> bool:
        """Whether the clock asks for a packet at sample `index` of a series."""
        if self.clock == "every":
            return True
        return self.clock == "equal" and index * world.packets // world.samples != (
            (index - 1) * world.packets // world.samples
        )


# What a packet of the trend-carrying policies makes the gateway believe


class ForecastReceiver:
    """The forecast of our own nodes: the reading and a trend, evaluated as `core.forecast` does."""

    def __init__(self, world: World) -> None:
        self._epsilon = world.epsilon
        self._content: Content | None = None
        self._steps = 0

    def advance(self, steps: int, day_ms: int) -> Pair | None:
        """See `Forecast`."""
        self._steps += steps
        return None if self._content is None else self._believed(self._content, self._steps)

    def receive(self, content: Content) -> Pair:
        """See `Forecast`."""
        self._content, self._steps = content, 0
        return self._believed(content, 0)

    def copy(self) -> Self:
        """See `Forecast`."""
        return copy.copy(self)

    def _believed(self, content: Content, steps: int) -> Pair:
        return estimate_pair(*content.reading, content.trend, *self._epsilon, steps)


class Sloped(ForecastReceiver):
    """A reading and a slope in hundredths a sample for each quantity, without an end."""

    def _believed(self, content: Content, steps: int) -> Pair:
        (t, h), (slope_t, slope_h) = content.reading, content.slope
        return t + round(slope_t * steps), h + round(slope_h * steps)


class Holding:
    """Sends its reading, which the gateway holds: send-on-delta, and the periodic policies."""

    def __init__(self, world: World) -> None:
        self._reading = (0, 0)

    def observe(self, reading: Pair, steps: int, day_ms: int) -> None:
        """See `Node`."""
        self._reading = reading

    def content(self) -> Content:
        """See `Node`."""
        return Content(self._reading)


class Derivative:
    """Derivative-based prediction: the line through the mean of the first and of the last readings of a window.

    Source: Raza, Camerra, Murphy, Palpanas, Picco, "Practical data prediction for real-world wireless sensor networks",
    IEEE TKDE 27(8), 2015. Window and edges here: 20 and 5 samples, within two packets of the best on the shipped day.
    """

    WINDOW, EDGE = 20, 5

    def __init__(self, world: World) -> None:
        self._past: list[Pair] = []

    def observe(self, reading: Pair, steps: int, day_ms: int) -> None:
        """See `Node`."""
        self._past = [*self._past[1 - self.WINDOW :], reading] if steps == 1 else [reading]

    def content(self) -> Content:
        """See `Node`."""
        past = self._past
        if len(past) < self.WINDOW:
            return Content(past[-1])
        apart = self.EDGE * (self.WINDOW - self.EDGE)
        first, last = past[: self.EDGE], past[-self.EDGE :]
        slope_t, slope_h = ((sum(r[q] for r in last) - sum(r[q] for r in first)) / apart for q in (0, 1))
        return Content(past[-1], slope=(slope_t, slope_h))


class Damped:
    """A damped slope: the exponential mean of the differences between samples, in a trend without a step in level.

    Source: Gardner, McKenzie, "Forecasting trends in time series", Management Science 31(10), 1985, with the level at
    the reading. Smoothing here: 0.03, the best on the shipped day.
    """

    SMOOTHING = 0.03

    def __init__(self, world: World) -> None:
        self._epsilon = world.epsilon
        self._reading = (0, 0)
        self._is_new = True
        self._slope = [0.0, 0.0]

    def observe(self, reading: Pair, steps: int, day_ms: int) -> None:
        """See `Node`."""
        if not self._is_new:
            for q in (0, 1):
                self._slope[q] += self.SMOOTHING * ((reading[q] - self._reading[q]) / steps - self._slope[q])
        self._reading, self._is_new = reading, False

    def content(self) -> Content:
        """See `Node`."""
        slope = [min(max(round(128 * s / e), -127), 127) for s, e in zip(self._slope, self._epsilon, strict=True)]
        return Content(self._reading, Trend(0, slope[0], 0, slope[1], DAMPED))


class Learning:
    """Ours, exactly as the node runs it (`FastLearner` is equal to the bit)."""

    def __init__(self, world: World) -> None:
        self._learner = FastLearner(*world.epsilon, world.prior)
        self._reading = (0, 0)

    def observe(self, reading: Pair, steps: int, day_ms: int) -> None:
        """See `Node`."""
        self._reading = reading
        self._learner.observe(*reading, steps, day_ms)

    def content(self) -> Content:
        """See `Node`."""
        return Content(self._reading, self._learner.trend(0, 0))


# Mirrored learning: both ends run one model and train it on what packets carry


class Adaptive:
    """Dual prediction with normalised least mean squares: the next difference from the four before.

    A packet tells both ends the mean difference since the packet before, which fills the filter; between packets it
    goes on with its own predictions. It starts from holding.

    Source: Santini, Römer, "An adaptive strategy for quality-based data reduction in wireless sensor networks", INSS
    2006; here on differences instead of readings. Step size here: 0.03, the best on the shipped day.
    """

    ORDER, STEP = 4, 0.03

    def __init__(self, world: World) -> None:
        self._weights = [[0.0] * self.ORDER, [0.0] * self.ORDER]
        self._filled = [0.0, 0.0]  # mean difference at the last packet
        self._differences = [[0.0] * self.ORDER, [0.0] * self.ORDER]  # newest first
        self._sent = (0, 0)
        self._now: tuple[float, float] | None = None
        self._steps = 0  # since the last packet

    def advance(self, steps: int, day_ms: int) -> Pair | None:
        """See `Forecast`."""
        if self._now is None:
            return None
        self._steps += steps
        for _ in range(min(steps, 1000)):
            step_t, step_h = self._next(0), self._next(1)
            self._now = (self._now[0] + step_t, self._now[1] + step_h)
        return round(self._now[0]), round(self._now[1])

    def _next(self, q: int) -> float:
        step = sum(w * d for w, d in zip(self._weights[q], self._differences[q], strict=True))
        step = min(max(step, -1000.0), 1000.0)
        self._differences[q] = [step, *self._differences[q][:-1]]
        return step

    def receive(self, content: Content) -> Pair:
        """See `Forecast`."""
        reading = content.reading
        if self._now is not None:
            steps = max(self._steps, 1)
            for q in (0, 1):
                x = self._filled[q]
                error = self.STEP * (reading[q] - self._now[q]) / steps / (1.0 + self.ORDER * x * x)
                self._weights[q] = [w + error * x for w in self._weights[q]]
                self._filled[q] = (reading[q] - self._sent[q]) / steps
                self._differences[q] = [self._filled[q]] * self.ORDER
        self._now, self._sent, self._steps = reading, reading, 0
        return reading

    def copy(self) -> Self:
        """See `Forecast`."""
        return copy.deepcopy(self)


class Kalman:
    """Dual prediction with a Kalman filter of value and trend for each quantity, corrected by packets.

    Source: Jain, Chang, Wang, "Adaptive stream resource management using Kalman filters", SIGMOD 2004. Noise: the trend
    changes by a thousandth of the threshold a sample, a reading is wrong by a hundredth of it; best on the shipped day.
    """

    TREND, READING = 0.001, 0.01

    def __init__(self, world: World) -> None:
        self._noise = [((self.TREND * e) ** 2, (self.READING * e) ** 2) for e in world.epsilon]
        self._state: list[tuple[float, float]] | None = None  # value and trend of each quantity
        self._spread = [(r, 0.0, q) for q, r in self._noise]  # variance of value, covariance, variance of trend

    def advance(self, steps: int, day_ms: int) -> Pair | None:
        """See `Forecast`."""
        if self._state is None:
            return None
        for i, ((value, trend), (vv, vt, tt)) in enumerate(zip(self._state, self._spread, strict=True)):
            q = self._noise[i][0]
            self._state[i] = (value + steps * trend, trend)
            self._spread[i] = (vv + 2 * steps * vt + steps * steps * tt, vt + steps * tt, tt + steps * q)
        return round(self._state[0][0]), round(self._state[1][0])

    def receive(self, content: Content) -> Pair:
        """See `Forecast`."""
        reading = content.reading
        if self._state is None:
            self._state = [(float(value), 0.0) for value in reading]
            return reading
        for i, ((value, trend), (vv, vt, tt)) in enumerate(zip(self._state, self._spread, strict=True)):
            total = vv + self._noise[i][1]
            error = reading[i] - value
            self._state[i] = (value + vv / total * error, trend + vt / total * error)
            self._spread[i] = (vv - vv * vv / total, vt - vv * vt / total, tt - vt * vt / total)
        return reading

    def copy(self) -> Self:
        """See `Forecast`."""
        return copy.deepcopy(self)


@dataclass(frozen=True)
class Weights:
    """A multi-layer perceptron 12-64-32-2 with its standardisation, as `aoii lab pretrain --model mlp` makes it."""

    x_mean: NDArray[np.float64]
    x_std: NDArray[np.float64]
    y_mean: NDArray[np.float64]
    y_std: NDArray[np.float64]
    layers: tuple[tuple[NDArray[np.float64], NDArray[np.float64]], ...] = field(repr=False)


class Perceptron:
    """The older installation's MLP over the last four (temperature, humidity, time of day), trained online.

    Inputs and outputs are standardised. After every sample the window is shifted with the prediction, not the reading.
    Each packet is one step of gradient descent on half the squared standardised error at rate 0.01, output layer first,
    each layer with the weights above it already updated. Before the first sample the window holds the mean at noon.
    Ours is kinder: weights that diverge, as far from what they were made from, are put back to the first ones.

    Source: the installation that this project replaces.
    """

    RATE = 0.01
    DIVERGED = 100.0

    def __init__(self, world: World) -> None:
        if world.mlp is None:
            raise InputError("mlp has no weights to start from; make some with aoii lab pretrain --model mlp")
        self._frozen = world.mlp
        self._begin()
        self._window = np.tile([*world.mlp.y_mean, 0.5], 4)
        self._inputs = self._window
        self._activity: list[NDArray[np.float64]] = []
        self._predicted: NDArray[np.float64] = world.mlp.y_mean
        self._heard = False

    def advance(self, steps: int, day_ms: int) -> Pair | None:
        """See `Forecast`."""
        for _ in range(min(steps, 16)):
            self._predict(day_ms / 86_400_000)
        if not self._heard:
            return None
        t, h = 100.0 * self._predicted
        return round(t), round(h)

    def _begin(self) -> None:
        self._layers = [(w.copy(), b.copy()) for w, b in self._frozen.layers]

    def _predict(self, day: float) -> None:
        self._activity = [(self._window - self._frozen.x_mean) / self._frozen.x_std]
        for layer, (w, b) in enumerate(self._layers):
            out = self._activity[-1] @ w + b
            self._activity.append(np.maximum(out, 0.0) if layer < len(self._layers) - 1 else out)
        self._predicted = self._activity[-1] * self._frozen.y_std + self._frozen.y_mean
        self._window = np.concatenate([self._window[3:], self._predicted, [day]])

    def receive(self, content: Content) -> Pair:
        """See `Forecast`."""
        reading = content.reading
        self._heard = True
        target = (np.array(reading) / 100.0 - self._frozen.y_mean) / self._frozen.y_std
        slope = self._activity[-1] - target
        for layer in (2, 1, 0):
            w, b = self._layers[layer]
            below = self._activity[layer]
            w -= self.RATE * np.outer(below, slope)
            b -= self.RATE * slope
            slope = (w @ slope) * (below > 0.0)
            if not np.abs(w).max() < self.DIVERGED:
                self._begin()
                break
        return reading

    def copy(self) -> Self:
        """See `Forecast`."""
        return copy.deepcopy(self)


POLICIES = (
    Policy("periodic", Holding, ForecastReceiver, READING_BYTES, clock="every"),
    Policy("periodic_equal", Holding, ForecastReceiver, READING_BYTES, clock="equal"),
    Policy("send_on_delta", Holding, ForecastReceiver, READING_BYTES),
    Policy("dbp", Derivative, Sloped),
    Policy("damped", Damped, ForecastReceiver),
    Policy("nlms", Holding, Adaptive, READING_BYTES),
    Policy("kalman", Holding, Kalman, READING_BYTES),
    Policy("mlp", Holding, Perceptron, ASCII_BYTES, resends=False),
    Policy("trend", Learning, ForecastReceiver),
)
NAMES = tuple(policy.name for policy in POLICIES)
