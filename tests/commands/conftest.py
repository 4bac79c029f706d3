"""A database with our tables on each engine, which the commands find by their settings."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from aoii.commands import main
from aoii.server.db import Database, open_database
from aoii.settings import Database as DatabaseSettings
from commands.saved_machine import Machine, Run
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


@pytest.fixture(params=["sqlite", "mariadb"])
def machine(request: pytest.FixtureRequest, tmp_path: Path, run: Run) -> Machine:
    """A machine with each kind of database."""
    if request.param == "sqlite":
        made = Machine(tmp_path, sqlite_at(tmp_path / "data" / "aoii.db"))
    else:
        server: MariaDB = request.getfixturevalue("mariadb")
        made = Machine(tmp_path, mysql_at(server, server.new_schema()))
    made.fill()
    return made


@pytest.fixture
def small(tmp_path: Path, run: Run) -> Machine:
    """A machine with SQLite."""
    made = Machine(tmp_path, sqlite_at(tmp_path / "data" / "aoii.db"))
    made.fill()
    return made


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command; its exit code and what it printed."""

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main.main([str(word) for word in words])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run
