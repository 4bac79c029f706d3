"""The systemd units, read by systemd's own checker: every key is known, nothing they need is missing, they are closed.

What only a booted systemd does is tried by `make systemd-guide`.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from aoii import settings
from aoii.commands import main, stations

SHIPPED = Path(__file__).parent.parent.parent / "deploy" / "systemd"
UNITS = sorted(path.name for path in (SHIPPED / "system").glob("aoii*.*") if path.is_file())
SERVICES = [name for name in UNITS if name.endswith(".service")]
BACKUP = "aoii-backup.service"
STATIONS = [name for name in SERVICES if name != BACKUP]
COMMON = Path("aoii-.service.d") / "common.conf"
COMMON_OF = {BACKUP: Path("aoii-backup.service.d") / "common.conf"}  # systemd takes the file of the longer name
EXPOSURE = 20  # of 100; what systemd calls OK begins at 50
STOP_S = 10  # what a graceful stop may take

# Every Debian that boots has it. Where nothing boots, the test set-up does not install an init system.
analyzer = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze (Debian: systemd)")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root folder with our units, the distribution's targets, and a program where ours is to be."""
    folder = tmp_path / "root"
    shutil.copytree(SHIPPED / "system", folder / "etc" / "systemd" / "system")
    targets = folder / "usr" / "lib" / "systemd" / "system"
    targets.mkdir(parents=True)
    for target in Path("/usr/lib/systemd/system").glob("*.target"):
        shutil.copy(target, targets)
    program = folder / "opt" / "aoii" / ".venv" / "bin" / "aoii"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    return folder


def analyzed(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command, *others = words
    return subprocess.run(
        ["systemd-analyze", command, f"--root={root}", *others], capture_output=True, text=True, check=False
    )


def values(unit: str, key: str) -> list[str]:
    """What a unit and the part that is common to all say for a key."""
    text = "".join((SHIPPED / "system" / name).read_text() for name in (unit, COMMON_OF.get(unit, COMMON)))
    return re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)


@analyzer
@pytest.mark.parametrize("unit", UNITS)
def test_systemd_finds_nothing_wrong_with_a_unit(root: Path, unit: str) -> None:
    found = analyzed(root, "verify", unit)

    assert (found.returncode, found.stderr) == (0, "")  # it only warns of keys that it does not know


@analyzer
@pytest.mark.parametrize(
    ("place", "wrong"), [("aoii-web.service", "MemroyMax=1G"), (str(COMMON), "ProtectSystem=strictly")]
)
def test_a_mistake_in_a_unit_is_found(root: Path, place: str, wrong: str) -> None:
    path = root / "etc" / "systemd" / "system" / place
    path.write_text(path.read_text().replace("[Service]", f"[Service]\n{wrong}"))

    found = analyzed(root, "verify", "aoii-web.service")

    assert f"{place}:" in found.stderr


@analyzer
@pytest.mark.parametrize("unit", SERVICES)
def test_a_station_can_do_little_beyond_its_work(root: Path, unit: str) -> None:
    found = analyzed(root, "security", "--offline=true", f"--threshold={EXPOSURE}", unit)

    assert found.returncode == 0, found.stdout


@analyzer
def test_an_open_unit_is_found(root: Path) -> None:
    (root / "etc" / "systemd" / "system" / COMMON).unlink()

    assert analyzed(root, "security", "--offline=true", f"--threshold={EXPOSURE}", "aoii-web.service").returncode


def test_every_station_but_the_simulated_nodes_has_its_unit() -> None:
    assert [f"aoii-{name}.service" for name, *_ in sorted(stations.STATIONS) if name != "edge"] == STATIONS


@pytest.mark.parametrize("unit", STATIONS)
def test_a_unit_starts_its_station_and_lets_it_stop_in_its_own_time(unit: str) -> None:
    (command,) = values(unit, "ExecStart")
    station = unit.removeprefix("aoii-").removesuffix(".service")
    _, *words = command.split()
    options = main.build_parser().parse_args(words)

    assert options.command == station
    assert values(unit, "Type") == ["notify"]
    assert values(unit, "TimeoutStartSec") == [
        "infinity"
    ]  # systemd 252 forgets at a daemon-reload that it was prolonged
    assert int(values(unit, "TimeoutStopSec")[0]) > STOP_S
    assert values(unit, "WantedBy") == ["aoii.target"]


@pytest.mark.parametrize("unit", STATIONS)
def test_a_unit_waits_for_nothing_that_its_station_waits_for_by_itself(unit: str) -> None:
    for key in ("After", "Wants", "Requires", "BindsTo", "Requisite"):
        assert values(unit, key) == []


@pytest.mark.parametrize("unit", STATIONS)
def test_a_unit_sees_the_secrets_of_its_own_station_only(unit: str) -> None:
    assert values(unit, "TemporaryFileSystem") == ["/etc/aoii/secrets:ro"]
    assert values(unit, "BindReadOnlyPaths") == ["-/etc/aoii/secrets/%j"]


def test_the_backup_is_no_station_and_sees_the_secrets_of_all() -> None:
    (command,) = values(BACKUP, "ExecStart")
    options = main.build_parser().parse_args(command.split()[1:])

    assert (options.command, options.keep, options.to) == ("backup", 14, None)
    assert values(BACKUP, "Type") == ["oneshot"]
    assert values(BACKUP, "User") == ["aoii"]
    assert values(BACKUP, "TemporaryFileSystem") == []
    assert "WantedBy=timers.target" in (SHIPPED / "system" / "aoii-backup.timer").read_text()


def test_the_shared_settings_are_settings_and_name_no_user_and_no_key() -> None:
    text = (SHIPPED / "aoii.env").read_text()
    names = set(re.findall(r"^(\w+)=", text, re.MULTILINE))

    assert names <= settings.BY_NAME.keys()
    assert "AOII_DATA_DIR=/var/lib/aoii\n" in text
    assert not [name for name in names if name.endswith(("_CERT", "_KEY", "_USER", "_USERNAME")) or "PASSWORD" in name]


@pytest.mark.parametrize("station", [name.removeprefix("aoii-").removesuffix(".service") for name in STATIONS])
def test_the_settings_of_a_station_keep_its_secrets_where_only_its_unit_sees_them(station: str) -> None:
    lines = (SHIPPED / f"aoii.env.{station}").read_text().splitlines()
    own = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    shared = (SHIPPED / "aoii.env").read_text()

    assert own
    assert own.keys() <= settings.BY_NAME.keys()
    assert not [name for name in own if f"{name}=" in shared]  # nothing is written twice
    secrets = [path for path in own.values() if path.startswith("/etc/")]
    assert all(path.startswith(f"/etc/aoii/secrets/{station}/") for path in secrets)
