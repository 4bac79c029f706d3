"""Settings of a web station, its database, and a client of its application without a browser."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from aoii import settings
from aoii.server.db import Database, open_database
from aoii.settings import Settings
from aoii.web.app import create_app
from servers import free_port
from web.recorded import minutes, store

Load = Callable[..., Settings]


@pytest.fixture
def load(data_dir: Path) -> Load:
    """Settings from names and values; no broker is there unless one is named."""

    def load(**values: object) -> Settings:
        named = {"AOII_DATA_DIR": data_dir, "MQTT_BROKER": "127.0.0.1", "MQTT_PORT": free_port()} | values
        return settings.load({name: str(value) for name, value in named.items()})

    return load


@pytest.fixture
def database(load: Load) -> Iterator[Database]:
    """The SQLite database that the station reads."""
    database = open_database(load().database, migrate=True)
    yield database
    database.close()


@pytest.fixture
def client(load: Load, database: Database) -> Iterator[TestClient]:
    """A client of the page over a recorded day of node 7; there is no broker."""
    store(database, list(minutes("7")))
    with TestClient(create_app(load())) as client:
        yield client
