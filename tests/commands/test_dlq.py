"""The options of `aoii dlq`: which letters are meant."""

import pytest

from aoii.commands import main


@pytest.mark.parametrize("verb", ["replay", "drop"])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "needs either IDs or --all"),
        (["1", "--all"], "needs either IDs or --all"),
        (["1", "--reason", "bad_row"], "--reason goes with --all only"),
    ],
)
def test_letters_are_named_or_all_are_meant(
    verb: str, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["dlq", verb, *arguments]) == 2
    assert said in capsys.readouterr().err
