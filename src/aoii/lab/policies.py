"""The policies that are compared, in the order of every table.

There are two families. With `TrendEstimator` and `LineEstimator` the last packet alone determines the estimate. The
other estimators are mirrored: both ends train one model on the packets, so a packet that only one end has makes the two
models differ.
"""

import numpy as np
from numpy.typing import NDArray

from aoii.core.errors import InputError
from aoii.core.forecast import DAMPED, Trend, estimate_pair
from aoii.lab.fast import FastLearner
from aoii.lab.policy import Estimator, Node, Options, Packet, Pair, Policy

READING_BYTES = 28  # a version 1 frame of docs/reference/wire-format.md without its four bytes of trend
ASCII_BYTES = 22  # mean in the log mlp0.5 of payloads like "4294967295,-10.25,100.00", of the old firmware


class TrendEstimator(Estimator):
    """The reading and a trend, evaluated by `core/forecast.py`, as a gateway does for our own nodes."""

    def __init__(self, options: Options) -> None:
        self._epsilon = options.epsilon
        self._packet: Packet | None = None
        self._steps = 0

    def advance(self, steps: int, day_ms: int) -> Pair | None:
        """See `Estimator`."""
        self._steps += steps
        return None if self._packet is None else self._estimate(self._packet, self._steps)

    def receive(self, packet: Packet) -> Pair:
        """See `Estimator`."""
        self._packet, self._steps = packet, 0
        return self._estimate(packet, 0)

    def _estimate(self, packet: Packet, steps: int) -> Pair:
        return estimate_pair(*packet.reading, packet.trend, *self._epsilon, steps)


class LineEstimator(TrendEstimator):
    """The reading and a slope for each quantity, which goes on without end."""

    def _estimate(self, packet: Packet, steps: int) -> Pair:
        (t, h), (slope_t, slope_h) = packet.reading, packet.slope
        return t + round(slope_t * steps), h + round(slope_h * steps)


class NlmsEstimator(Estimator):
    """Dual prediction with normalised least mean squares: the next difference from the last four.

    A packet gives both ends the mean difference since the packet before, which fills the filter. Between packets the
    filter continues with its own predictions. It starts by holding the reading.

    Source: Santini, Römer, "An adaptive strategy for quality-based data reduction in wireless sensor networks", INSS
    2006; here on differences instead of readings. Step size here: 0.03, the best on the shipped day.
    """

    ORDER, STEP = 4, 0.03

    def __init__(self, options: Options) -> None:
        self._weights = [[0.0] * self.ORDER, [0.0] * self.ORDER]
        self._mean_difference = [0.0, 0.0]  # at the last packet
        self._differences = [[0.0] * self.ORDER, [0.0] * self.ORDER]  # newest first
        self._sent = (0, 0)
        self._now: tuple[float, float] | None = None
        self._steps = 0  # since the last packet

    def advance(self, steps: int, day_ms: int) -> Pair | None:
        """See `Estimator`."""
        if self._now is None:
            return None
        self._steps += steps
        for _ in range(min(steps, 1000)):  # a limit to the work of one long gap
            step_t, step_h = self._next_difference(0), self._next_difference(1)
            self._now = (self._now[0] + step_t, self._now[1] + step_h)
        return round(self._now[0]), round(self._now[1])

    def _next_difference(self, q: int) -> float:
        step = sum(w * d for w, d in zip(self._weights[q], self._differences[q], strict=True))
        step = min(max(step, -1000.0), 1000.0)  # so that a filter that diverges stays finite
        self._differences[q] = [step, *self._differences[q][:-1]]
        return step

    def receive(self, packet: Packet) -> Pair:
        """See `Estimator`."""
        reading = packet.reading
        if self._now is not None:
            steps = max(self._steps, 1)
            for q in (0, 1):
                x = self._mean_difference[q]
                error = self.STEP * (reading[q] - self._now[q]) / steps / (1.0 + self.ORDER * x * x)
                self._weights[q] = [w + error * x for w in self._weights[q]]
                self._mean_difference[q] = (reading[q] - self._sent[q]) / steps
                self._differences[q] = [self._mean_difference[q]] * self.ORDER
        self._now, self._sent, self._steps = reading, reading, 0
        return reading


