"""`aoii lab pretrain`: what it makes can be replayed."""

import json
from pathlib import Path

import pytest

from aoii.commands.main import main


def test_a_prior_is_made_and_used(tmp_path: Path) -> None:
    out, result = tmp_path / "prior.json", tmp_path / "out.json"

    assert main(["lab", "pretrain", "--exclude", "arm", "occupancy", "--out", str(out)]) == 0
    assert main(["lab", "replay", "--policy", "trend", "--prior", str(out), "--json", str(result)]) == 0

    assert [source["file"] for source in json.loads(out.read_text())["made_from"]] == [
        "surfrad_slv_20160101_1min.csv.gz"
    ]


def test_a_perceptron_is_made_and_used(tmp_path: Path, recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aoii.lab.mlp_weights.EPOCHS", 2)
    out = tmp_path / "mlp.json"

    assert main(["lab", "pretrain", "--model", "mlp", "--data", str(recording), "--out", str(out)]) == 0
    assert main(["lab", "replay", "--data", str(recording), "--policy", "mlp", "--mlp", str(out)]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "a.csv", "--exclude", "a"], "no recording is left to learn from"),
        (["--recordings", "nowhere"], "--exclude arm"),
        (["--model", "mlp", "--exclude", "arm", "occupancy", "--core", "x.py"], "--core writes a prior"),
    ],
)
def test_faults_are_reported_with_a_remedy(
    in_empty_folder: None, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["lab", "pretrain", *arguments]) == 2

    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("aoii lab: ")
