"""`aoii lab pretrain`: what it makes can be replayed."""

import json
from datetime import timedelta, timezone
from pathlib import Path

import pytest

from aoii.commands.main import main
from aoii.gateway.legacy.weights import extract_weights
from aoii.lab import mlp_weights
from aoii.lab.mlp_weights import parse_mlp
from aoii.simulation import recordings


def test_a_prior_is_made_and_used(tmp_path: Path) -> None:
    out, result = tmp_path / "prior.json", tmp_path / "out.json"

    assert main(["lab", "pretrain", "--exclude", "arm", "occupancy", "--out", str(out)]) == 0
    assert main(["lab", "replay", "--policy", "trend", "--prior", str(out), "--json", str(result)]) == 0

    assert [source["file"] for source in json.loads(out.read_text())["made_from"]] == [
        "surfrad_slv_20160101_1min.csv.gz"
    ]


def test_a_perceptron_is_made_as_json_c_and_python_and_used(
    tmp_path: Path, recording: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("aoii.lab.mlp_weights.EPOCHS", 2)
    out = tmp_path / "mlp.json"

    code = [str(tmp_path / "weights.h"), str(tmp_path / "weights.py")]
    train = ["lab", "pretrain", "--model", "mlp", "--data", str(recording), "--zone", "UTC-8"]

    assert main([*train, "--out", str(out), *code]) == 0
    said = capsys.readouterr().err
    assert main(["lab", "replay", "--data", str(recording), "--policy", "mlp", "--mlp", str(out)]) == 0
    assert "float W1[12][64]" in Path(code[0]).read_text()
    assert extract_weights(Path(code[1])).scale.x_mean == pytest.approx(parse_mlp(out).x_mean, rel=1e-4)
    zone = timezone(timedelta(hours=-8))
    series = recordings.parse(recording)
    wanted = mlp_weights.fit_mlp(series, zone)
    assert parse_mlp(out).x_mean == pytest.approx(wanted.x_mean, rel=1e-4)  # its times of day too
    assert f"aoii lab: {mlp_weights.measure(wanted, series, zone).sentence()}\n" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "a.csv", "--exclude", "a"], "no recording is left to learn from"),
        (["--recordings", "nowhere"], "--exclude arm"),
        (["--model", "mlp", "--exclude", "arm", "occupancy", "--core", "x.py"], "--core writes a prior"),
        (["--exclude", "arm", "occupancy", "--out", "x.h"], "x.h: only the weights of mlp can be written as code"),
    ],
)
def test_faults_are_reported_with_a_remedy(
    in_empty_folder: None, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["lab", "pretrain", *arguments]) == 2

    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("aoii lab: ")
