"""The command line: help that teaches, errors that say what to do, and no station imported before its time."""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aoii import __version__, settings
from aoii.commands import main


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "aoii.cli", *arguments], cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main(["--version"])

    assert ended.value.code == 0
    assert capsys.readouterr().out == f"aoii {__version__}\n"


@pytest.mark.parametrize("station", ["edge", "gateway", "server", "csv", "edgelog", "web", "demo", "export"])
def test_every_wrong_setting_is_reported_at_once_with_its_remedy(station: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MQTT_PORT=fast\nBETA_TEMP=hot\n")

    result = run(station, cwd=tmp_path)

    assert result.returncode == 2
    assert 'MQTT_PORT is "fast"; use a whole number' in result.stderr
    assert 'BETA_TEMP is "hot"; use a number' in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["demo", "--nodes", "0"], "'0' is not a whole number from 1 to 1000"),
        (["demo", "--loss", "nan"], '"nan"; use a probability from 0 to 1'),
        (["demo", "--duration", "-1"], "not a number from"),
        (["demo", "--recording", "nothing.csv"], "nothing.csv: cannot be read"),
        (["export", "--start", "yesterday"], "is not a time such as"),
        (["export", "--format", "parquet"], "give --out FILE"),
        (["keys", "add", "x"], "'x' is not a whole number from 0 to 65535"),
        (["nonsense"], "invalid choice"),
        ([], "required"),
    ],
)
def test_a_wrong_command_line_says_what_is_wrong(arguments: list[str], said: str, tmp_path: Path) -> None:
    result = run(*arguments, cwd=tmp_path)

    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def options_of(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from options_of(below)
        else:
            yield action


def test_no_option_takes_an_empty_path() -> None:
    """It would be the working directory."""
    assert [option.dest for option in options_of(main.build_parser()) if option.type is Path] == []


def test_an_export_without_a_database_writes_nothing(tmp_path: Path) -> None:
    result = run("export", cwd=tmp_path)

    assert result.returncode == 2
    assert result.stdout == ""
    assert "start `aoii server`" in result.stderr


def test_a_reader_that_has_had_enough_gets_no_traceback(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        command = [sys.executable, "-m", "aoii.cli", "node", "list"]
        ended = subprocess.run(
            command, cwd=tmp_path, stdout=closed, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )

    assert ended.returncode == 1
    assert ended.stderr == ""


def test_help_imports_no_station(tmp_path: Path) -> None:
    code = "import sys; from aoii.commands import main; main.build_parser(); print([m for m in sys.modules if m in "
    code += "('paho.mqtt.client', 'sqlalchemy', 'serial', 'starlette', 'numpy', 'pyarrow', 'rich')])"

    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "[]"


def test_the_lab_without_its_libraries_says_how_to_install_them(tmp_path: Path) -> None:
    without = "import sys; sys.modules['numpy'] = None; from aoii.cli import main; sys.exit(main(['lab', 'replay']))"

    result = subprocess.run(
        [sys.executable, "-c", without], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )

    assert result.returncode == 2
    assert result.stderr == "aoii lab: numpy is not installed; `scripts/set-up test` installs what the lab needs\n"


@pytest.mark.parametrize(
    ("arguments", "uses"),
    [
        (["node", "list"], ["gateway/node_keys"]),
        (["migrate"], ["server/aoii.db"]),
        (["export"], ["server/aoii.db"]),
        (["dlq", "list"], ["server/dead_letters.db", "gateway/outbox.db"]),
        (["dlq", "list", "--store", "gateway"], ["gateway/outbox.db"]),
    ],
)
def test_a_command_uses_the_settings_of_the_station_whose_files_it_reads(
    arguments: list[str],
    uses: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("aoii.runtime.logs.configure", lambda *_, **__: None)
    for station in settings.STATIONS:
        (tmp_path / f".env.{station}").write_text(f"AOII_DATA_DIR={station}\n")

    main.main(arguments)

    said = "".join(capsys.readouterr())
    assert [path for path in uses if path not in said] == []
    assert "data/" not in said
