"""Fits the prior of `trend` by ridge regression over recordings, and writes and reads its file.

The regression has exactly the features and targets that the node learns from. Every recording is used at several paces
and scales, so that the prior does not depend on how fast or how coarse a sensor is. Both quantities are treated alike.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aoii.core import prior
from aoii.core.errors import InputError
from aoii.core.learner import ENDS, FEATURES, OWN, WINDOWS, Learner, importance
from aoii.lab.policy import Pair, Prior
from aoii.lab.sources import encode_json, parse_json
from aoii.simulation.recordings import Series

PACES = (1, 2, 5)  # every sample, every second, every fifth
SCALES = (50, 25, 100)  # thresholds in hundredths of °C; six times as much in %RH
SHORTEST = 300  # samples; a shorter series says more about its day than about sensors
MOST_SAMPLES = 5_000  # a longer series counts as one of this many
MOST_MOVED = 20_000.0  # squared movement; a series with more counts as this, so that no stormy one dominates
RIDGE = 4_000.0  # pulls weights to 0 with a fifth of what the most stormy recording may count
NO_PRIOR: Prior = ((0,) * (2 * OWN),) * WINDOWS

Doubles = NDArray[np.float64]


class _LessonRecorder(Learner):
    """Records the features and targets that a learner would learn from, and learns nothing."""

    def __init__(self, epsilon: Pair) -> None:
        self.lessons: list[list[tuple[Sequence[float], tuple[float, float]]]] = [[] for _ in ENDS]
        super().__init__(*epsilon)

    def _adapt(self, window: int, targets: tuple[float, float]) -> None:
        begin = self._begin(window)
        self.lessons[window].append((self._features[begin : begin + FEATURES], targets))

    def _simulate(self, temperature_c: int, humidity_c: int, steps: int) -> None:
        pass


def _lessons(series: Series, pace: int, epsilon_t_c: int) -> Iterator[tuple[int, Doubles, Doubles]]:
    """Each window with the features and targets of a series at one pace and scale."""
    recorder = _LessonRecorder((epsilon_t_c, 6 * epsilon_t_c))
    slot = None
    for i in range(0, len(series), pace):
        steps = 1 if slot is None else max(1, round((series.slots[i] - slot) / pace))
        slot = series.slots[i]
        at_s = series.start_unix_s + slot * series.interval_s
        recorder.observe(series.temperature_c[i], series.humidity_c[i], steps, int(at_s % 86_400 * 1000))
    for window, lessons in enumerate(recorder.lessons):
        yield window, np.array([x for x, _ in lessons], dtype=np.float64), np.array([y for _, y in lessons])


@dataclass
class Evidence:
    """The sums of a weighted least squares problem for each window.

    Attributes:
        squares: Features times features.
        products: Features times targets.
        series: How often a series was added, at any pace and scale.
    """

    squares: Doubles = field(default_factory=lambda: np.zeros((WINDOWS, 2 * OWN, 2 * OWN)))
    products: Doubles = field(default_factory=lambda: np.zeros((WINDOWS, 2 * OWN)))
    series: int = 0


def gather_evidence(all_series: Iterable[Series]) -> Evidence:
    """The evidence of series at every scale, and at every pace that leaves `SHORTEST` samples."""
    total = Evidence()
    for series, pace, epsilon_t_c in itertools.product(all_series, PACES, SCALES):
        if len(series) // pace >= SHORTEST:
            _add(total, series, pace, epsilon_t_c)
    return total


def _add(total: Evidence, series: Series, pace: int, epsilon_t_c: int) -> None:
    """Add a series at one pace and scale; the longer it is or the more it moves, the less each sample counts."""
    own = list(range(2 * OWN))  # without the constant and the time of day, which belong to one place
    swapped = own[OWN:] + own[:OWN]  # as the other quantity sees them
    share = 0.0  # what each sample counts, found from the first window that has any
    for window, x, y in _lessons(series, pace, epsilon_t_c):
        if not len(x):
            continue
        weighted = x * np.array([importance(row) for row in x.tolist()])[:, None]
        if not share:
            moved = float((weighted * x)[:, own].sum())
            share = min(1.0, MOST_SAMPLES / (len(series) // pace), MOST_MOVED / max(moved, 1.0))
            total.series += 1
        for order, target in ((own, y[:, 0]), (swapped, y[:, 1])):
            total.squares[window] += share * weighted[:, order].T @ x[:, order]
            total.products[window] += share * weighted[:, order].T @ target


def fit_prior(evidence: Sequence[Evidence]) -> Prior:
    """The weights of the ridge regression over all the evidence, in thousandths, as in `core/prior.py`.

    Raises:
        InputError: No series was long enough.
    """
    if not any(one.series for one in evidence):
        raise InputError(f"no recording has a series of {SHORTEST} samples", "give longer ones")
    squares = np.sum([one.squares for one in evidence], axis=0) + RIDGE * np.eye(2 * OWN)
    products = np.sum([one.products for one in evidence], axis=0)
    weights = [np.linalg.solve(a, b) for a, b in zip(squares, products, strict=True)]
    return tuple(tuple(round(prior.UNIT * float(value)) for value in row) for row in weights)


def encode_prior(weights: Prior, made_from: list[dict[str, str]], exclude: Sequence[str]) -> str:
    """The file that `aoii lab replay --prior` reads."""
    return encode_json(
        {"prior": 1, "unit": prior.UNIT, "excluded": list(exclude), "made_from": made_from, "weights": weights}
    )


def encode_module(weights: Prior, made_from: list[dict[str, str]]) -> str:
    """The source of `core/prior.py`, which a board can load."""
    lines = [
        '"""The prior: the weights that a node starts from, a ridge regression over recordings.',
        "",
        "One row for each window of `learner.ENDS`: weights of the quantity's own features, then those of the other",
        "quantity, in thousandths. Generated by `aoii lab pretrain --core FILE`; do not edit. Made from:",
        "",
    ]
    for source in made_from:
        lines += [f"- {source['file']} ({source['licence']}),", f"  SHA-256 {source['sha256']}"]
    lines += ['"""', "", f"UNIT = {prior.UNIT}", "WEIGHTS = ("]
    lines += [f"    {row}," for row in weights]
    return "\n".join([*lines, ")", ""])


def parse_prior(path: Path) -> Prior:
    """A prior that `aoii lab pretrain` wrote.

    Raises:
        InputError: The file cannot be read or is not a prior for this learner.
    """
    return parse_json(path, "a prior for this learner", "make one with aoii lab pretrain --out FILE", _weights)


def _weights(content: Any) -> Prior:
    weights = tuple(tuple(row) for row in content["weights"])
    sound = len(weights) == WINDOWS and all(
        len(row) == 2 * OWN and all(isinstance(value, int) and abs(value) < 2**15 for value in row) for row in weights
    )
    if not sound or content["unit"] != prior.UNIT:
        raise ValueError(f"not {WINDOWS} rows of {2 * OWN} thousandths")
    return weights
