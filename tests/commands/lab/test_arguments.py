"""The arguments that the lab's commands share: old names, and numbers within bounds."""

from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path

import pytest

from aoii.commands.lab import arguments
from aoii.commands.main import main
from aoii.core.errors import InputError
from aoii.lab import POLICY_NAMES


def test_the_old_name_of_trend_is_accepted_with_a_line_on_standard_error(
    tmp_path: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = []
    for name in ("trend", "plan"):
        out = tmp_path / "out.json"
        assert main(["lab", "replay", "--data", str(recording), "--policy", name, "--json", str(out)]) == 0
        results.append((out.read_text(), capsys.readouterr().err))

    assert results[0][0] == results[1][0]
    assert results[0][1] == ""
    assert results[1][1] == "aoii lab: the policy plan is now called trend; use the new name\n"


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (arguments.threshold, "0.5", 50),
        (arguments.threshold, "655.35", 65535),
        (arguments.POSITIVE, "1e3", 1000.0),
    ],
)
def test_a_number_within_its_bounds_is_parsed(parse: Callable[[str], float], text: str, value: float) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (arguments.threshold, "0"),
        (arguments.threshold, "656"),
        (arguments.POSITIVE, "-1"),
        (arguments.POSITIVE, "nan"),
    ],
)
def test_any_other_text_is_rejected_with_the_bounds(parse: Callable[[str], float], text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="is not a number from "):
        parse(text)


def test_all_is_every_policy_and_an_unknown_one_is_named() -> None:
    assert arguments.choose_policies(["trend", "all"]) == POLICY_NAMES
    with pytest.raises(InputError, match="there is no policy best"):
        arguments.choose_policies(["trend", "best"])


@pytest.mark.parametrize(
    "words",
    [
        ["replay", "--data", ""], ["replay", "--json", ""], ["replay", "--json", "."], ["replay", "--trace", "/"],
        ["replay", "--plot", ""], ["replay", "--prior", ""], ["replay", "--mlp", ""], ["replay", "--trace-loss", ""],
        ["replay", "--seed", "1_0"], ["replay", "--seed", "٣"], ["replay", "--beta-temp", "0_1"],
        ["report", "--out", ""], ["report", "--out", "."], ["report", "--recordings", ""],
        ["pretrain", "--out", ""], ["pretrain", "--core", "."], ["pretrain", "--data", " "],
        ["airtime", "--data", ""], ["airtime", "--packets", "1_0"], ["convert", "x.csv", "--out", "."],
    ],
    ids=" ".join,
)  # fmt: skip
def test_an_odd_option_is_refused_before_anything_is_done(
    words: list[str], in_empty_folder: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["lab", *words])

    assert stop.value.code == 2
    assert f"aoii lab {words[0]}: error: argument " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ["replay", "--json", "/dev/null/x"], ["replay", "--trace", "/proc/x.csv"], ["replay", "--plot", "/dev/null"],
        ["report", "--out", "/proc/x.md"], ["pretrain", "--data", "r.csv", "--out", "/dev/null/x"],
        ["pretrain", "--data", "r.csv", "--core", "/dev/null/x"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_place_that_cannot_be_written_is_said_before_the_work(
    words: list[str], in_empty_folder: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for work in ("lab.runs.replay_all", "lab.report.write_report", "lab.prior_fit.gather_evidence"):
        monkeypatch.setattr(f"aoii.{work}", lambda *_: pytest.fail("the work has begun"))

    assert main(["lab", *words]) == 2

    error = capsys.readouterr().err
    assert "cannot be written (" in error
    assert "[Errno" not in error
