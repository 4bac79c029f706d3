"""The gateway of one test: its serial port, its name, and a listener at its broker."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from aoii.gateway.gateway import Gateway
from aoii.settings import Settings
from gateway.station import Listener, configured, listening, running, wait_connected
from servers import Mosquitto

PATIENCE_S = 30.0  # for a reply where its lateness is not the subject: a busy machine may stall a commit for a second


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A gateway id for this test alone, because all share one broker."""
    return f"g{abs(hash(request.node.nodeid)) % 10**9}"


@pytest.fixture
def values(tmp_path: Path, mosquitto: Mosquitto, link: Path, name: str) -> Settings:
    return configured(tmp_path / "data", mosquitto.port, name, link)


@pytest.fixture
def listener(values: Settings) -> Iterator[Listener]:
    with listening(values) as listener:
        yield listener


@pytest.fixture
def gateway(values: Settings, far: int, listener: Listener) -> Iterator[Gateway]:
    """A gateway with its port open and its broker there, and a listener beside it."""
    with running(values) as gateway:
        wait_connected(gateway)
        yield gateway


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aoii.gateway.receiver.REPLY_LIMIT_S", PATIENCE_S)