class KalmanEstimator(Estimator):
    """Dual prediction with a Kalman filter of value and slope for each quantity, corrected by packets.

    Source: Jain, Chang, Wang, "Adaptive stream resource management using Kalman filters", SIGMOD 2004. Noise: in each
    sample the slope changes by a thousandth of the threshold; a reading is off by a hundredth of it. These are the best
    on the shipped day.
    """

    SLOPE, READING = 0.001, 0.01

    def __init__(self, options: Options) -> None:
        # variances of each quantity: of the slope's change in a sample, and of a reading
        self._noise = [((self.SLOPE * e) ** 2, (self.READING * e) ** 2) for e in options.epsilon]
        self._state: list[tuple[float, float]] | None = None  # value and slope of each quantity
        # variance of value, covariance, variance of slope
        self._spread = [(of_reading, 0.0, of_slope) for of_slope, of_reading in self._noise]

    def advance(self, steps: int, day_ms: int) -> Pair | None:
        """See `Estimator`."""
        if self._state is None:
            return None
        for i, ((value, slope), (vv, vs, ss)) in enumerate(zip(self._state, self._spread, strict=True)):
            of_slope = self._noise[i][0]
            self._state[i] = (value + steps * slope, slope)
            self._spread[i] = (vv + 2 * steps * vs + steps * steps * ss, vs + steps * ss, ss + steps * of_slope)
        return round(self._state[0][0]), round(self._state[1][0])

    def receive(self, packet: Packet) -> Pair:
        """See `Estimator`."""
        reading = packet.reading
        if self._state is None:
            self._state = [(float(value), 0.0) for value in reading]
            return reading
        for i, ((value, slope), (vv, vs, ss)) in enumerate(zip(self._state, self._spread, strict=True)):
            total = vv + self._noise[i][1]
            error = reading[i] - value
            self._state[i] = (value + vv / total * error, slope + vs / total * error)
            self._spread[i] = (vv - vv * vv / total, vs - vv * vs / total, ss - vs * vs / total)
        return reading


class MlpEstimator(Estimator):
    """The older installation's MLP over the last four (temperature, humidity, time of day), trained online.

    Inputs and outputs are standardised. After every sample the window is shifted with the prediction, not the reading.
    Each packet is one step of gradient descent on half the squared standardised error at rate 0.01, output layer first,
    each layer with the weights above it already updated. Before the first sample the window holds the mean at noon.
    One difference is in its favour: weights that diverge are replaced by the first ones.

    Source: the installation that this project replaces.
    """

    RATE = 0.01
    DIVERGED = 100.0

    def __init__(self, options: Options) -> None:
        if options.mlp is None:
            raise InputError("mlp has no weights to start from", "make some with aoii lab pretrain --model mlp")
        self._first = options.mlp
        self._reset()
        self._window = np.tile([*options.mlp.y_mean, 0.5], 4)
        self._activity: list[NDArray[np.float64]] = []  # the standardised input, then the output of each layer
        self._predicted: NDArray[np.float64] = options.mlp.y_mean
        self._has_packet = False

    def advance(self, steps: int, day_ms: int) -> Pair | None:
        """See `Estimator`."""
        for _ in range(min(steps, 16)):  # a limit to the work of one long gap
            self._predict(day_ms / 86_400_000)
        if not self._has_packet:
            return None
        t, h = 100.0 * self._predicted
        return round(t), round(h)

    def _reset(self) -> None:
        self._layers = [(w.copy(), b.copy()) for w, b in self._first.layers]

    def _predict(self, day: float) -> None:
        self._activity = [(self._window - self._first.x_mean) / self._first.x_std]
        for layer, (w, b) in enumerate(self._layers):
            out = self._activity[-1] @ w + b
            self._activity.append(np.maximum(out, 0.0) if layer < len(self._layers) - 1 else out)
        self._predicted = self._activity[-1] * self._first.y_std + self._first.y_mean
        self._window = np.concatenate([self._window[3:], self._predicted, [day]])

    def receive(self, packet: Packet) -> Pair:
        """See `Estimator`."""
        self._has_packet = True
        target = (np.array(packet.reading) / 100.0 - self._first.y_mean) / self._first.y_std
        slope = self._activity[-1] - target
        for layer in (2, 1, 0):
            w, b = self._layers[layer]
            below = self._activity[layer]
            w -= self.RATE * np.outer(below, slope)
            b -= self.RATE * slope
            slope = (w @ slope) * (below > 0.0)
            if not np.abs(w).max() < self.DIVERGED:
                self._reset()
                break
        return packet.reading


