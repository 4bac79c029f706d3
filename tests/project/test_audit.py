"""The audit of the locks: it fails on a known vulnerability or a bad lock, and on nothing else.

The service here speaks as OSV documents its `query`; the real one is not asked by tests.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from servers import free_port

ROOT = Path(__file__).parents[2]
HASH = f" --hash=sha256:{'0' * 64}\n"
VULNERABILITY = {
    "id": "GHSA-test-0001",
    "aliases": ["CVE-2026-0001"],
    "summary": "It opens the door.",
    "published": "2026-01-01T00:00:00Z",
    "affected": [
        {
            "package": {"name": "bad", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}],
        }
    ],
}


class Service:
    """A service that knows one vulnerability, of the package `bad`, unless `answer` is another."""

    def __init__(self) -> None:
        self.asked: list[dict[str, object]] = []
        self.answer: Callable[[str], bytes] = lambda name: json.dumps(
            {"vulns": [VULNERABILITY]} if name == "bad" else {}
        ).encode()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                service.asked.append(question)
                body = service.answer(question["package"]["name"])
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - the library's name

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/query"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.server.shutdown()
    service.server.server_close()


class Project:
    """A folder with our scripts, our environment, and locks of two packages, one of them bad."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requirements = folder / "requirements"
        self.requirements.mkdir()
        shutil.copytree(ROOT / "scripts", folder / "scripts")
        (folder / ".venv").symlink_to(sys.prefix)
        (self.requirements / "run.txt").write_text(f"good==1.0{HASH}")
        (self.requirements / "test.txt").write_text(f"good==1.0{HASH}bad==1.0{HASH}")

    def accept(self, text: str) -> None:
        (self.requirements / "accepted.txt").write_text(text)

    def audit(self, url: str) -> tuple[int, str]:
        outcome = subprocess.run(
            [str(self.folder / "scripts" / "audit")], env=os.environ | {"AUDIT_SERVICE": url, "NO_PROXY": "127.0.0.1"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return outcome.returncode, outcome.stdout + outcome.stderr


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_a_known_vulnerability_fails_and_is_named_with_the_version_that_mends_it(
    service: Service, project: Project
) -> None:
    code, said = project.audit(service.url)

    assert code == 1
    assert "CVE-2026-0001" in said
    assert "It opens the door." in said
    assert re.search(r"^bad +1\.0 +CVE-2026-0001 +1\.1 ", said, re.MULTILINE)


def test_every_locked_package_is_asked_about_and_nothing_else_is_told(service: Service, project: Project) -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        shutil.copy(lock, project.requirements)

    code, said = project.audit(service.url)

    lines = [line for lock in project.requirements.glob("*.txt") for line in lock.read_text().splitlines()]
    pinned = {line.split()[0] for line in lines if "==" in line.split(";")[0] and line[0].isalnum()}
    elsewhere = {line.split()[0] for line in lines if line[0].isalnum() and ";" in line}  # on some Python or system
    asked = {f"{question['package']['name']}=={question['version']}" for question in service.asked}  # type: ignore[index]
    assert code == 0, said
    assert pinned - elsewhere <= asked <= pinned
    assert len(service.asked) == len(asked)
    assert all(question.keys() == {"package", "version"} for question in service.asked)


@pytest.mark.parametrize("name", ["GHSA-test-0001", "CVE-2026-0001"])
def test_an_accepted_one_passes_by_any_of_its_names_and_the_reason_is_said(
    service: Service, project: Project, name: str
) -> None:
    project.accept(f"# looked at\n\n{name} only for servers # see the issue")

    code, said = project.audit(service.url)

    assert code == 0
    assert f"{name} is accepted (only for servers)" in said


def test_an_acceptance_without_a_reason_fails(service: Service, project: Project) -> None:
    project.accept("GHSA-test-0001\n")

    code, said = project.audit(service.url)

    assert code == 1
    assert "has no reason" in said


def test_nothing_known_passes(service: Service, project: Project) -> None:
    service.answer = lambda name: b"{}"

    code, said = project.audit(service.url)

    assert (code, said) == (0, "aoii: 2 locked packages: No known vulnerabilities found\n")


@pytest.mark.parametrize("answer", [b"", b"<html>", b"[5]", b'{"vulns": 5}'], ids=lambda answer: answer.decode())
def test_a_service_in_another_language_fails_nothing_and_is_said(
    service: Service, project: Project, answer: bytes
) -> None:
    service.answer = lambda name: answer

    code, said = project.audit(service.url)

    assert code == 0
    assert "2 locked packages were NOT audited" in said


def test_a_service_that_is_away_fails_nothing_and_is_said_in_one_line(project: Project) -> None:
    code, said = project.audit(f"http://127.0.0.1:{free_port()}/")

    assert code == 0
    assert "could not be asked" in said
    assert said.endswith("2 locked packages were NOT audited\n")
    assert said.count("\n") == 1


def test_locks_without_a_package_fail(service: Service, project: Project) -> None:
    for lock in project.requirements.iterdir():
        lock.write_text("")

    assert project.audit(service.url)[0] == 1


def test_a_pin_without_a_hash_fails(service: Service, project: Project) -> None:
    (project.requirements / "run.txt").write_text("good==1.0\n")

    code, said = project.audit(service.url)

    assert code == 1
    assert "does not contain a hash" in said


def test_lint_asks() -> None:
    would_run = subprocess.run(["make", "-n", "lint"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert "scripts/audit" in would_run.splitlines()
