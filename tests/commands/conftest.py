"""A database with our tables on each engine, which the commands find by their settings."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from aoii.server.db import Database, open_database
from aoii.settings import Database as DatabaseSettings
from server.samples import mysql_at, sqlite_at
from servers import MariaDB


@pytest.fixture(params=["sqlite", "mariadb"])
def place(request: pytest.FixtureRequest, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> DatabaseSettings:
    """An empty database on each engine."""
    monkeypatch.setenv("AOII_DATA_DIR", str(data_dir))
    if request.param == "sqlite":
        return sqlite_at(data_dir / "aoii.db")
    server: MariaDB = request.getfixturevalue("mariadb")
    found = mysql_at(server, server.new_schema())
    for name, value in (("HOST", found.host), ("PORT", found.port), ("USER", found.user), ("DATABASE", found.name)):
        monkeypatch.setenv(f"MYSQL_{name}", str(value))
    return found


@pytest.fixture
def stored(place: DatabaseSettings) -> Iterator[Database]:
    """The database of the commands, open for the test."""
    with contextlib.closing(open_database(place, migrate=True)) as database:
        yield database
