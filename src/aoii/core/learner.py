"""The learner: predicts the next 16 samples, learns from each sample, and fits the trend of a packet.

Both quantities are predicted by recursive least squares from the same features, in units of their thresholds, so that
one prior fits all sensors. Two gateways are simulated, one with our trends and one that holds the last reading; when
holding costs fewer packets, the trend is HOLD. When to send is decided by `trigger`; `forecast` defines what a trend
means.

It runs for years: readings are integers, features and targets are bounded, nothing is forgotten while the covariance is
large, and a window starts fresh when rounding has spoilt its covariance. State is single precision, as on the board.

Source: docs/explanation/learning.md, which has the equations that are named here.
"""

import math
import struct
from array import array

from . import prior
from .forecast import DAMPED, HOLD, Trend, estimate_pair

LAGS = (1, 2, 3, 5)  # eq. 1: differences to the readings this many samples ago
MEANS = (0.5, 0.25, 0.1, 0.03, 0.01)  # eq. 1: differences to exponential means with these weights
OWN = len(LAGS) + len(MEANS)  # features of one quantity
FEATURES = 2 * OWN + 3  # of both quantities, with a constant and the time of day as sine and cosine
LIMIT = 32.0  # bound of a feature, thresholds

ENDS = (1, 2, 4, 8, 16)  # eq. 2: last samples of the windows 1, 2, 3-4, 5-8 and 9-16 samples ahead
SPANS = (1, 1, 2, 4, 8)  # their lengths, samples
WINDOWS = len(ENDS)
REACH = ENDS[-1]
CLIP = 8.0  # eq. 2: bound of a target, thresholds

FORGET = 0.998  # eq. 3: half of the weight is in the last 350 samples
START = 0.03  # eq. 3: initial diagonal of the covariance
STOP = 50.0 * FEATURES  # eq. 3: nothing is forgotten while the trace is larger
BROKEN = 1e30  # eq. 3: a product this large is spoilt by rounding
PACKED = FEATURES * (FEATURES + 1) // 2  # size of a symmetric matrix, row by row up to its diagonal

HORIZON = 9  # eq. 4: samples ahead that the trend is fitted to
LEVEL_LIMIT = 0.95  # eq. 4: largest distance of the level from the reading, thresholds
LEVEL_STEPS = 15  # eq. 4: the same as a packet carries it, sixteenths of a threshold
GROWTH = tuple([(1.0 - 0.98**k) / 0.02 for k in range(1, HORIZON + 1)])  # eq. 4: course of the damped trend
SUM_G = sum(GROWTH)
SUM_GG = sum([g * g for g in GROWTH])

PACE = 0.03  # eq. 4: weight of the newest step in the momentum
JERK = 0.2  # eq. 4: bound of a step, thresholds
MIX = 0.3  # eq. 4: share of the momentum in the slope

GAIN_STEP = 0.05  # eq. 5
GAIN_LOW, GAIN_HIGH = 0.3, 1.5
DISCOUNT = 0.98  # eq. 6: half of the weight is in the last 35 packets; a discount by time would fail slow sensors
HANDICAP = 6.0  # eq. 6: packets that our trends are given in advance

DAY_MS = 86_400_000
FORMAT = 1
HEADER = "<BHHBBHbbbbBiiii"  # format, thresholds, _at, _seen, _trend_steps, _trend, _trend_reading, _hold_reading


