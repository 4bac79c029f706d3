"""What is shipped: the wheel and the sdist, and the stations as they run from an installed wheel.

The wheel goes into an environment that holds the lock of the program and nothing else: with the Python that runs this,
and with the newest other one that this machine has. The locked packages are kept in build/wheels; without those, and
without a registry that pip can reach, the tests of the installed wheel are skipped and say why.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

import aoii
from servers import accepts, free_port, until

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements" / "run.txt"
WHEELS = ROOT / "build" / "wheels"
OLDEST = 11  # of Python 3


@dataclass(frozen=True)
class Built:
    wheel: Path
    sdist: Path


def build(source: Path, out: Path, *targets: str) -> None:
    """Have the locked build backend make distributions of `source`, without an environment of its own."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(out), *(word for t in targets for word in ("-t", t))],
        cwd=source, check=True, capture_output=True, timeout=60,
    )  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    out = tmp_path_factory.mktemp("dist")
    build(ROOT, out, "sdist", "wheel")
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return Built(wheel, sdist)


def contents(wheel: Path) -> dict[str, int]:
    """Every file of a wheel with its checksum."""
    with zipfile.ZipFile(wheel) as archive:
        return {info.filename: info.CRC for info in archive.infolist()}


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(built: Built) -> None:
    source = ROOT / "src"
    ours = {path.relative_to(source).as_posix() for path in (source / "aoii").rglob("*") if path.is_file()}

    shipped = contents(built.wheel)

    about = f"aoii-{aoii.__version__}.dist-info/"
    ours |= {
        f"aoii/systemd/{path.relative_to(ROOT / 'deploy/systemd').as_posix()}"
        for folder in ("system", "sysusers.d", "journald.conf.d")  # what `aoii setup --system` installs
        for path in (ROOT / "deploy/systemd" / folder).rglob("*")
        if path.is_file()
    }
    assert {name for name in shipped if not name.startswith(about)} == {n for n in ours if "__pycache__" not in n}
    assert {f"{about}METADATA", f"{about}licenses/LICENSE", f"{about}entry_points.txt"} <= shipped.keys()


@pytest.mark.parametrize(
    "wanted", [r"aoii/py\.typed", r".+/surfrad_.+\.csv\.gz", r".+/static/index\.html", r".+/static/vendor/.+\.js",
               r".+/static/messages/ko\.js", r".+/migrations/versions/v0001.+\.py", r".+/mlp\.json"]
)  # fmt: skip
def test_the_wheel_holds_what_is_no_code_of_ours_too(built: Built, wanted: str) -> None:
    assert [name for name in contents(built.wheel) if re.fullmatch(wanted, name)]