class HoldNode(Node):
    """Sends its reading only: for send-on-delta, the periodic policies, and those whose estimator predicts alone."""

    def __init__(self, options: Options) -> None:
        self._reading = (0, 0)

    def observe(self, reading: Pair, steps: int, day_ms: int) -> None:
        """See `Node`."""
        self._reading = reading

    def packet(self) -> Packet:
        """See `Node`."""
        return Packet(self._reading)


class DbpNode(Node):
    """Derivative-based prediction: the line through the means of the first and of the last readings of a window.

    Source: Raza, Camerra, Murphy, Palpanas, Picco, "Practical data prediction for real-world wireless sensor networks",
    IEEE TKDE 27(8), 2015. Window and edges here: 20 and 5 samples, within two packets of the best on the shipped day.
    """

    WINDOW, EDGE = 20, 5

    def __init__(self, options: Options) -> None:
        self._past: list[Pair] = []

    def observe(self, reading: Pair, steps: int, day_ms: int) -> None:
        """See `Node`."""
        self._past = [*self._past[1 - self.WINDOW :], reading] if steps == 1 else [reading]

    def packet(self) -> Packet:
        """See `Node`."""
        past = self._past
        if len(past) < self.WINDOW:
            return Packet(past[-1])
        apart = self.EDGE * (self.WINDOW - self.EDGE)
        first, last = past[: self.EDGE], past[-self.EDGE :]
        slope_t, slope_h = ((sum(r[q] for r in last) - sum(r[q] for r in first)) / apart for q in (0, 1))
        return Packet(past[-1], slope=(slope_t, slope_h))


class DampedNode(HoldNode):
    """A damped slope: the exponential mean of the differences between samples, in a trend without a step in level.

    Source: Gardner, McKenzie, "Forecasting trends in time series", Management Science 31(10), 1985, with the level at
    the reading. Smoothing here: 0.03, the best on the shipped day.
    """

    SMOOTHING = 0.03

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._epsilon = options.epsilon
        self._is_new = True
        self._slope = [0.0, 0.0]

    def observe(self, reading: Pair, steps: int, day_ms: int) -> None:
        """See `Node`."""
        if not self._is_new:
            for q in (0, 1):
                self._slope[q] += self.SMOOTHING * ((reading[q] - self._reading[q]) / steps - self._slope[q])
        self._reading, self._is_new = reading, False

    def packet(self) -> Packet:
        """See `Node`."""
        slope = [min(max(round(128 * s / e), -127), 127) for s, e in zip(self._slope, self._epsilon, strict=True)]
        return Packet(self._reading, Trend(0, slope[0], 0, slope[1], DAMPED))


class TrendNode(HoldNode):
    """Ours, exactly as the node runs it: `FastLearner` equals the board's learner to the bit."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._learner = FastLearner(*options.epsilon, options.prior)

    def observe(self, reading: Pair, steps: int, day_ms: int) -> None:
        """See `Node`."""
        super().observe(reading, steps, day_ms)
        self._learner.observe(*reading, steps, day_ms)

    def packet(self) -> Packet:
        """See `Node`."""
        return Packet(self._reading, self._learner.trend(0, 0))


POLICIES = (
    Policy("periodic", HoldNode, TrendEstimator, READING_BYTES, clock="every"),
    Policy("periodic_equal", HoldNode, TrendEstimator, READING_BYTES, clock="equal"),
    Policy("send_on_delta", HoldNode, TrendEstimator, READING_BYTES),
    Policy("dbp", DbpNode, LineEstimator),
    Policy("damped", DampedNode, TrendEstimator),
    Policy("nlms", HoldNode, NlmsEstimator, READING_BYTES),
    Policy("kalman", HoldNode, KalmanEstimator, READING_BYTES),
    Policy("mlp", HoldNode, MlpEstimator, ASCII_BYTES, resends=False),
    Policy("trend", TrendNode, TrendEstimator),
)
BY_NAME = {policy.name: policy for policy in POLICIES}
