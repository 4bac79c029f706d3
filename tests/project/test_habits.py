"""What a public project keeps beside its code: files that other programs read hold to their schemas, and agree.

The schemas come with check-jsonschema; nothing is fetched.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import aoii

ROOT = Path(__file__).parents[2]
SCHEMAS = {
    ".github/workflows/ci.yml": "vendor.github-workflows",
    ".github/dependabot.yml": "vendor.dependabot",
    ".github/ISSUE_TEMPLATE/bug.yml": "vendor.github-issue-forms",
    ".github/ISSUE_TEMPLATE/feature.yml": "vendor.github-issue-forms",
    ".github/ISSUE_TEMPLATE/config.yml": "vendor.github-issue-config",
    "CITATION.cff": "vendor.citation-file-format",
}
NAME_THE_REPOSITORY = ("pyproject.toml", "CITATION.cff", "SECURITY.md", ".github/ISSUE_TEMPLATE/config.yml")


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def read_yaml(name: str) -> Any:
    return yaml.safe_load(text_of(name))


def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads(text_of("pyproject.toml"))["project"]
    return table


@pytest.mark.parametrize(("name", "schema"), SCHEMAS.items())
def test_a_file_that_another_program_reads_holds_to_its_schema(name: str, schema: str) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, "--force-filetype", "yaml"]

    done = subprocess.run([*command, str(ROOT / name)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_workflow_and_every_form_is_held_against_a_schema() -> None:
    there = {path.relative_to(ROOT).as_posix() for path in (ROOT / ".github").rglob("*.yml")}

    assert there == {name for name in SCHEMAS if name.startswith(".github/")}


def test_the_build_runs_what_a_person_runs_on_the_oldest_python_that_is_supported() -> None:
    job = read_yaml(".github/workflows/ci.yml")["jobs"]["test"]
    oldest = project()["requires-python"].removeprefix(">=")

    assert "bash .ci/run" in [step.get("run") for step in job["steps"]]
    assert job["strategy"]["matrix"]["python"][0] == oldest


def test_the_container_for_developers_is_the_one_of_the_build() -> None:
    job = read_yaml(".github/workflows/ci.yml")["jobs"]["test"]
    container = json.loads(text_of(".devcontainer/devcontainer.json"))

    first = job["container"]["image"].replace("${{ matrix.python }}", job["strategy"]["matrix"]["python"][0])
    assert container["image"] == first
    assert all((ROOT / script).exists() for script in re.findall(r"scripts/[\w-]+", container["postCreateCommand"]))


def test_a_commit_is_checked_by_the_locked_ruff() -> None:
    local = next(repo for repo in read_yaml(".pre-commit-config.yaml")["repos"] if repo["repo"] == "local")

    assert [hook["entry"].split(" --")[0] for hook in local["hooks"]] == [
        ".venv/bin/python -m ruff check",
        ".venv/bin/python -m ruff format",
    ]


def test_version_and_licence_are_the_same_wherever_they_stand() -> None:
    citation, package = read_yaml("CITATION.cff"), project()

    assert citation["version"] == package["version"] == aoii.__version__
    assert f"\n## [{aoii.__version__}] - 2" in text_of("CHANGELOG.md")
    images = set(
        re.findall(r"aoii:(\d[\d.]+)", text_of("deploy/compose/compose.yaml") + text_of("deploy/compose/Dockerfile"))
    )
    assert images == {aoii.__version__}
    assert citation["license"] == package["license"] == "MIT"
    assert text_of("LICENSE").startswith("MIT License")


def test_type_checkers_are_told_that_the_package_has_types() -> None:
    assert "Typing :: Typed" in project()["classifiers"]
    assert (ROOT / "src" / "aoii" / "py.typed").read_bytes() == b""


@pytest.mark.parametrize("name", NAME_THE_REPOSITORY)
def test_a_file_names_the_repository_once_and_as_the_package_does(name: str) -> None:
    repository = project()["urls"]["Repository"]

    named = re.findall(rf"{re.escape(repository)}\b", text_of(name))

    assert len(named) == 1


@pytest.mark.parametrize(
    "name", [".github/pull_request_template.md", ".github/workflows/ci.yml", ".devcontainer/devcontainer.json"]
)
def test_every_target_of_make_that_a_template_names_exists(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))

    assert set(re.findall(r"\bmake ([a-z-]+)", text_of(name))) <= targets
