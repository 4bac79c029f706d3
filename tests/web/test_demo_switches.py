"""The page of a demo turns its switches; every other page has none."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from aoii import settings
from aoii.runtime import switches
from aoii.runtime.switches import Switches
from aoii.web import app
from servers import free_port

NODE = {"switch": "node", "broken": True}


def page(folder: Path, **values: str) -> TestClient:
    named = {"AOII_DATA_DIR": str(folder), "MQTT_BROKER": "127.0.0.1", "MQTT_PORT": str(free_port())} | values
    return TestClient(app.create_app(settings.load(named)))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    switches.write(tmp_path / "switches.json", Switches(frozenset({"node", "broker"})))
    return tmp_path / "switches.json"


@pytest.fixture
def demo(tmp_path: Path, file: Path) -> Iterator[TestClient]:
    with page(tmp_path, EDGE_SWITCHES_FILE=str(file)) as client:
        yield client


def test_a_switch_that_is_turned_is_in_the_file_and_in_every_later_answer(demo: TestClient, file: Path) -> None:
    assert demo.get("/api/switches").json() == {"present": ["broker", "node"], "broken": []}

    answer = demo.post("/api/switches", json=NODE)

    assert answer.json() == demo.get("/api/switches").json() == {"present": ["broker", "node"], "broken": ["node"]}
    assert switches.read(file).broken == {"node"}


def test_a_page_that_is_no_demo_has_no_switches(tmp_path: Path) -> None:
    with page(tmp_path) as client:
        assert client.get("/api/switches").json() == {"present": [], "broken": []}
        answer = client.post("/api/switches", json=NODE)

    assert answer.status_code == 404
    assert "aoii demo" in answer.json()["error"]


JSON = "application/json"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"switch": "node", "broken": true}', "text/plain"),
        (b"switch=node&broken=true", "application/x-www-form-urlencoded"),
        (b"[]", JSON),
        (b"{", JSON),
        (b'{"switch": "clock", "broken": true}', JSON),
        (b'{"switch": ["node"], "broken": true}', JSON),
        (b'{"switch": "node"}', JSON),
        (b" " * 2000, JSON),
    ],
)
def test_what_another_site_could_send_and_what_is_no_switch_turns_nothing(
    demo: TestClient, file: Path, body: bytes, kind: str
) -> None:
    answer = demo.post("/api/switches", content=body, headers={"Content-Type": kind})

    assert answer.status_code == 400
    assert answer.json()["error"]
    assert switches.read(file).broken == frozenset()
