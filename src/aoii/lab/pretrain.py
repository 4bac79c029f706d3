"""What a policy knows before it has measured anything: the prior of `trend`, and the weights of `mlp`.

Both come from recordings, are written with their provenance, and are read back strictly. A prior is a ridge regression
on exactly the features and targets that the node learns from, over several paces and scales of every recording, so that
it does not know how fast or how coarse a sensor is. It treats both quantities alike.
"""

import hashlib
import json
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aoii.core import prior
from aoii.core.errors import InputError
from aoii.core.learner import ENDS, FEATURES, OWN, WINDOWS, Learner, importance
from aoii.lab.policies import Pair, Prior, Weights
from aoii.simulation import recordings
from aoii.simulation.recordings import Series

PACES = (1, 2, 5)  # every sample, every second, every fifth
SCALES = (50, 25, 100)  # thresholds in hundredths of °C; six times as much in %RH
SHORTEST = 300  # samples; a shorter series says more about its day than about sensors
MOST_SAMPLES = 5_000  # a series counts no more than so many
MOST_MOVED = 20_000.0  # nor than so much squared movement, so that one stormy recording does not speak for all
RIDGE = 4_000.0

MLP_FILE = Path(__file__).parent / "mlp.json"
EPOCHS = 200


@dataclass(frozen=True)
class Source:
    """A recording whose licence allows what we ship to be made from it."""

    group: str
    file: str
    licence: str


SOURCES = (
    Source("surfrad", "surfrad_slv_20160101_1min.csv.gz", "NOAA SURFRAD, San Luis Valley; public domain"),
    Source("arm", "arm_met_1min.csv.gz", "ARM-DOE/arm-test-data; MIT"),
    Source("occupancy", "occupancy_1min.csv.gz", "UCI Occupancy Detection (Candanedo, Feldheim 2016); CC BY 4.0"),
)


def find(folders: Sequence[Path], exclude: Sequence[str]) -> list[Path]:
    """The files of `SOURCES` that no excluded group contains, from the package or the folders.

    Raises:
        InputError: One is nowhere.
    """
    found = []
    for source in SOURCES:
        if is_excluded(source.file, exclude):
            continue
        places = [recordings.SHIPPED.parent, *folders]
        path = next((place / source.file for place in places if (place / source.file).is_file()), None)
        if path is None:
            where = ", ".join(str(folder) for folder in folders)
            raise InputError(
                f"{source.file} ({source.licence}) is not in {where}; give its folder with --recordings, "
                f"other files with --data, or leave it out with --exclude {source.group}"
            )
        found.append(path)
    return found


def is_excluded(file: str, exclude: Sequence[str]) -> bool:
    """Whether a recording belongs to an excluded group: its name contains the group's."""
    return any(group.casefold() in Path(file).name.casefold() for group in exclude)


# The prior of `trend`


class _Witness(Learner):
    """Writes down what a learner would learn from, and learns nothing."""

    def __init__(self, epsilon: Pair) -> None:
        self.lessons: list[list[tuple[Sequence[float], tuple[float, float]]]] = [[] for _ in ENDS]
        super().__init__(*epsilon)

    def _adapt(self, window: int, targets: tuple[float, float]) -> None:
        begin = self._begin(window)
        self.lessons[window].append((self._features[begin : begin + FEATURES], targets))

    def _simulate(self, temperature_c: int, humidity_c: int, steps: int) -> None:
        pass


def _lessons(
    series: Series, pace: int, epsilon_t_c: int
) -> Iterator[tuple[int, NDArray[np.float64], NDArray[np.float64]]]:
    """Window, features and targets of a series at one pace and scale."""
    witness = _Witness((epsilon_t_c, 6 * epsilon_t_c))
    slot = None
    for i in range(0, len(series), pace):
        steps = 1 if slot is None else max(1, round((series.slots[i] - slot) / pace))
        slot = series.slots[i]
        at_s = series.start_unix_s + slot * series.interval_s
        witness.observe(series.temperature_c[i], series.humidity_c[i], steps, int(at_s % 86_400 * 1000))
    for window, lessons in enumerate(witness.lessons):
        yield window, np.array([x for x, _ in lessons], dtype=np.float64), np.array([y for _, y in lessons])


