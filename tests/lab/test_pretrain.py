"""Priors and perceptrons: made from recordings, written with their provenance, read back strictly."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aoii.core.errors import InputError
from aoii.core.learner import OWN, WINDOWS, Learner
from aoii.lab import pretrain
from aoii.simulation import recordings


@pytest.fixture(scope="module")
def day() -> pretrain.Evidence:
    return pretrain.evidence(recordings.load())


def test_a_prior_is_read_back_as_it_was_written(tmp_path: Path, day: pretrain.Evidence) -> None:
    weights = pretrain.fit_prior(day)
    made_from = pretrain.provenance([recordings.SHIPPED])
    path = tmp_path / "prior.json"
    path.write_text(pretrain.prior_json(weights, made_from, ["arm"]))

    content = json.loads(path.read_text())

    assert pretrain.load_prior(path) == weights
    assert (len(weights), {len(row) for row in weights}) == (WINDOWS, {2 * OWN})
    assert content["excluded"] == ["arm"]
    assert content["made_from"][0]["licence"].endswith("public domain")
    assert len(content["made_from"][0]["sha256"]) == 64


def test_the_module_for_the_board_holds_the_same_weights(day: pretrain.Evidence) -> None:
    weights = pretrain.fit_prior(day)
    namespace: dict[str, object] = {}

    exec(pretrain.prior_module(weights, pretrain.provenance([recordings.SHIPPED])), namespace)  # noqa: S102

    assert namespace["WEIGHTS"] == weights


def test_evidence_adds_up(day: pretrain.Evidence) -> None:
    twice = pretrain.Evidence()
    twice.add(day)
    twice.add(day)

    assert np.allclose(twice.squares, 2 * day.squares)
    assert twice.series == 2 * day.series


def test_a_prior_treats_both_quantities_alike() -> None:
    """A recording with its quantities exchanged, in thresholds, says the same."""
    from dataclasses import replace

    (series,) = recordings.load()
    t = tuple(6 * value for value in series.temperature_c)
    exchanged = replace(series, temperature_c=tuple(round(h / 6) for h in series.humidity_c), humidity_c=t)
    rounded = replace(series, humidity_c=tuple(6 * round(h / 6) for h in series.humidity_c))

    one, other = (pretrain.fit_prior(pretrain.evidence([s])) for s in (rounded, exchanged))

    assert np.allclose(one, other, atol=1)


def test_a_prior_helps_where_it_was_made(day: pretrain.Evidence) -> None:
    """Squared error of the first forecasts of a learner with the prior, and of one with none."""
    (series,) = recordings.load()
    squares = []
    for weights in (pretrain.fit_prior(day), pretrain.NO_PRIOR):
        learner, total = Learner(50, 300, weights), 0.0
        for i in range(300):
            learner.observe(series.temperature_c[i], series.humidity_c[i], 1, None)
            moved = (sum(series.temperature_c[i + 5 : i + 9]) / 4 - series.temperature_c[i]) / 50
            total += (moved - learner._predict(0)[3]) ** 2
        squares.append(total)

    assert squares[0] < squares[1]


def test_short_recordings_are_refused() -> None:
    with pytest.raises(InputError, match="300 samples"):
        pretrain.fit_prior(pretrain.Evidence())
    with pytest.raises(InputError, match="five samples"):
        pretrain.fit_mlp([])


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
def test_what_is_no_prior_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "prior.json"
    path.write_text(content)

    with pytest.raises(InputError, match="is not a prior"):
        pretrain.load_prior(path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["weights", "unit", "layers"]), inner),
    max_leaves=20,
)


@given(json_values)
def test_any_json_is_a_value_or_one_error(tmp_path_factory: pytest.TempPathFactory, content: object) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(content))

    for load in (pretrain.load_prior, pretrain.load_mlp):
        with pytest.raises(InputError):
            load(path)


def test_files_that_are_not_there_are_refused(tmp_path: Path) -> None:
    for load in (pretrain.load_prior, pretrain.load_mlp):
        with pytest.raises(InputError, match="cannot be read"):
            load(tmp_path / "none.json")


def test_a_perceptron_is_read_back_to_five_figures(tmp_path: Path) -> None:
    weights = pretrain.load_mlp()
    path = tmp_path / "mlp.json"
    path.write_text(pretrain.mlp_json(weights, []))

    again = pretrain.load_mlp(path)

    assert np.array_equal(again.x_std, weights.x_std)
    assert all(
        np.array_equal(a, b)
        for one, two in zip(again.layers, weights.layers, strict=True)
        for a, b in zip(one, two, strict=True)
    )


def test_a_perceptron_with_a_number_that_is_none_is_refused(tmp_path: Path) -> None:
    content = json.loads(pretrain.MLP_FILE.read_text())
    content["y_std"][0] = float("nan")
    path = tmp_path / "mlp.json"
    path.write_text(json.dumps(content))

    with pytest.raises(InputError, match="not finite"):
        pretrain.load_mlp(path)


def test_groups_are_excluded_by_name() -> None:
    assert pretrain.is_excluded("ARM_met_1min.csv.gz", ["arm"])
    assert not pretrain.is_excluded("surfrad.csv", ["arm", "occupancy"])
    assert pretrain.find([], ["arm", "occupancy"]) == [recordings.SHIPPED]


def test_a_source_that_is_nowhere_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"arm_met_1min\.csv\.gz .* --exclude arm"):
        pretrain.find([tmp_path], [])
