"""The audit of the locks: it fails on a known vulnerability and on nothing else.

The service here speaks as OSV documents its `querybatch`; the real one is not asked by tests.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from servers import free_port

ROOT = Path(__file__).parents[2]
Answer = Callable[[dict[str, object]], bytes]


class Service:
    """A service with one vulnerability, of `paho-mqtt` as it is locked in `requirements`."""

    def __init__(self) -> None:
        self.asked: list[dict[str, object]] = []
        self.answer: Answer = self.one_is_bad
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                service.asked.append(question)
                body = service.answer(question)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - the library's name

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/querybatch"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @staticmethod
    def one_is_bad(question: dict[str, object]) -> bytes:
        queries = question["queries"]
        assert isinstance(queries, list)
        bad = {"vulns": [{"id": "GHSA-test-0001", "modified": "2026-01-01T00:00:00Z"}]}
        return json.dumps({"results": [bad if q["package"]["name"] == "paho-mqtt" else {} for q in queries]}).encode()

    @staticmethod
    def none_is_bad(question: dict[str, object]) -> bytes:
        queries = question["queries"]
        assert isinstance(queries, list)
        return json.dumps({"results": [{}] * len(queries)}).encode()


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.server.shutdown()
    service.server.server_close()


@pytest.fixture
def requirements(tmp_path: Path) -> Path:
    for lock in ("run.txt", "test.txt"):
        (tmp_path / lock).write_bytes((ROOT / "requirements" / lock).read_bytes())
    return tmp_path


def audit(url: str, requirements: Path) -> tuple[int, str]:
    outcome = subprocess.run(
        [sys.executable, ROOT / "scripts" / "audit.py", "--url", url, "--requirements", requirements],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return outcome.returncode, outcome.stdout + outcome.stderr


def test_a_known_vulnerability_fails_and_is_named(service: Service, requirements: Path) -> None:
    code, said = audit(service.url, requirements)

    assert code == 1
    assert "paho-mqtt" in said
    assert "https://osv.dev/vulnerability/GHSA-test-0001" in said


def test_every_locked_package_is_asked_about_and_nothing_else_is_told(service: Service, requirements: Path) -> None:
    audit(service.url, requirements)

    (question,) = service.asked
    queries = question["queries"]
    assert isinstance(queries, list)
    assert question.keys() == {"queries"}
    assert {tuple(sorted(query)) for query in queries} == {("package", "version")}
    asked = {f"{query['package']['name']}=={query['version']}" for query in queries}
    lines = [line for lock in ("run.txt", "test.txt") for line in (requirements / lock).read_text().splitlines()]
    pinned = {line.split()[0].split(";")[0] for line in lines if "==" in line.split(";")[0] and line[0].isalnum()}
    assert asked == pinned


def test_an_accepted_one_passes_and_its_reason_is_said(service: Service, requirements: Path) -> None:
    (requirements / "accepted.txt").write_text("# looked at\nGHSA-test-0001 only for servers\n")

    code, said = audit(service.url, requirements)

    assert code == 0
    assert "GHSA-test-0001 is accepted (only for servers)" in said


def test_an_acceptance_without_a_reason_fails(service: Service, requirements: Path) -> None:
    (requirements / "accepted.txt").write_text("GHSA-test-0001\n")

    code, said = audit(service.url, requirements)

    assert code == 1
    assert "has no reason" in said


def test_nothing_known_passes(service: Service, requirements: Path) -> None:
    service.answer = service.none_is_bad

    code, said = audit(service.url, requirements)

    assert code == 0
    assert "no vulnerability known" in said


@pytest.mark.parametrize(
    "answer", [b"", b"<html>", b"[]", b"{}", b'{"results": []}', b'{"results": 5}'], ids=lambda answer: answer.decode()
)
def test_a_service_in_another_language_fails_nothing_and_is_said(
    service: Service, requirements: Path, answer: bytes
) -> None:
    service.answer = lambda question: answer

    code, said = audit(service.url, requirements)

    assert code == 0
    assert "NOT audited" in said


def test_a_service_that_is_away_fails_nothing_and_is_said(requirements: Path) -> None:
    code, said = audit(f"http://127.0.0.1:{free_port()}/", requirements)

    assert code == 0
    assert "could not be asked" in said
    assert "NOT audited" in said


def test_locks_without_a_package_fail(service: Service, tmp_path: Path) -> None:
    for lock in ("run.txt", "test.txt"):
        (tmp_path / lock).touch()

    assert audit(service.url, tmp_path)[0] == 1


def test_lint_asks() -> None:
    assert "scripts/audit.py" in (ROOT / "Makefile").read_text()