@dataclass
class Evidence:
    """What recordings say about the weights: the sums of a weighted least squares problem for each window."""

    squares: NDArray[np.float64] = field(default_factory=lambda: np.zeros((WINDOWS, 2 * OWN, 2 * OWN)))
    products: NDArray[np.float64] = field(default_factory=lambda: np.zeros((WINDOWS, 2 * OWN)))
    series: int = 0

    def add(self, other: "Evidence") -> None:
        """Count what another says as well."""
        self.squares += other.squares
        self.products += other.products
        self.series += other.series


def evidence(all_series: Iterable[Series]) -> Evidence:
    """What series say, at every pace and scale at which they are long enough."""
    own = list(range(2 * OWN))  # no constant and no time of day: they belong to one place
    swapped = own[OWN:] + own[:OWN]  # as the other quantity sees them
    total = Evidence()
    for series in all_series:
        for pace in PACES:
            samples = len(series) // pace
            if samples < SHORTEST:
                continue
            for epsilon_t_c in SCALES:
                share = 0.0
                for window, x, y in _lessons(series, pace, epsilon_t_c):
                    if not len(x):
                        continue
                    weighted = x * np.array([importance(row) for row in x.tolist()])[:, None]
                    if not share:
                        moved = float((weighted * x)[:, own].sum())
                        share = min(1.0, MOST_SAMPLES / samples, MOST_MOVED / max(moved, 1.0))
                        total.series += 1
                    for order, target in ((own, y[:, 0]), (swapped, y[:, 1])):
                        total.squares[window] += share * weighted[:, order].T @ x[:, order]
                        total.products[window] += share * weighted[:, order].T @ target
    return total


def fit_prior(total: Evidence) -> Prior:
    """The ridge regression, in thousandths: see `core/prior.py`.

    Raises:
        InputError: No series was long enough.
    """
    if not total.series:
        raise InputError(f"no recording has a series of {SHORTEST} samples; give longer ones")
    ridge = RIDGE * np.eye(2 * OWN)
    weights = [np.linalg.solve(a + ridge, b) for a, b in zip(total.squares, total.products, strict=True)]
    return tuple(tuple(round(prior.UNIT * float(value)) for value in row) for row in weights)


