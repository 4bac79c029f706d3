"""Priors: fitted to recordings, written with their provenance, read back strictly."""

import json
from pathlib import Path

import numpy as np
import pytest

from aoii.core.errors import InputError
from aoii.core.learner import OWN, WINDOWS, Learner
from aoii.lab.prior_fit import (
    NO_PRIOR,
    Evidence,
    encode_module,
    encode_prior,
    fit_prior,
    gather_evidence,
    parse_prior,
)
from aoii.lab.sources import provenance
from aoii.simulation import recordings


@pytest.fixture(scope="module")
def day() -> Evidence:
    return gather_evidence(recordings.parse())


def test_a_prior_is_read_back_as_it_was_written(tmp_path: Path, day: Evidence) -> None:
    weights = fit_prior([day])
    made_from = provenance([recordings.SHIPPED])
    path = tmp_path / "prior.json"
    path.write_text(encode_prior(weights, made_from, ["arm"]))

    content = json.loads(path.read_text())

    assert parse_prior(path) == weights
    assert (len(weights), {len(row) for row in weights}) == (WINDOWS, {2 * OWN})
    assert content["excluded"] == ["arm"]
    assert content["made_from"][0]["licence"].endswith("public domain")
    assert len(content["made_from"][0]["sha256"]) == 64


def test_the_module_for_the_board_holds_the_same_weights(day: Evidence) -> None:
    weights = fit_prior([day])
    namespace: dict[str, object] = {}

    exec(encode_module(weights, provenance([recordings.SHIPPED])), namespace)  # noqa: S102

    assert namespace["WEIGHTS"] == weights


def test_evidence_adds_up(day: Evidence) -> None:
    doubled = Evidence(2 * day.squares, 2 * day.products, 2 * day.series)

    assert fit_prior([day, day]) == fit_prior([doubled]) != fit_prior([day])


def test_a_prior_treats_both_quantities_alike() -> None:
    """A recording with its quantities exchanged, in thresholds, says the same."""
    from dataclasses import replace

    (series,) = recordings.parse()
    t = tuple(6 * value for value in series.temperature_c)
    exchanged = replace(series, temperature_c=tuple(round(h / 6) for h in series.humidity_c), humidity_c=t)
    rounded = replace(series, humidity_c=tuple(6 * round(h / 6) for h in series.humidity_c))

    one, other = (fit_prior([gather_evidence([s])]) for s in (rounded, exchanged))

    assert np.allclose(one, other, atol=1)


def test_a_prior_helps_where_it_was_made(day: Evidence) -> None:
    """Squared error of the first forecasts of a learner with the prior, and of one with none."""
    (series,) = recordings.parse()
    squares = []
    for weights in (fit_prior([day]), NO_PRIOR):
        learner, total = Learner(50, 300, weights), 0.0
        for i in range(300):
            learner.observe(series.temperature_c[i], series.humidity_c[i], 1, None)
            moved = (sum(series.temperature_c[i + 5 : i + 9]) / 4 - series.temperature_c[i]) / 50
            total += (moved - learner._predict(0)[3]) ** 2
        squares.append(total)

    assert squares[0] < squares[1]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"weights": 5, "unit": 1000}',
        '{"weights": [[1, 2]], "unit": 1000}',
        json.dumps({"weights": [[0] * 18] * 5, "unit": 7}),
        json.dumps({"weights": [[0.5] * 18] * 5, "unit": 1000}),
        json.dumps({"weights": [[99999] * 18] * 5, "unit": 1000}),
    ],
)
def test_a_file_that_is_not_a_prior_is_rejected(tmp_path: Path, content: str) -> None:
    path = tmp_path / "prior.json"
    path.write_text(content)

    with pytest.raises(InputError, match="is not a prior"):
        parse_prior(path)


def test_short_recordings_are_rejected() -> None:
    with pytest.raises(InputError, match="300 samples"):
        fit_prior([Evidence()])
