"""Dumps of a real MariaDB: made and put back with any password, and put back for trial where the rights allow it."""

import contextlib
import secrets
from dataclasses import replace
from pathlib import Path

import pytest

from aoii.core.errors import UnavailableError
from aoii.server import dump, dump_trial
from aoii.server.connection import ConnectionPool, mysql_engine
from aoii.server.db import open_database
from aoii.settings import Database as DatabaseSettings
from server.samples import a_reading, mysql_at, run_sql
from servers import MariaDB

READINGS = 3


@pytest.fixture
def place(mariadb: MariaDB) -> DatabaseSettings:
    """A schema with readings, and the server's user root."""
    found = mysql_at(mariadb, mariadb.new_schema())
    with contextlib.closing(open_database(found, migrate=True)) as database:
        database.insert_readings([a_reading(number) for number in range(READINGS)])
    return found


def user(mariadb: MariaDB, place: DatabaseSettings, password: str, *more: str) -> DatabaseSettings:
    """Another user, who may read the schema, and has further rights."""
    name = f"u{secrets.token_hex(6)}"
    quoted = password.replace("\\", "\\\\").replace("'", "\\'")
    mariadb.execute(
        f"CREATE USER '{name}'@'%' IDENTIFIED BY '{quoted}'",
        f"GRANT SELECT ON {place.name}.* TO '{name}'@'%'",
        *(f"GRANT {right} TO '{name}'@'%'" for right in more),
    )
    return replace(place, user=name, password=password)


def dumped(place: DatabaseSettings, folder: Path) -> Path:
    target = folder / f"{secrets.token_hex(4)}.sql"
    dump.save(place, target)
    return target


def databases(mariadb: MariaDB, place: DatabaseSettings) -> list[str]:
    found = [str(name) for (name,) in mariadb.execute("SHOW DATABASES")]
    return [name for name in found if name.startswith(f"{place.name}_trial")]


@pytest.mark.parametrize("password", ["비밀 번호", " a'b\"c#d;e\\s$HOME`%", "é=\t"])
def test_any_password_is_taken_as_it_is(
    tmp_path: Path, mariadb: MariaDB, place: DatabaseSettings, password: str
) -> None:
    reader = user(mariadb, place, password)

    assert b"INSERT INTO `readings`" in dumped(reader, tmp_path).read_bytes()


def test_files_and_variables_that_mysql_has_defaults_in_change_nothing(
    tmp_path: Path, place: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = "[client]\nuser=nobody\npassword=wrong\n[mysqldump]\nno-data\n[mariadb-dump]\nno-data\n"
    (tmp_path / ".my.cnf").write_text(wrong)
    for name, value in {"HOME": str(tmp_path), "MYSQL_HOME": str(tmp_path), "MYSQL_PWD": "wrong"}.items():
        monkeypatch.setenv(name, value)

    assert b"INSERT INTO `readings`" in dumped(place, tmp_path).read_bytes()


def test_a_dump_is_put_into_a_database_of_its_own_for_trial_and_nothing_is_left(
    tmp_path: Path, mariadb: MariaDB, place: DatabaseSettings
) -> None:
    escaped = place.name.replace("_", "\\_")
    rights = f"CREATE, DROP, SELECT, INSERT, ALTER, INDEX ON `{escaped}\\_trial\\_%`.*"
    server = user(mariadb, place, "", rights)

    assert dump_trial.restore_for_trial(server, dumped(server, tmp_path)) == (READINGS, "")
    assert databases(mariadb, place) == []


def test_without_the_right_it_says_that_it_was_not_tried(
    tmp_path: Path, mariadb: MariaDB, place: DatabaseSettings
) -> None:
    reader = user(mariadb, place, "")

    trial = dump_trial.restore_for_trial(reader, dumped(reader, tmp_path))

    assert trial.readings is None
    assert "may not make a database" in trial.why_not


def test_on_a_disk_without_room_it_is_not_tried(
    tmp_path: Path, mariadb: MariaDB, place: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = dumped(place, tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())

    assert "no room" in dump_trial.restore_for_trial(place, file).why_not
    assert databases(mariadb, place) == []


def test_a_dump_that_cannot_be_put_back_is_an_error_though_it_has_its_tables_and_its_end(
    tmp_path: Path, mariadb: MariaDB, place: DatabaseSettings
) -> None:
    file = dumped(place, tmp_path)
    file.write_bytes(file.read_bytes().replace(b"INSERT INTO `readings` VALUES", b"INSERT INTO `readings` VALUE ("))
    assert dump.problem(file) is None

    with pytest.raises(UnavailableError, match="cannot be put in"):
        dump_trial.restore_for_trial(place, file)

    assert databases(mariadb, place) == []


def test_what_a_trial_that_was_killed_has_left_goes_and_one_that_runs_stays(
    tmp_path: Path, mariadb: MariaDB, place: DatabaseSettings
) -> None:
    left, runs, other = (f"{place.name}_trial_{ending}" for ending in ("0123abcd", "4567abcd", "of_mine"))
    mariadb.execute(*(f"CREATE DATABASE {name}" for name in (left, runs, other)))
    file = dumped(place, tmp_path)

    with contextlib.closing(ConnectionPool(place, mysql_engine(place, None, 10))) as pool:
        with dump_trial._held(pool, replace(place, name=runs)):
            dump_trial.restore_for_trial(place, file)
        assert databases(mariadb, place) == sorted([runs, other])

    mariadb.execute(*(f"DROP DATABASE {name}" for name in (runs, other)))
    assert run_sql(place, "SELECT count(*) FROM readings") == [(READINGS,)]
