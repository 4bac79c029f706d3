"""Fixtures that several areas share: the real servers, once for each test process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from servers import MariaDB, Mosquitto


@pytest.fixture(scope="session")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path_factory.mktemp("mosquitto")) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    with MariaDB(tmp_path_factory.mktemp("mariadb")) as server:
        yield server


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A station's AOII_DATA_DIR."""
    path = tmp_path / "data"
    path.mkdir()
    return path