class Learner:
    """Learns how two quantities move and makes the trend of the next packet.

    Args:
        epsilon_t_c: Threshold of the temperature, hundredths of °C, at least 1.
        epsilon_h_c: Threshold of the humidity, hundredths of %RH, at least 1.
        weights: The prior, as `prior.WEIGHTS`.
    """

    def __init__(
        self, epsilon_t_c: int, epsilon_h_c: int, weights: tuple[tuple[int, ...], ...] = prior.WEIGHTS
    ) -> None:
        self._prior = weights
        self.retune(epsilon_t_c, epsilon_h_c)

    def retune(self, epsilon_t_c: int, epsilon_h_c: int) -> None:
        """Start fresh with other thresholds: all that is learned is in units of them."""
        self.epsilon_t_c = epsilon_t_c
        self.epsilon_h_c = epsilon_h_c
        self._covariance = array("f", bytes(4 * WINDOWS * PACKED))
        for window in range(WINDOWS):
            self._restart(window)
        self._weights = array("f", _unpack(self._prior))
        self._features = array("f", bytes(4 * REACH * FEATURES))  # of the last REACH samples, a ring
        self._at = 0  # index of the newest in the ring
        self._means = array("f", bytes(4 * 2 * len(MEANS)))
        self._momentum = array("f", [0.0, 0.0])  # thresholds a sample
        self._past_t = array("i", [0] * (REACH + 1))  # readings, newest first
        self._past_h = array("i", [0] * (REACH + 1))
        self._seen = 0  # samples since the last gap, up to REACH + 1
        self._trend = HOLD  # held by the simulated gateway with our trends
        self._trend_reading = (0, 0)
        self._trend_steps = 0
        self._hold_reading = (0, 0)  # last reading held by the simulated hold-only gateway
        self._costs = array("f", [0.0, HANDICAP])  # packets: with our trends, with holding
        self._gains = array("f", [1.0, 1.0])

    def observe(self, temperature_c: int, humidity_c: int, steps: int, day_ms: int | None) -> None:
        """Learn from the next valid sample.

        Args:
            temperature_c: The reading, hundredths of °C.
            humidity_c: The reading, hundredths of %RH.
            steps: Sampling intervals since the last sample, at least 1.
            day_ms: Milliseconds since midnight UTC; None while the node does not know the time.
        """
        if not self._seen:
            steps = REACH + 1  # the first sample is like one after a long gap
        self._remember(temperature_c, humidity_c, steps)
        self._learn()
        self._describe(temperature_c, humidity_c, steps, day_ms)
        self._simulate(temperature_c, humidity_c, steps)

    def trend(self, error_t_c: int = 0, error_h_c: int = 0) -> Trend:
        """The trend for the packet with the last sample; HOLD when holding costs fewer packets.

        Args:
            error_t_c: Reading minus estimate. Not used: the learner simulates a gateway that loses no packet.
            error_h_c: Likewise.
        """
        return HOLD if self._costs[1] < self._costs[0] else self._fit()

    def dump(self) -> bytes:
        """Everything, for a node that sleeps: 7 kB in the byte order of the machine."""
        own = (FORMAT, self.epsilon_t_c, self.epsilon_h_c, self._at, self._seen, min(self._trend_steps, 65535))
        head = struct.pack(HEADER, *own, *self._trend, *self._trend_reading, *self._hold_reading)
        return head + b"".join([bytes(part) for part in self._arrays()])

    def load(self, state: bytes) -> bool:
        """Continue from a `dump`; False, and nothing is changed, when it is not one or has other thresholds."""
        arrays = self._arrays()
        at = struct.calcsize(HEADER)
        if len(state) != at + 4 * sum([len(part) for part in arrays]):
            return False
        head = struct.unpack(HEADER, state[:at])
        if head[:3] != (FORMAT, self.epsilon_t_c, self.epsilon_h_c) or head[3] >= REACH or head[4] > REACH + 1:
            return False
        for value in array("f", state[at : -8 * (REACH + 1)]):  # all but the past readings, which are integers
            if not -BROKEN < value < BROKEN:
                return False
        self._at, self._seen, self._trend_steps = head[3:6]
        self._trend = Trend(*head[6:11])
        self._trend_reading = head[11:13]
        self._hold_reading = head[13:15]
        for part in arrays:
            code = "i" if part is self._past_t or part is self._past_h else "f"
            stored = array(code, state[at : at + 4 * len(part)])
            for i in range(len(part)):
                part[i] = stored[i]
            at += 4 * len(part)
        return True

    def _arrays(self) -> "list[array[float] | array[int]]":
        return [
            self._covariance,
            self._weights,
            self._features,
            self._means,
            self._momentum,
            self._costs,
            self._gains,
            self._past_t,  # the last two hold integers
            self._past_h,
        ]

    # Samples and features

    def _remember(self, temperature_c: int, humidity_c: int, steps: int) -> None:
        self._track_momentum(0, temperature_c - self._past_t[0], steps)
        self._track_momentum(1, humidity_c - self._past_h[0], steps)
        self._seen = 1 if steps > 1 else min(self._seen + 1, REACH + 1)
        for past, now in ((self._past_t, temperature_c), (self._past_h, humidity_c)):
            for i in range(REACH, 0, -1):
                past[i] = now if steps > 1 else past[i - 1]  # lags do not reach across a gap
            past[0] = now

    def _track_momentum(self, quantity: int, change_c: int, steps: int) -> None:
        """Eq. 4: update the momentum of a quantity; a long gap does not count."""
        if steps <= REACH:
            unit = steps * (self.epsilon_h_c if quantity else self.epsilon_t_c)
            self._momentum[quantity] += PACE * (_bounded(change_c / unit, JERK) - self._momentum[quantity])

    def _describe(self, temperature_c: int, humidity_c: int, steps: int, day_ms: int | None) -> None:
        """Eq. 1: put the features of this sample into the ring, in place of the oldest."""
        self._at = (self._at + 1) % REACH
        into, base = self._features, self._at * FEATURES
        for quantity in range(2):
            now = humidity_c if quantity else temperature_c
            past = self._past_h if quantity else self._past_t
            unit = self.epsilon_h_c if quantity else self.epsilon_t_c
            for lag in LAGS:
                into[base] = _bounded((now - past[lag]) / unit, LIMIT)
                base += 1
            means, first = self._means, quantity * len(MEANS)
            for i in range(len(MEANS)):
                if steps > REACH:
                    means[first + i] = now
                else:
                    for _ in range(steps):  # in a short gap: as if each sample had been this reading
                        means[first + i] += MEANS[i] * (now - means[first + i])
                into[base] = _bounded((now - means[first + i]) / unit, LIMIT)
                base += 1
        day = 0.0 if day_ms is None else 2.0 * math.pi * day_ms / DAY_MS
        into[base] = 0.1
        into[base + 1] = 0.0 if day_ms is None else 0.1 * math.sin(day)
        into[base + 2] = 0.0 if day_ms is None else 0.1 * math.cos(day)

    # Recursive least squares

    def _learn(self) -> None:
        """Update each window that is complete now, from the features at its beginning (eq. 2)."""
        for window in range(WINDOWS):
            if self._seen > ENDS[window]:
                self._adapt(window, (self._target(window, 0), self._target(window, 1)))

    def _target(self, window: int, quantity: int) -> float:
        """Eq. 2: mean of the window minus the reading before it, in thresholds."""
        past = self._past_h if quantity else self._past_t
        span = SPANS[window]
        unit = span * (self.epsilon_h_c if quantity else self.epsilon_t_c)
        return _bounded((sum(past[:span]) - span * past[ENDS[window]]) / unit, CLIP)

    def _begin(self, window: int) -> int:
        """Index in the ring of the features at the beginning of the window."""
        return (self._at + 1 - ENDS[window]) % REACH * FEATURES

    def _adapt(self, window: int, targets: tuple[float, float]) -> None:
        """Eq. 3: one step of recursive least squares, the covariance shared by both quantities."""
        first = self._begin(window)
        x = self._features[first : first + FEATURES]
        gain, trace = self._times(window, x)
        spread = 0.0
        for i in range(FEATURES):
            spread += x[i] * gain[i]
        if not (0.0 <= spread < BROKEN and 0.0 < trace < BROKEN):
            self._restart(window)
            return
        root = 1.0 / math.sqrt(spread + FORGET / importance(x))
        for i in range(FEATURES):
            gain[i] *= root
        w = self._weights
        for quantity in range(2):
            first = (2 * window + quantity) * FEATURES
            error = targets[quantity]
            for i in range(FEATURES):
                error -= w[first + i] * x[i]
            error *= root
            for i in range(FEATURES):
                w[first + i] += gain[i] * error
        self._narrow(window, gain, 1.0 / FORGET if trace < STOP else 1.0)

    def _times(self, window: int, x: "array[float]") -> tuple[list[float], float]:
        """The covariance times a vector, and its trace."""
        p = self._covariance
        product = [0.0] * FEATURES
        trace = 0.0
        k = window * PACKED
        for i in range(FEATURES):
            xi = x[i]
            row = 0.0
            for j in range(i):
                pij = p[k]
                row += pij * x[j]
                product[j] += pij * xi
                k += 1
            product[i] = row + p[k] * xi
            trace += p[k]
            k += 1
        return product, trace

    def _narrow(self, window: int, gain: list[float], grow: float) -> None:
        """Reduce the covariance by what is learned, and let it grow by what is forgotten."""
        p = self._covariance
        k = window * PACKED
        for i in range(FEATURES):
            gi = gain[i]
            for j in range(i + 1):
                p[k] = (p[k] - gi * gain[j]) * grow
                k += 1

    def _restart(self, window: int) -> None:
        """Eq. 3: set the covariance as at the start; the weights are kept."""
        p = self._covariance
        k = window * PACKED
        for i in range(FEATURES):
            for j in range(i + 1):
                p[k] = START if i == j else 0.0
                k += 1

    # From prediction to trend

    def _predict(self, quantity: int) -> list[float]:
        """Eq. 3: predicted mean of each window minus the reading, in thresholds."""
        x = self._features[self._at * FEATURES : (self._at + 1) * FEATURES]
        w = self._weights
        ahead = [0.0] * WINDOWS
        for window in range(WINDOWS):
            first = (2 * window + quantity) * FEATURES
            for i in range(FEATURES):
                ahead[window] += w[first + i] * x[i]
        return ahead

    def _fit(self) -> Trend:
        """Eq. 4: the damped trend nearest to the prediction, rounded to what a packet carries."""
        level_t, slope_t = fit_course(self._predict(0), self._momentum[0], self._gains[0], self.epsilon_t_c)
        level_h, slope_h = fit_course(self._predict(1), self._momentum[1], self._gains[1], self.epsilon_h_c)
        return Trend(level_t, slope_t, level_h, slope_h, DAMPED)

    def _simulate(self, temperature_c: int, humidity_c: int, steps: int) -> None:
        """Eq. 6: count the packets for this sample with our trends and with holding; eq. 5 where our trend fails."""
        reading = (temperature_c, humidity_c)
        epsilon = (self.epsilon_t_c, self.epsilon_h_c)
        if steps > REACH:  # packets within a long gap are unknown
            self._hold_reading = reading
            self._refit(reading)
            return
        costs = self._costs
        hold, trend = self._hold_reading, self._trend
        if abs(reading[0] - hold[0]) >= epsilon[0] or abs(reading[1] - hold[1]) >= epsilon[1]:
            costs[0] *= DISCOUNT
            costs[1] = (costs[1] + 1.0) * DISCOUNT
            self._hold_reading = reading
        self._trend_steps += steps
        estimates = estimate_pair(
            self._trend_reading[0], self._trend_reading[1], trend, epsilon[0], epsilon[1], self._trend_steps
        )
        is_wrong = False
        for quantity in range(2):
            error = reading[quantity] - estimates[quantity]
            if abs(error) >= epsilon[quantity]:
                is_wrong = True
                self._adjust_gain(quantity, error * (trend.slope_h if quantity else trend.slope_t))
        if is_wrong:
            costs[0] += 1.0
            self._refit(reading)

    def _adjust_gain(self, quantity: int, ahead: int) -> None:
        """Eq. 5: raise the gain when the reading is ahead of the trend, lower it when it is behind."""
        if ahead:
            gain = self._gains[quantity] + (GAIN_STEP if ahead > 0 else -GAIN_STEP)
            self._gains[quantity] = min(max(gain, GAIN_LOW), GAIN_HIGH)

    def _refit(self, reading: tuple[int, int]) -> None:
        """Give the simulated gateway this reading, with a new trend."""
        self._trend = self._fit()
        self._trend_reading = reading
        self._trend_steps = 0


