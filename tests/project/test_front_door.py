"""The scripts behind `make`: what they make, what they refuse, and what they leave behind.

The set-up is run for real, with Python's own venv and pip, on a project that needs one small wheel from a folder. The
installer of the test servers is run for real too, in a folder that stands for the root of a Debian; apt-get is ours.
"""

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = {purpose: (ROOT / "requirements" / f"{purpose}.txt").read_text() for purpose in ("run", "test")}

BACKEND = """\
import base64, hashlib, pathlib, zipfile

def build_editable(folder, config=None, metadata=None):
    name = "small_project-1.0-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder) / name, "w") as wheel:
        info = "small_project-1.0.dist-info/"
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: small-project\\nVersion: 1.0\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("small_project.py", "")
        wheel.writestr(info + "RECORD", "")
    return name
"""


def wheel(folder: Path, name: str) -> str:
    """Write a wheel of version 1.0 that holds one empty module; its SHA-256."""
    files = {
        f"{name}.py": "",
        f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{name}-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text)}\n"
    files[f"{name}-1.0.dist-info/RECORD"] = f"{record}{name}-1.0.dist-info/RECORD,,\n"
    written = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(written, "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path), text)  # without the present time, so that the hash stays the same
    return hashlib.sha256(written.read_bytes()).hexdigest()


class Project:
    """A small project in a folder with a space in its name, with our scripts and a lock of one wheel."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "a folder"
        self.wheels = folder / "wheels"
        self.wheels.mkdir(parents=True)
        shutil.copytree(ROOT / "scripts", self.folder / "scripts")
        (self.folder / "requirements").mkdir()
        (self.folder / "backend.py").write_text(BACKEND)
        (self.folder / "pyproject.toml").write_text(
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
            '[project]\nname = "small-project"\nversion = "1.0"\n'
        )
        self.lock("run", "first_part")
        self.lock("test", "first_part", "second_part")

    def lock(self, purpose: str, *names: str) -> None:
        lines = [f"{name}==1.0 --hash=sha256:{wheel(self.wheels, name)}\n" for name in names]
        (self.folder / "requirements" / f"{purpose}.txt").write_text("".join(lines))

    def set_up(self, purpose: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(self.folder / "scripts" / "set-up"), purpose],
            env=os.environ
            | {"PYTHON": sys.executable, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": self.wheels.as_uri()}
            | environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )

    def has(self, module: str) -> bool:
        python = self.folder / ".venv" / "bin" / "python"
        done = subprocess.run([python, "-B", "-c", f"import {module}"], check=False, capture_output=True)
        return done.returncode == 0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that is set up to run, by a user whose settings send packages elsewhere; its tests leave it so."""
    project = Project(tmp_path_factory.mktemp("made"))
    done = project.set_up("run", PYTHONPATH="/nowhere", PYTHONHOME="/nowhere", PIP_USER="1", PIP_TARGET="/nowhere")
    assert done.returncode == 0, done.stderr
    assert not project.has("second_part")  # it is in the lock of the tests only
    return project


def test_a_set_up_installs_what_the_lock_says_and_the_project(made: Project) -> None:
    assert made.has("first_part")
    assert made.has("small_project")


def test_a_set_up_compiles_what_it_installs(made: Project) -> None:
    assert list((made.folder / ".venv").glob("lib/*/site-packages/__pycache__/first_part.*.pyc"))


def test_a_set_up_that_is_current_is_left_alone(made: Project) -> None:
    before = (made.folder / ".venv" / "installed-run").stat().st_mtime_ns

    again = made.set_up("run")

    assert (again.returncode, again.stderr) == (0, "")
    assert (made.folder / ".venv" / "installed-run").stat().st_mtime_ns == before


def test_the_environment_of_the_tests_serves_the_program_too(made: Project) -> None:
    first = made.set_up("test")
    second = made.set_up("run")

    assert first.returncode == 0, first.stderr
    assert made.has("second_part")
    assert second.stderr == ""


def test_a_changed_lock_is_installed(made: Project) -> None:
    made.lock("run", "first_part", "third_part")

    done = made.set_up("run")

    assert done.returncode == 0, done.stderr
    assert made.has("third_part")


def test_a_wheel_whose_hash_is_not_in_the_lock_is_refused_and_the_set_up_then_begins_again_from_nothing(
    made: Project,
) -> None:
    lock = made.folder / "requirements" / "run.txt"
    good = lock.read_text()
    lock.write_text(f"fourth_part==1.0 --hash=sha256:{'0' * 64}\n")
    wheel(made.wheels, "fourth_part")

    refused = made.set_up("run")
    lock.write_text(good)
    (made.folder / ".venv" / "half-written").touch()
    done = made.set_up("run")

    assert refused.returncode == 1
    assert "DO NOT MATCH THE HASHES" in refused.stderr
    assert "the same command again" in refused.stderr
    assert done.returncode == 0, done.stderr
    assert not (made.folder / ".venv" / "half-written").exists()


def test_an_environment_that_was_moved_is_made_anew(tmp_path: Path) -> None:
    moved = Project(tmp_path)
    (moved.folder / ".venv" / "bin").mkdir(parents=True)
    (moved.folder / ".venv" / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    version = f"{sys.version_info[0]} {sys.version_info[1]} {sys.base_prefix}"
    (moved.folder / ".venv" / "made").write_text(f"/where/it/was/made\n{version}\n")

    done = moved.set_up("run")

    assert "making the virtual environment" in done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("python", "says"),
    [
        ("#!/bin/sh\necho 3 9 /usr", "is Python 3.9; aoii needs 3.11 or newer"),
        ("#!/bin/sh\necho 2 7", "is Python 2.7; aoii needs 3.11 or newer"),
        ("#!/bin/sh\nexit 1", "does not run"),
    ],
)
def test_a_python_that_will_not_do_is_refused_with_a_remedy(tmp_path: Path, python: str, says: str) -> None:
    project = Project(tmp_path)
    (tmp_path / "python3").write_text(python)
    (tmp_path / "python3").chmod(0o755)

    refused = project.set_up("run", PYTHON=str(tmp_path / "python3"))

    assert refused.returncode == 1
    assert says in refused.stderr
    assert "PYTHON=" in refused.stderr
    assert not (project.folder / ".venv").exists()


def test_no_python_at_all_is_said(tmp_path: Path) -> None:
    refused = Project(tmp_path).set_up("run", PYTHON="/nowhere/python3")

    assert refused.returncode == 1
    assert "there is no /nowhere/python3 here" in refused.stderr


# --- the locks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("purpose", ["run", "test"])
def test_a_lock_pins_every_package_by_hash_and_names_no_registry(purpose: str) -> None:
    packages = re.split(r"\n(?=[a-z0-9])", LOCKS[purpose].strip())

    assert all(re.match(r"[a-z0-9.-]+==\S+", package) and "--hash=sha256:" in package for package in packages)
    assert "://" not in LOCKS[purpose]
    assert "index-url" not in LOCKS[purpose]


def test_every_dependency_of_the_project_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    wanted = {
        "run": [*project["project"]["dependencies"], *groups["build"]],
        "test": [*project["project"]["optional-dependencies"]["lab"], *groups["test"]],
    }

    for purpose, requirements in wanted.items():
        names = {re.split(r"[^\w.-]", requirement)[0].lower() for requirement in requirements}
        assert names <= set(re.findall(r"^([a-z0-9.-]+)==", LOCKS[purpose], re.MULTILINE)), "run `make lock`"


def test_the_lock_of_the_tests_holds_the_lock_of_the_program() -> None:
    run, test = (set(re.findall(r"^[a-z0-9.-]+==[^ \\]+", LOCKS[purpose], re.MULTILINE)) for purpose in ("run", "test"))

    assert run <= test


# --- the test servers -----------------------------------------------------------------------------

TOOLS = "bash sh cat chmod comm env find flock grep mkdir mktemp mv paste printf realpath rm sort tail true basename"
APT_GET = r"""#!/bin/bash
set -e
echo "apt-get $*" >>"$DPKG_ROOT/log"
asks() {
    local answer=0
    "$DPKG_ROOT/usr/sbin/policy-rc.d" "$@" || answer=$?
    echo "policy $1 $answer" >>"$DPKG_ROOT/log"
}
[ "$1" = install ] || exit 0
[ -z "${FAKE_APT_FAILS:-}" ] || { echo "E: no such luck"; exit 100; }
mkdir -p "$DPKG_ROOT/lib/systemd/system" "$DPKG_ROOT/usr/sbin"
for package; do
    case $package in
    mosquitto) programs=mosquitto ;;
    mariadb-server) programs="mariadbd mariadb-install-db" ;;
    prometheus) programs=promtool ;;
    prometheus-alertmanager) programs=amtool ;;
    docker-compose) programs=docker-compose ;;
    chromium) programs=chromium ;;
    libatomic1) : >"$DPKG_ROOT/libatomic"; continue ;;
    *) continue ;;
    esac
    for program in $programs; do printf '#!/bin/sh\n' >"$DPKG_ROOT/usr/sbin/$program"; done
    chmod +x "$DPKG_ROOT"/usr/sbin/*
    : >"$DPKG_ROOT/lib/systemd/system/$package.service"
    asks "$package" start
done
asks ssh restart
asks ssh.service restart
[ -z "${FAKE_APT_KILLED:-}" ] || kill -TERM "$PPID"
"""
NOTED = '#!/bin/sh\necho "$(basename "$0") $*" >>"$DPKG_ROOT/log"\n'


class Debian:
    """A folder that stands for a Debian on which `ssh` runs and none of the test servers is installed."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.bin = folder / "bin"
        self.policy = folder / "usr" / "sbin" / "policy-rc.d"
        self.bin.mkdir()
        for tool in TOOLS.split():
            place = shutil.which(tool)
            if place is not None:
                (self.bin / tool).symlink_to(place)
        (folder / "lib" / "systemd" / "system").mkdir(parents=True)
        (folder / "lib" / "systemd" / "system" / "ssh.service").touch()
        self.program("apt-get", APT_GET)
        for name in ("systemctl", "deb-systemd-helper", "update-rc.d"):
            self.program(name, NOTED)
        self.program("id", "#!/bin/sh\necho 0\n")
        self.program(
            "ldconfig", '#!/bin/sh\n[ ! -e "$DPKG_ROOT/libatomic" ] || echo "libatomic.so.1 (libc6) => /lib"\n'
        )
        self.program("python3", "#!/bin/sh\nexit 0\n")

    def program(self, name: str, text: str) -> None:
        (self.bin / name).unlink(missing_ok=True)
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def install(self, **environ: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(ROOT / "scripts" / "install-test-servers")],
            env={"PATH": str(self.bin), "DPKG_ROOT": str(self.root)} | environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def log(self) -> list[str]:
        path = self.root / "log"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def debian(tmp_path: Path) -> Debian:
    return Debian(tmp_path)


def test_root_installs_what_is_missing_and_no_new_service_is_started_or_enabled(debian: Debian) -> None:
    (debian.root / "run" / "systemd" / "system").mkdir(parents=True)

    done = debian.install()

    assert done.returncode == 0, done.stderr
    assert any(line.startswith("apt-get install") and "--no-install-recommends" in line for line in debian.log())
    assert {f"policy {name} 101" for name in ("mosquitto", "mariadb-server", "prometheus")} <= set(debian.log())
    assert "systemctl -q disable --now mosquitto.service" in debian.log()
    assert not debian.policy.exists()


def test_where_systemd_does_not_run_the_new_services_are_disabled_all_the_same(debian: Debian) -> None:
    debian.install()

    assert "deb-systemd-helper -q disable mariadb-server.service" in debian.log()
    assert not [line for line in debian.log() if line.startswith("systemctl")]


def test_a_service_that_was_there_before_is_not_touched(debian: Debian) -> None:
    debian.install()

    assert "policy ssh 0" in debian.log()
    assert "policy ssh.service 0" in debian.log()
    assert not [line for line in debian.log() if "disable" in line and "ssh" in line]


def test_the_administrators_own_policy_is_asked_meanwhile_and_is_back_afterwards(debian: Debian) -> None:
    debian.policy.parent.mkdir(parents=True)
    debian.policy.write_text("#!/bin/sh\n[ $1 != ssh ] || exit 104\n")
    debian.policy.chmod(0o755)

    debian.install()

    assert "policy ssh 104" in debian.log()
    assert "exit 104" in debian.policy.read_text()


@pytest.mark.parametrize("trouble", ["FAKE_APT_FAILS", "FAKE_APT_KILLED"])
def test_the_policy_is_taken_away_however_the_installation_ends(debian: Debian, trouble: str) -> None:
    done = debian.install(**{trouble: "1"})

    assert done.returncode != 0
    assert not debian.policy.exists()


def test_what_apt_says_is_shown_when_it_fails(debian: Debian) -> None:
    done = debian.install(FAKE_APT_FAILS="1")

    assert "E: no such luck" in done.stderr


def test_nothing_is_asked_for_when_everything_is_there(debian: Debian) -> None:
    debian.install()
    (debian.root / "log").unlink()
    debian.program("id", "#!/bin/sh\necho 1000\n")

    again = debian.install()

    assert (again.returncode, again.stderr, debian.log()) == (0, "", [])


def test_without_root_it_says_exactly_what_to_install_and_fails(debian: Debian) -> None:
    debian.program("id", "#!/bin/sh\necho 1000\n")

    refused = debian.install()

    assert refused.returncode == 1
    assert (
        "apt-get install --no-install-recommends chromium docker-compose libatomic1 mariadb-server mosquitto "
        "prometheus prometheus-alertmanager" in refused.stderr
    )
    assert debian.log() == []


def test_with_sudo_it_installs(debian: Debian) -> None:
    debian.program("id", "#!/bin/sh\necho ${SUDO_UID:-1000}\n")
    debian.program("sudo", '#!/bin/sh\n[ "$1" = -n ] && shift\nexport SUDO_UID=0\nexec "$@"\n')

    done = debian.install()

    assert done.returncode == 0, done.stderr
    assert any(line.startswith("apt-get install") for line in debian.log())


# --- make -----------------------------------------------------------------------------------------


def test_make_alone_describes_every_target() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    said = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert targets >= {"run", "test", "lint", "bench", "faults", "lock", "clean", "help"}
    assert targets - {"help"} == set(re.findall(r"^  ([a-z]+) ", said, re.MULTILINE))


@pytest.mark.parametrize("script", ["set-up", "install-test-servers", "lock", "faults", "../.ci/run"])
def test_a_script_is_executable_and_stops_at_the_first_failure(script: str) -> None:
    path = ROOT / "scripts" / script

    assert os.access(path, os.X_OK)
    assert path.read_text().startswith("#!/bin/bash\n")
    assert "\nset -euo pipefail\n" in path.read_text()
