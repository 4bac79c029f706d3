"""A command's settings: read from the file that was named, with warnings on standard error."""

import argparse
from pathlib import Path

import pytest

from aoii.commands.configuration import configure
from aoii.settings.faults import SettingsError


def test_the_named_file_is_read_and_its_warnings_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "other.env"
    file.write_text("MQTT_PORT=1884\nMQTT_BORKER=x\n")

    values = configure(argparse.Namespace(env_file=file), "export")

    assert values.mqtt.port == 1884
    assert capsys.readouterr().err.startswith(f"aoii export: {file}: MQTT_BORKER is not a setting")


def test_wrong_settings_are_raised(tmp_path: Path) -> None:
    (tmp_path / "other.env").write_text("MQTT_PORT=fast\n")

    with pytest.raises(SettingsError, match="MQTT_PORT"):
        configure(argparse.Namespace(env_file=tmp_path / "other.env"), "export")