def test_the_sdist_holds_what_a_wheel_and_an_installation_are_made_from_and_nothing_else(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        parts = [Path(name).parts for name in archive.getnames()]

    assert {part[0] for part in parts} == {f"aoii-{aoii.__version__}"}
    assert {part[1] for part in parts} == {
        "src", "deploy", "pyproject.toml", "PKG-INFO", "README.md", "README.ko.md", "CHANGELOG.md", "LICENSE",
        ".env.example", ".gitignore",
    }  # fmt: skip
    assert {part[2] for part in parts if part[1] == "src"} == {"aoii"}
    assert not [part for part in parts if "__pycache__" in part or ".env" in part]


def test_the_sdist_makes_the_same_wheel(built: Built, tmp_path: Path) -> None:
    subprocess.run(["tar", "-xf", str(built.sdist), "-C", str(tmp_path)], check=True)  # Python's needs 3.11.4

    build(tmp_path / f"aoii-{aoii.__version__}", tmp_path / "again", "wheel")

    (again,) = (tmp_path / "again").iterdir()
    assert contents(again) == contents(built.wheel)


# --- the installed wheel ----------------------------------------------------------------------------------------------


def minor_of(python: Path) -> int:
    """Of a Python 3 that can make environments; -1 of anything else."""
    code = "import sys, venv; print(sys.version_info[1] if sys.version_info[0] == 3 else -1)"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    return int(done.stdout) if done.returncode == 0 else -1


def newest_other_python() -> Path | None:
    """On the path, or where pyenv keeps its versions; None when there is no other one that aoii supports."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    folders = [*map(Path, os.environ["PATH"].split(os.pathsep)), *pyenv.glob("3.*/bin")]
    found = {path for folder in folders for path in folder.glob("python3.*") if path.name[len("python3.") :].isdigit()}
    for path in sorted(found, key=lambda path: (-int(path.name.removeprefix("python3.")), str(path))):
        minor = int(path.name.removeprefix("python3."))
        if minor >= OLDEST and minor != sys.version_info.minor and minor_of(path) == minor:
            return path
    return None


class Installed:
    """An environment with the locked packages and the wheel, and a folder in which its commands run."""

    def __init__(self, python: Path, folder: Path, wheel: Path) -> None:
        self.home = folder
        self.python = folder / "env" / "bin" / "python"
        self.aoii = folder / "env" / "bin" / "aoii"
        # What the developer's pip is told of places would lead out of the environment; the index and the proxy stay.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
        for name in ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_REQUIRE_VIRTUALENV"):
            kept.pop(name, None)
        self.environ = kept
        subprocess.run([python, "-m", "venv", "--without-pip", folder / "env"], check=True, timeout=60, env=kept)
        self._install_locked()
        self.pip("install", "--no-compile", "--no-index", "--no-deps", str(wheel)).check_returncode()

    def pip(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Our pip, at work in that environment."""
        return subprocess.run(
            [sys.executable, "-m", "pip", "--python", self.python, "--disable-pip-version-check", *words],
            env=self.environ, capture_output=True, text=True, check=False, timeout=500,
        )  # fmt: skip

    def run(self, *words: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self.aoii, *words], cwd=self.home, env=self.environ | settings,
            capture_output=True, text=True, check=False, timeout=240,
        )  # fmt: skip

    def _install_locked(self) -> None:
        locked = ["--only-binary", ":all:", "--require-hashes", "-r", str(LOCK)]
        kept = ["install", "--no-compile", "--no-index", "--find-links", str(WHEELS), *locked]
        if self.pip(*kept).returncode == 0:
            return
        fetched = self.pip("download", "-d", str(WHEELS), *locked)
        assert "DO NOT MATCH THE HASHES" not in fetched.stderr, fetched.stderr
        if fetched.returncode:
            said = [line for line in fetched.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"]
            pytest.skip(f"the locked packages are not in build/wheels, and pip could not fetch them: {said[0]}")
        installed = self.pip(*kept)
        assert installed.returncode == 0, installed.stderr


OTHER = newest_other_python()


@pytest.fixture(
    scope="module",
    params=[Path(sys.executable), OTHER],
    ids=[f"Python 3.{sys.version_info.minor}", OTHER.name if OTHER else "no other Python"],
)
def installed(request: pytest.FixtureRequest, built: Built, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    if request.param is None:
        pytest.skip(f"there is no Python here but 3.{sys.version_info.minor}: the wheel was tried on that one only")
    return Installed(request.param, tmp_path_factory.mktemp("installed"), built.wheel)


def test_the_wheel_asks_for_nothing_that_the_lock_lacks(installed: Installed) -> None:
    done = installed.pip("check")

    assert done.returncode == 0, done.stdout


def test_the_command_is_there_and_says_its_version(installed: Installed) -> None:
    done = installed.run("--version")

    assert (done.returncode, done.stdout.split()) == (0, ["aoii", aoii.__version__])


def test_the_lab_explains_itself_without_its_extra_packages(installed: Installed) -> None:
    for words in (["lab"], ["lab", "replay"]):
        done = installed.run(*words, "--help")

        assert (done.returncode, done.stderr) == (0, "")
        assert f"usage: aoii {' '.join(words)}" in done.stdout


def test_the_lab_says_how_to_install_what_a_wheel_lacks(installed: Installed) -> None:
    done = installed.run("lab", "replay")

    assert done.returncode == 2
    assert f"`{installed.python} -m pip install 'matplotlib>=" in done.stderr
    assert all(f"'{name}>=" in done.stderr for name in ("numpy", "scikit-learn"))
    assert "scripts/" not in done.stderr


def test_recordings_are_converted_without_the_extra_packages_of_the_lab(installed: Installed) -> None:
    (installed.home / "r.csv").write_text("timestamp,temperature,humidity\n1767225600,20,50\n1767225660,20,50\n")

    done = installed.run("lab", "convert", "r.csv", "--out", "plain.csv")

    assert done.returncode == 0, done.stderr
    assert "2026-01-01T00:01:00Z" in (installed.home / "plain.csv").read_text()


def test_help_names_no_file_that_only_a_clone_has(installed: Installed) -> None:
    for words in ([], ["demo"], ["lab", "replay"]):
        printed = " ".join(installed.run(*words, "--help").stdout.split())

        assert "docs/" in printed
        assert len(re.findall(r"docs/", printed)) == len(re.findall(r"https://\S+, docs/", printed)), printed


def test_a_board_gets_its_files(installed: Installed) -> None:
    done = installed.run("board", "node", "--node", "7", "--keys", "keys", "--out", "board")

    assert done.returncode == 0, done.stderr
    assert (installed.home / "board" / "main.py").exists()
    assert (installed.home / "keys").exists()


def test_setup_installs_the_units_with_the_program_that_runs_it(installed: Installed) -> None:
    root = installed.home / "root"
    (installed.home / "answers.toml").write_text('role = "server"\n')
    words = ("setup", "--yes", "--answers", "answers.toml", "--no-test", "--system", "--root", str(root))

    done = installed.run(*words)

    assert done.returncode == 0, done.stdout + done.stderr
    unit = (root / "etc/systemd/system/aoii-server.service").read_text()
    assert f"ExecStart={installed.aoii} --env-file /etc/aoii/aoii.env server\n" in unit
    assert (root / "etc/aoii/aoii.env.server").exists()


def test_the_page_is_served_and_the_station_stops_when_it_is_told(installed: Installed) -> None:
    port = free_port()
    settings = {"PORT": str(port), "AOII_DATA_DIR": str(installed.home / "data"), "MQTT_BROKER": "127.0.0.1",
                "MQTT_PORT": str(free_port())}  # fmt: skip
    installed.run("migrate", **settings).check_returncode()
    with (installed.home / "web.log").open("w") as log:
        station = subprocess.Popen(
            [installed.aoii, "web"], cwd=installed.home, env=installed.environ | settings, stdout=log, stderr=log
        )
    try:
        until(lambda: accepts(port) or station.poll() is not None, 30, "the page")
        pages = {}
        for path in ("/", "/static/app.js", "/static/vendor/uPlot.iife.min.js", "/api/stats"):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                pages[path] = answer.read()
        station.send_signal(signal.SIGTERM)
        code = station.wait(10)
    finally:
        station.kill()

    assert code == 0, (installed.home / "web.log").read_text()
    assert b"<html" in pages["/"]
    assert json.loads(pages["/api/stats"])["total"] == 0


def test_the_demo_stores_what_its_gateway_accepts(installed: Installed) -> None:
    words = ("demo", "--headless", "--duration", "4", "--speed", "600", "--json", "out.json")

    done = installed.run(*words, PORT=str(free_port()))

    assert done.returncode == 0, done.stdout + done.stderr
    numbers = json.loads((installed.home / "out.json").read_text())
    assert numbers["accepted"] > 0
    assert (numbers["missing"], numbers["duplicates"]) == (0, 0)
