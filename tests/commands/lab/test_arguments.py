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
