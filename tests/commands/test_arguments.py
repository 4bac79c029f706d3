"""Argument types say what would be right; an old name runs the new command; settings come from the file named."""

import argparse
from datetime import datetime
from pathlib import Path

import pytest

from aoii.commands.arguments import begin_command, instant, keep_old_name, number, whole
from aoii.settings.faults import SettingsError


@pytest.mark.parametrize("text", ["0", "11", "1.5", "ten", "", "1_0", "٣"])
def test_a_whole_number_is_within_its_bounds(text: str) -> None:
    assert whole(1, 10)("10") == 10
    with pytest.raises(argparse.ArgumentTypeError, match="is not a whole number from 1 to 10"):
        whole(1, 10)(text)


@pytest.mark.parametrize("text", ["-0.1", "1.1", "nan", "inf", "half", "0_0.5", "٠"])
def test_a_number_is_finite_and_within_its_bounds(text: str) -> None:
    assert number(0, 1)("0.5") == 0.5
    with pytest.raises(argparse.ArgumentTypeError, match="is not a number from 0 to 1"):
        number(0, 1)(text)


def test_an_instant_is_utc_unless_it_has_an_offset() -> None:
    assert instant("2026-01-31") == datetime(2026, 1, 31)  # noqa: DTZ001 - naive UTC
    assert instant("2026-01-31T12:00:00+09:00") == datetime(2026, 1, 31, 3)  # noqa: DTZ001 - naive UTC
    with pytest.raises(argparse.ArgumentTypeError, match="is not a time such as"):
        instant("yesterday")


def test_an_old_name_takes_the_same_arguments_and_names_the_new_one(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser(prog="aoii")
    commands = parser.add_subparsers(metavar="WHAT")
    new = commands.add_parser("new", help="does it")
    new.add_argument("node")
    new.add_argument("--epoch", type=int, default=1)
    new.set_defaults(run=lambda options: options.epoch)
    keep_old_name(commands, "old", "new")

    options = parser.parse_args(["old", "7", "--epoch", "3"])

    assert (options.run(options), options.node) == (3, "7")
    assert capsys.readouterr().err == "`aoii old` is deprecated; use `aoii new`\n"
    assert "old" not in parser.format_help()


def test_the_named_file_is_read_and_its_warnings_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "other.env"
    file.write_text("MQTT_PORT=1884\nHOME_ASSISTANT=1\nMQTT_BORKER=x\nMQTT_USERNAME=u\nMQTT_PASSWORD=pa #ss\n")

    values = begin_command(argparse.Namespace(env_file=file, command="export"))

    assert values.mqtt.port == 1884
    assert values.mqtt.password == "pa #ss"  # noqa: S105 - not one
    said = [line.removeprefix(f"aoii export: {file}: ").split("; ")[0] for line in capsys.readouterr().err.splitlines()]
    assert said[0] == "MQTT_BORKER is not a setting and is ignored"
    assert sorted(said[1:]) == [
        "HOME_ASSISTANT is not a setting and is ignored",
        "MQTT_PASSWORD has a # after a blank, which is taken as part of it",
    ]


def test_wrong_settings_are_raised(tmp_path: Path) -> None:
    (tmp_path / "other.env").write_text("MQTT_PORT=fast\n")

    with pytest.raises(SettingsError, match="MQTT_PORT"):
        begin_command(argparse.Namespace(env_file=tmp_path / "other.env", command="export"))