def provenance(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """What a prior was made from: name, licence where known, and hash of each file."""
    licences = {source.file: source.licence for source in SOURCES}
    return [
        {
            "file": path.name,
            "licence": licences.get(path.name, "not known to aoii"),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in paths
    ]


def prior_json(weights: Prior, made_from: list[dict[str, Any]], exclude: Sequence[str]) -> str:
    """The file that `aoii lab replay --prior` reads."""
    content = {"prior": 1, "unit": prior.UNIT, "excluded": list(exclude), "made_from": made_from, "weights": weights}
    return _json(content)


def prior_module(weights: Prior, made_from: list[dict[str, Any]]) -> str:
    """The source of `core/prior.py`, which a board can load."""
    lines = [
        '"""What a node believes before it has measured anything: a ridge regression over recordings.',
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


def load_prior(path: Path) -> Prior:
    """A prior that `aoii lab pretrain` wrote.

    Raises:
        InputError: It cannot be read or is none.
    """
    remedy = "make one with aoii lab pretrain --out FILE"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        weights = tuple(tuple(row) for row in content["weights"])
        unit = content["unit"]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error}); {remedy}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: is not a prior ({error!r}); {remedy}") from error
    sound = len(weights) == WINDOWS and all(
        len(row) == 2 * OWN and all(isinstance(value, int) and abs(value) < 2**15 for value in row) for row in weights
    )
    if not sound or unit != prior.UNIT:
        raise InputError(f"{path}: is not a prior for this learner, {WINDOWS} rows of {2 * OWN} thousandths; {remedy}")
    return weights


NO_PRIOR: Prior = ((0,) * (2 * OWN),) * WINDOWS


# The perceptron


def fit_mlp(all_series: Sequence[Series], seed: int = 0) -> Weights:
    """Train the reference MLP offline: from the last four readings and times to the next reading.

    Raises:
        InputError: No series has five samples without a gap.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    inputs: list[list[float]] = []
    targets: list[list[float]] = []
    for series in all_series:
        rows = [
            (t / 100, h / 100, (series.start_unix_s + slot * series.interval_s) % 86_400 / 86_400)
            for t, h, slot in zip(series.temperature_c, series.humidity_c, series.slots, strict=True)
        ]
        for i in range(4, len(rows)):
            if series.slots[i] - series.slots[i - 4] == 4:
                inputs.append([value for row in rows[i - 4 : i] for value in row])
                targets.append(list(rows[i][:2]))
    if not inputs:
        raise InputError("no recording has five samples without a gap; give longer ones")
    x, y = np.array(inputs), np.array(targets)
    x_mean, x_std, y_mean, y_std = x.mean(axis=0), x.std(axis=0) + 1e-6, y.mean(axis=0), y.std(axis=0) + 1e-6
    model = MLPRegressor(hidden_layer_sizes=(64, 32), max_iter=EPOCHS, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit((x - x_mean) / x_std, (y - y_mean) / y_std)
    layers = tuple(
        (np.array(w, dtype=np.float64), np.array(b, dtype=np.float64))
        for w, b in zip(model.coefs_, model.intercepts_, strict=True)
    )
    return Weights(x_mean, x_std, y_mean, y_std, layers)


def mlp_json(weights: Weights, made_from: list[dict[str, Any]]) -> str:
    """The file that `aoii lab replay --mlp` reads; five significant figures."""

    def figures(array: NDArray[np.float64]) -> list[float]:
        return [float(f"{value:.5g}") for value in array.ravel()]

    content = {
        "mlp": 1,
        "made_from": made_from,
        **{name: figures(getattr(weights, name)) for name in ("x_mean", "x_std", "y_mean", "y_std")},
        "layers": [{"shape": w.shape, "weights": figures(w), "biases": figures(b)} for w, b in weights.layers],
    }
    return _json(content)


def _json(content: dict[str, Any]) -> str:
    """Indented, but rows of numbers on one line."""
    return re.sub(r"(?<=[\d\[,])\n\s+(?=[-\d\]])", " ", json.dumps(content, indent=1)) + "\n"


def load_mlp(path: Path = MLP_FILE) -> Weights:
    """Weights that `aoii lab pretrain --model mlp` wrote; those that are shipped by default.

    Raises:
        InputError: They cannot be read or are none.
    """
    remedy = "make some with aoii lab pretrain --model mlp --out FILE"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        scales = [np.array(content[name], dtype=np.float64) for name in ("x_mean", "x_std", "y_mean", "y_std")]
        layers = tuple(
            (
                np.array(one["weights"], dtype=np.float64).reshape(one["shape"]),
                np.array(one["biases"], dtype=np.float64),
            )
            for one in content["layers"]
        )
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error}); {remedy}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: holds no weights ({error!r}); {remedy}") from error
    if not all(np.isfinite(part).all() for part in (*scales, *(part for layer in layers for part in layer))):
        raise InputError(f"{path}: holds numbers that are not finite; {remedy}")
    shapes = [w.shape for w, _ in layers] + [b.shape for _, b in layers] + [scale.shape for scale in scales]
    if shapes != [(12, 64), (64, 32), (32, 2), (64,), (32,), (2,), (12,), (12,), (2,), (2,)]:
        raise InputError(f"{path}: is not a perceptron 12-64-32-2; {remedy}")
    return Weights(scales[0], scales[1], scales[2], scales[3], layers)
