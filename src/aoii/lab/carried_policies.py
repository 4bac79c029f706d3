"""Policies whose last packet alone determines the estimate: holding, a line, a damped slope, and the learned trend."""

from aoii.core.forecast import DAMPED, Trend, estimate_pair
from aoii.lab.fast import FastLearner
from aoii.lab.policy import Estimator, Node, Packet, Pair, PolicySetup


class TrendEstimator(Estimator):
    """The estimate of our own nodes' packets: the reading and a trend, evaluated as `core.forecast` does."""

    def __init__(self, setup: PolicySetup) -> None:
        self._epsilon = setup.epsilon
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
    """A reading and a slope in hundredths a sample for each quantity, without an end."""

    def _estimate(self, packet: Packet, steps: int) -> Pair:
        (t, h), (slope_t, slope_h) = packet.reading, packet.slope
        return t + round(slope_t * steps), h + round(slope_h * steps)


class HoldNode(Node):
    """Sends its reading only: send-on-delta, the periodic policies, and those whose estimator does the rest."""

    def __init__(self, setup: PolicySetup) -> None:
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

    def __init__(self, setup: PolicySetup) -> None:
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

    def __init__(self, setup: PolicySetup) -> None:
        super().__init__(setup)
        self._epsilon = setup.epsilon
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

    def __init__(self, setup: PolicySetup) -> None:
        super().__init__(setup)
        self._learner = FastLearner(*setup.epsilon, setup.prior)

    def observe(self, reading: Pair, steps: int, day_ms: int) -> None:
        """See `Node`."""
        super().observe(reading, steps, day_ms)
        self._learner.observe(*reading, steps, day_ms)

    def packet(self) -> Packet:
        """See `Node`."""
        return Packet(self._reading, self._learner.trend(0, 0))
