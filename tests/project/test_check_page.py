"""The check of the page's code installs its checkers once, needs no network afterwards, and never passes without them.

npm is ours here: it writes the checkers that it is told to, and notes that it was asked.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NPM = """\
#!/bin/bash
echo "$*" >>npm-calls
[ ! -e no-network ] || { echo 'npm error code ENOTFOUND'; exit 1; }
mkdir -p "$3/node_modules/.bin"
for name in biome tsc; do
    printf '#!/bin/bash\\necho "%s"\\n[ ! -e %s-complains ]\\n' $name $name >"$3/node_modules/.bin/$name"
    chmod +x "$3/node_modules/.bin/$name"
done
"""


class Project:
    """A folder with our script and the lock of the checkers, and in its .venv an npm of ours."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.npm = folder / ".venv" / "bin" / "npm"
        self.lock = folder / "tests" / "page" / "package-lock.json"
        (folder / "scripts").mkdir()
        self.npm.parent.mkdir(parents=True)
        self.lock.parent.mkdir(parents=True)
        for name in ("check-page", "common.sh"):
            shutil.copy(ROOT / "scripts" / name, folder / "scripts")
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(ROOT / "tests" / "page" / name, self.lock.parent)
        self.npm.write_text(NPM)
        self.npm.chmod(0o755)

    def check(self) -> "subprocess.CompletedProcess[str]":
        script = str(self.folder / "scripts" / "check-page")
        return subprocess.run([script], capture_output=True, text=True, check=False, timeout=60, env=os.environ)

    def mark(self, name: str) -> None:
        (self.folder / name).touch()

    def installations(self) -> int:
        return len((self.folder / "npm-calls").read_text().splitlines())


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_the_checkers_are_installed_once_and_then_need_no_network(project: Project) -> None:
    first = project.check()
    project.mark("no-network")
    second = project.check()

    assert (first.returncode, first.stdout) == (0, "biome\ntsc\n"), first.stderr
    assert (second.returncode, second.stdout, second.stderr) == (0, "biome\ntsc\n", "")
    assert project.installations() == 1


def test_a_changed_lock_is_installed_and_without_a_network_the_former_checkers_stay(project: Project) -> None:
    project.check()
    before = project.lock.read_text()
    project.lock.write_text(f"{before}\n")
    project.mark("no-network")

    refused = project.check()
    project.lock.write_text(before)
    again = project.check()

    assert refused.returncode == 1
    assert (again.returncode, again.stdout) == (0, "biome\ntsc\n")
    assert project.installations() == 2


def test_checkers_that_cannot_be_had_are_an_error_that_says_what_to_do(project: Project) -> None:
    project.mark("no-network")

    done = project.check()

    assert done.returncode == 1
    assert done.stdout == ""
    assert "ENOTFOUND" in done.stderr
    assert "give the same command again" in done.stderr


def test_a_project_that_is_not_set_up_is_told_how(project: Project) -> None:
    project.npm.unlink()

    done = project.check()

    assert done.returncode == 1
    assert "run this first: scripts/set-up test" in done.stderr


@pytest.mark.parametrize("checker", ["biome", "tsc"])
def test_what_a_checker_finds_fails_the_check(project: Project, checker: str) -> None:
    project.mark(f"{checker}-complains")

    assert project.check().returncode != 0


def test_the_lock_pins_every_package_by_hash_and_names_no_registry() -> None:
    lock = (ROOT / "tests" / "page" / "package-lock.json").read_text()

    packages = re.findall(r'^    "node_modules/', lock, re.MULTILINE)
    assert len(packages) > 3
    assert len(re.findall(r'"integrity": "sha512-', lock)) == len(packages)
    assert "://" not in re.sub(r'"(url|homepage)": ".*"', "", lock)


def test_lint_checks_the_page() -> None:
    would_run = subprocess.run(["make", "-n", "lint"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert "scripts/check-page" in would_run.splitlines()