def fit_course(ahead: list[float], momentum: float, gain: float, epsilon_c: int) -> tuple[int, int]:
    """Eq. 4: level in 1/16 and slope in 1/128 of the threshold of the damped trend nearest to a prediction.

    Args:
        ahead: Predicted mean of each window minus the reading, thresholds.
        momentum: Mean of the latest steps, thresholds a sample.
        gain: Factor of the slope.
        epsilon_c: Threshold, hundredths; the rounded level stays within it.
    """
    course = (
        ahead[0],
        ahead[1],
        ahead[1] + (ahead[2] - ahead[1]) * 2.0 / 3.0,  # between the centres 2 and 3.5
        ahead[2] + (ahead[3] - ahead[2]) / 6.0,  # 3.5 and 6.5
        ahead[2] + (ahead[3] - ahead[2]) / 2.0,
        ahead[2] + (ahead[3] - ahead[2]) * 5.0 / 6.0,
        ahead[3] + (ahead[4] - ahead[3]) / 12.0,  # 6.5 and 12.5
        ahead[3] + (ahead[4] - ahead[3]) / 4.0,
        ahead[3] + (ahead[4] - ahead[3]) * 5.0 / 12.0,
    )
    sum_y = 0.0
    sum_gy = 0.0
    for k in range(HORIZON):
        sum_y += course[k]
        sum_gy += GROWTH[k] * course[k]
    level = _bounded((SUM_GG * sum_y - SUM_G * sum_gy) / (HORIZON * SUM_GG - SUM_G * SUM_G), LEVEL_LIMIT)
    slope = (sum_gy - level * SUM_G) / SUM_GG  # the best one for this level, whether it is clipped or not
    slope += MIX * (momentum - slope)
    limit = min(LEVEL_STEPS, 16 * (epsilon_c - 1) // epsilon_c)  # so that rounding never reaches the threshold
    return int(_bounded(round(16.0 * level), limit)), int(_bounded(round(128.0 * gain * slope), 127))


def importance(x: "array[float]") -> float:
    """Eq. 3: weight of a sample; larger while readings move away from their mean over ten samples."""
    moved = max(abs(x[len(LAGS) + 2]), abs(x[OWN + len(LAGS) + 2]))
    return min(1.0, 0.1 + moved * moved)


def _bounded(value: float, limit: float) -> float:
    return min(max(value, -limit), limit)


def _unpack(weights: tuple[tuple[int, ...], ...]) -> list[float]:
    """The weights of both quantities from a prior, which has no constant and no time of day."""
    flat: list[float] = []
    for row in weights:
        own = [value / prior.UNIT for value in row[:OWN]]
        other = [value / prior.UNIT for value in row[OWN:]]
        flat += own + other + [0.0] * 3 + other + own + [0.0] * 3
    return flat
