"""No test sees the settings of whoever runs it: a developer's `.env` may name a database that is in use."""

import os
import subprocess
import sys
from pathlib import Path

from aoii import settings

ROOT = Path(__file__).parents[2]


def test_a_test_begins_in_an_empty_folder_with_every_setting_at_its_default() -> None:
    assert list(Path.cwd().iterdir()) == []
    assert settings.load().given == frozenset()


def test_neither_the_env_file_nor_the_environment_of_whoever_runs_the_tests_reaches_them(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MYSQL_HOST=production\nAOII_DATA_DIR=/srv/aoii\n")
    name = f"{__file__}::{test_a_test_begins_in_an_empty_folder_with_every_setting_at_its_default.__name__}"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"), name]

    ended = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"MYSQL_PORT": "3307"}, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 0, ended.stdout


def test_no_file_of_settings_gets_into_a_commit() -> None:
    ignored = (ROOT / ".gitignore").read_text().split()

    assert ignored[(at := ignored.index(".env")) : at + 3] == [".env", ".env.*", "!.env.example"]
