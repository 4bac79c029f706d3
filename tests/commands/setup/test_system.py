"""`aoii setup --system`: what systemd needs is installed below a folder, and its own checker finds no fault."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aoii.commands.setup import system
from commands.saved_machine import Run
from commands.setup.place import PASSWORD, Answers

DEPLOY = Path(__file__).parents[3] / "deploy" / "systemd"
analyzer = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze (Debian: systemd)")


@pytest.fixture
def root(run: Run, answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder below which everything is installed, with the program at its usual place."""
    monkeypatch.setattr(sys, "executable", "/srv/aoii/bin/python")
    folder = tmp_path / "root"
    code, out, err = install(run, answers, folder)
    assert (code, err) == (0, ""), out
    return folder


def install(run: Run, answers: Answers, root: Path) -> tuple[int, str, str]:
    return run("setup", "--yes", "--answers", answers.write(), "--system", "--root", root)


def test_settings_and_secrets_are_where_the_units_look_and_private(root: Path) -> None:
    etc = root / "etc" / "aoii"
    modes = {path.relative_to(etc).as_posix(): oct(path.stat().st_mode & 0o777) for path in etc.rglob("*")}

    assert modes == {
        "aoii.env": "0o640", "aoii.env.gateway": "0o640", "aoii.env.server": "0o640", "aoii.env.web": "0o640",
        "tls": "0o750", "secrets": "0o750",
        "secrets/gateway": "0o700", "secrets/gateway/mqtt_password": "0o600",
        "secrets/server": "0o700", "secrets/server/mqtt_password": "0o600", "secrets/server/mysql_password": "0o600",
        "secrets/web": "0o700", "secrets/web/mqtt_password": "0o600", "secrets/web/mysql_password": "0o600",
    }  # fmt: skip
    assert (etc / "secrets/server/mysql_password").read_text() == f"{PASSWORD}\n"
    assert PASSWORD not in "".join(path.read_text() for path in etc.glob("aoii.env*"))
    assert "MQTT_PASSWORD_FILE=/etc/aoii/secrets/server/mqtt_password\n" in (etc / "aoii.env.server").read_text()
    assert "NODE_KEYS_FILE=/etc/aoii/secrets/gateway/node_keys\n" in (etc / "aoii.env.gateway").read_text()
    assert "AOII_DATA_DIR=/var/lib/aoii\nLOG_FORMAT=json\n" in (etc / "aoii.env").read_text()
    assert (root / "var/lib/aoii").stat().st_mode & 0o777 == 0o700


def test_the_units_are_those_that_are_shipped_with_this_program_in_them(root: Path) -> None:
    shipped = {path.relative_to(DEPLOY / "system"): path for path in (DEPLOY / "system").rglob("*") if path.is_file()}
    installed = root / "etc" / "systemd" / "system"

    for name, path in shipped.items():
        text = path.read_text().replace("/opt/aoii/.venv/bin/aoii", "/srv/aoii/bin/aoii")
        assert (installed / name).read_text() == text
    assert {path.relative_to(installed) for path in installed.rglob("*") if path.is_file()} == shipped.keys()
    assert (root / "etc/sysusers.d/aoii.conf").read_bytes() == (DEPLOY / "sysusers.d/aoii.conf").read_bytes()
    assert re.findall(r"ExecStart=(\S+)", (installed / "aoii-web.service").read_text()) == ["/srv/aoii/bin/aoii"]


@analyzer
def test_systemd_finds_nothing_wrong_with_what_is_installed(root: Path) -> None:
    targets = root / "usr" / "lib" / "systemd" / "system"
    targets.mkdir(parents=True)
    for target in Path("/usr/lib/systemd/system").glob("*.target"):
        shutil.copy(target, targets)
    program = root / "srv" / "aoii" / "bin" / "aoii"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    units = [path.name for path in (root / "etc/systemd/system").glob("aoii*.service")]

    found = subprocess.run(
        ["systemd-analyze", "verify", f"--root={root}", *units], capture_output=True, text=True, check=False
    )

    assert (found.returncode, found.stderr) == (0, "")


def test_a_second_installation_changes_nothing_and_a_new_password_only_its_file(
    root: Path, run: Run, answers: Answers
) -> None:
    again = install(run, answers, root)
    answers["database.web.password"] = "other"

    code, out, _ = run("setup", "--yes", "--answers", answers.write(), "--system", "--root", root, "--no-test")

    assert again[0] == 0
    assert "Nothing changes" in again[1]
    assert code == 0
    changed = [line for line in out.splitlines() if line.startswith("+++")]
    assert changed == [f"+++ {root}/etc/aoii/secrets/web/mysql_password"]
    assert (root / "etc/aoii/secrets/web/mysql_password").read_text() == "other\n"
    assert "other" not in out.replace("the former", "")


def test_a_program_that_no_unit_can_read_is_refused(
    run: Run, answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/home/pi/aoii/.venv/bin/python")

    code, _, err = install(run, answers, tmp_path / "root")

    assert code == 2
    assert "/home/pi/aoii/.venv/bin/aoii is in a home directory, which units cannot read" in err
    assert not (tmp_path / "root").exists()


def test_a_root_without_system_and_a_system_without_root_are_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "is_root", lambda: False)

    assert run("setup", "--yes", "--root", tmp_path)[0] == 2
    assert "run it with sudo" in run("setup", "--yes", "--system")[2]
