"""The board's learner, ten times as fast on a host: the covariance steps of `core/learner.py` with numpy.

Every sum runs in the board's order, and every state is rounded to single precision where the board stores it. So trends
and state are equal to the board's to the bit, which a test checks. The state cannot be saved for deep sleep.
"""

import numpy as np
from numpy.typing import NDArray

from aoii.core import prior
from aoii.core.learner import BROKEN, ENDS, FEATURES, FORGET, REACH, START, STOP, WINDOWS, Learner, importance
from aoii.lab.policy import Prior

Doubles = NDArray[np.float64]


class FastLearner(Learner):
    """A `Learner` that updates all windows of a sample in one step."""

    def __init__(self, epsilon_t_c: int, epsilon_h_c: int, weights: Prior = prior.WEIGHTS) -> None:
        self._full: Doubles = np.zeros((WINDOWS, FEATURES, FEATURES))  # covariances; the board keeps one triangle
        super().__init__(epsilon_t_c, epsilon_h_c, weights)

    def dump(self) -> bytes:
        """Not available: raises NotImplementedError. Use `Learner` for a node that sleeps."""
        raise NotImplementedError

    def _restart(self, window: int) -> None:
        self._full[window] = np.float32(START) * np.eye(FEATURES)

    def _learn(self) -> None:
        ready = sum(self._seen > end for end in ENDS)
        if not ready:
            return
        slots = [self._begin(window) // FEATURES for window in range(ready)]
        rows = np.frombuffer(self._features, dtype=np.float32).reshape(REACH, FEATURES)[slots]
        x = rows.astype(np.float64)
        targets = np.array([(self._target(window, 0), self._target(window, 1)) for window in range(ready)])
        p = self._full[:ready]
        gain = np.add.reduce(p * x[:, :, None], axis=1)  # row after row, as the board adds
        spread = _in_order(np.add, x * gain)
        trace = _in_order(np.add, p.diagonal(axis1=1, axis2=2))
        sound = (spread >= 0.0) & (spread < BROKEN) & (trace > 0.0) & (trace < BROKEN)
        for window in np.flatnonzero(~sound):
            self._restart(int(window))
        root = 1.0 / np.sqrt(np.where(sound, spread, 0.0) + FORGET / np.array([importance(row) for row in x.tolist()]))
        gain *= root[:, None]
        weights = np.frombuffer(self._weights, dtype=np.float32).reshape(WINDOWS, 2, FEATURES)
        w = weights[:ready].astype(np.float64)
        error = _in_order(np.subtract, np.concatenate([targets[:, :, None], w * x[:, None, :]], axis=2))
        w += gain[:, None, :] * (error * root[:, None])[:, :, None]
        p = (p - gain[:, :, None] * gain[:, None, :]) * np.where(trace < STOP, 1.0 / FORGET, 1.0)[:, None, None]
        weights[:ready][sound] = w[sound]
        self._full[:ready][sound] = p.astype(np.float32)[sound]


def _in_order(operation: np.ufunc, terms: Doubles) -> Doubles:
    """Add or subtract along the last axis from left to right; numpy's own sum adds in pairs."""
    ordered: Doubles = operation.accumulate(terms, axis=-1)[..., -1]
    return ordered
