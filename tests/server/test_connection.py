"""Connections to SQLite and to a real MariaDB: what they do when the database does not answer as it should."""

import sqlite3
from pathlib import Path

import pymysql
import pytest

from aoii.server import connection
from aoii.server.db import DatabaseAway, open_database
from aoii.settings import Database as DatabaseSettings
from server.samples import a_reading, mysql_at, sqlite_at
from servers import MariaDB, free_port


def test_a_missing_sqlite_file_is_reported_and_not_made_by_a_reader(tmp_path: Path) -> None:
    database = open_database(sqlite_at(tmp_path / "none.db"))

    with pytest.raises(DatabaseAway, match=r"none\.db"):
        database.ping()

    assert list(tmp_path.iterdir()) == []


def test_a_locked_sqlite_file_is_a_conflict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = sqlite_at(tmp_path / "aoii.db")
    monkeypatch.setattr(connection, "LOCK_TIMEOUT_S", 0.05)
    open_database(place, migrate=True).close()
    database = open_database(place)
    other = sqlite3.connect(place.sqlite_path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(DatabaseAway) as caught:
        database.insert_reading(a_reading())
    other.execute("ROLLBACK")

    assert caught.value.reason == "conflict"
    assert database.insert_reading(a_reading()) == "stored"
    other.close()
    database.close()


def test_a_full_sqlite_file_is_the_worlds_fault(tmp_path: Path) -> None:
    place = sqlite_at(tmp_path / "aoii.db")
    database = open_database(place, migrate=True)
    with database._pool.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")

    with pytest.raises(DatabaseAway) as caught:
        database.insert_readings([a_reading(counter) for counter in range(1000)])
    database.close()

    assert caught.value.reason == "full"


@pytest.mark.parametrize(
    ("code", "expected"),
    [(1205, "conflict"), (1213, "conflict"), (1040, "refused"), (1053, "refused"), (1114, "full"), (1290, "read_only"),
     (1364, "schema"), (9999, "other")],
)  # fmt: skip
def test_errors_of_the_server_have_a_class(mariadb: MariaDB, code: int, expected: str) -> None:
    schema = mariadb.new_schema()
    database = open_database(mysql_at(mariadb, schema), migrate=True)
    mariadb.execute(
        "CREATE TRIGGER refusal BEFORE INSERT ON readings FOR EACH ROW "
        f"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = 'as told'", database=schema
    )  # fmt: skip

    with pytest.raises(DatabaseAway) as caught:
        database.insert_reading(a_reading())

    assert caught.value.reason == expected
    database.close()


def test_a_killed_connection_is_replaced(mariadb: MariaDB) -> None:
    database = open_database(mysql_at(mariadb, mariadb.new_schema()), migrate=True)
    database.insert_reading(a_reading(1))
    (own,) = [row[0] for row in mariadb.execute("SHOW PROCESSLIST") if row[3] == database._pool.settings.name]

    mariadb.execute(f"KILL {own}")

    assert database.insert_reading(a_reading(2)) == "stored"
    database.close()


def test_a_login_that_the_driver_cannot_do_is_a_refusal_and_not_a_crash(
    mariadb: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(connection: object) -> None:
        raise RuntimeError("'cryptography' package is required for caching_sha2_password")

    monkeypatch.setattr(pymysql.connections.Connection, "_request_authentication", fail)

    with pytest.raises(DatabaseAway, match="cryptography"):
        open_database(mysql_at(mariadb, "aoii")).ping()


def test_a_frozen_server_does_not_hang_its_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "IO_TIMEOUT_S", 1)
    with MariaDB(tmp_path / "own") as server:
        database = open_database(mysql_at(server, "aoii"), migrate=True)
        database.insert_reading(a_reading(1))
        server.freeze()

        with pytest.raises(DatabaseAway) as caught:
            database.insert_reading(a_reading(2))
        server.thaw()

        assert caught.value.reason == "unreachable"
        assert database.insert_reading(a_reading(2)) in ("stored", "duplicate")
        assert database.stats().total == 2
        database.close()


def test_an_absent_server_says_what_to_check() -> None:
    nowhere = DatabaseSettings(Path("unused"), "127.0.0.1", free_port(), "root", "", "aoii")

    with pytest.raises(DatabaseAway, match="MYSQL_HOST and MYSQL_PORT") as caught:
        open_database(nowhere, migrate=True)

    assert caught.value.reason == "unreachable"


def test_a_host_that_is_no_name_is_away_like_any_other() -> None:
    nowhere = DatabaseSettings(Path("unused"), "db..example", 3306, "root", "", "aoii")

    with pytest.raises(DatabaseAway, match="MYSQL_HOST and MYSQL_PORT") as caught:
        open_database(nowhere, migrate=True)

    assert caught.value.reason == "unreachable"
