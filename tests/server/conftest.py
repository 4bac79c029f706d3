"""Both databases, and settings of a station, for the tests of the server station."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aoii import settings
from aoii.server.db import Database, open_database
from aoii.settings import Database as DatabaseSettings
from server.samples import mysql_at, sqlite_at
from servers import MariaDB


@pytest.fixture(params=["sqlite", "mariadb"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> DatabaseSettings:
    """An empty database on each engine."""
    if request.param == "sqlite":
        return sqlite_at(tmp_path / "aoii.db")
    server: MariaDB = request.getfixturevalue("mariadb")
    return mysql_at(server, server.new_schema())


@pytest.fixture
def database(place: DatabaseSettings) -> Iterator[Database]:
    database = open_database(place, migrate=True)
    yield database
    database.close()


@pytest.fixture
def load(data_dir: Path) -> Callable[..., settings.Settings]:
    """Settings of a station from names and values."""

    def load(**values: object) -> settings.Settings:
        return settings.load({"AOII_DATA_DIR": str(data_dir), **{name: str(value) for name, value in values.items()}})

    return load
