"""What errors of the engines mean: away for now, or a row that never fits."""

import contextlib
import sqlite3
from pathlib import Path

import pymysql
import pytest

from aoii.server.database_errors import BadRow, DatabaseAway, translated
from aoii.server.db import Database, open_database
from aoii.settings import Database as DatabaseSettings
from server.samples import a_reading, sqlite_at


def sqlite_error(sql: str) -> sqlite3.Error:
    """The error with which SQLite answers a statement; the table `t` has a column that must not be NULL."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (x INTEGER NOT NULL)")
    with pytest.raises(sqlite3.Error) as caught:
        connection.execute(sql)
    connection.close()
    return caught.value


@pytest.mark.parametrize("number", [1048, 1264, 1366, 1406, 1644, 3819, 4025])
def test_an_error_about_a_value_is_a_bad_row(number: int) -> None:
    assert isinstance(translated(pymysql.err.DataError(number, "too long"), "mysql", "aoii at db:3306"), BadRow)


def test_a_constraint_and_a_number_out_of_range_are_bad_rows_on_sqlite() -> None:
    assert isinstance(translated(sqlite_error("INSERT INTO t VALUES (NULL)"), "sqlite", "aoii.db"), BadRow)
    assert isinstance(translated(OverflowError("int too large"), "sqlite", "aoii.db"), BadRow)


@pytest.mark.parametrize(
    ("number", "reason"),
    [(1213, "conflict"), (2003, "unreachable"), (1045, "refused"), (1114, "full"), (1290, "read_only"),
     (1146, "schema"), (9999, "other")],
)  # fmt: skip
def test_any_other_error_is_away_and_names_place_and_remedy(number: int, reason: str) -> None:
    error = translated(pymysql.err.OperationalError(number, "said the server"), "mysql", "aoii at db:3306")

    assert isinstance(error, DatabaseAway)
    assert error.reason == reason
    problem, _, remedy = str(error).partition("; ")
    assert problem.startswith("database aoii at db:3306: ")
    assert "said the server" in problem
    assert remedy


@pytest.mark.parametrize(
    ("number", "said"),
    [(1054, "Unknown column 'created_utc' in 'INSERT INTO'"), (1142, "ALTER command denied to user 'aoii_server'")],
)
def test_tables_of_an_older_version_are_brought_up_to_date_by_who_may_change_them(number: int, said: str) -> None:
    error = translated(pymysql.err.OperationalError(number, said), "mysql", "aoii at db:3306")

    assert isinstance(error, DatabaseAway)
    assert "`aoii migrate`" in error.remedy
    assert "MYSQL_PASSWORD" not in error.remedy


def test_a_missing_table_of_sqlite_is_a_matter_of_the_schema() -> None:
    error = translated(sqlite_error("INSERT INTO u VALUES (1)"), "sqlite", "aoii.db")

    assert isinstance(error, DatabaseAway)
    assert error.reason == "schema"


def test_a_host_that_is_not_a_valid_name_is_unreachable() -> None:
    error = translated(UnicodeError("label empty or too long"), "mysql", "aoii at db..example:3306")

    assert isinstance(error, DatabaseAway)
    assert error.reason == "unreachable"
    assert "MYSQL_HOST" in str(error)


def test_an_error_without_a_number_is_away() -> None:
    error = translated(RuntimeError(), "mysql", "aoii at db:3306")

    assert isinstance(error, DatabaseAway)
    assert error.reason == "other"


def damaged_file(path: Path, kind: str) -> DatabaseSettings:
    """A SQLite file that is not one any more, or whose pages are overwritten in the middle."""
    place = sqlite_at(path)
    with contextlib.closing(open_database(place, migrate=True)) as database:
        for counter in range(200):
            database.insert_reading(a_reading(counter=counter))
    content = path.read_bytes()
    path.write_bytes(b"not a database\n" * 100 if kind == "text" else content[:4096] + bytes(len(content) - 4096))
    return place


@pytest.mark.parametrize("kind", ["text", "zeros"])
def test_a_damaged_file_of_sqlite_says_how_to_go_on_and_names_no_log_that_it_lacks(kind: str, tmp_path: Path) -> None:
    place = damaged_file(tmp_path / "aoii.db", kind)

    with contextlib.closing(open_database(place)) as database, pytest.raises(DatabaseAway) as caught:
        database.stats()

    assert caught.value.reason == "damaged"
    assert "move it away" in caught.value.remedy
    assert ".recover" in caught.value.remedy


def migrate_and_probe(database: Database) -> None:
    database.migrate()
    database.check_writable()


@pytest.mark.parametrize("kind", ["text", "zeros"])
def test_a_server_says_the_same_and_works_again_once_the_file_is_away(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "aoii.db"
    with contextlib.closing(Database(damaged_file(path, kind), create=True)) as database:
        with pytest.raises(DatabaseAway) as caught:
            migrate_and_probe(database)

        path.rename(tmp_path / "old.db")
        database.migrate()

        assert caught.value.reason == "damaged"
        assert database.insert_reading(a_reading()) == "stored"


def test_no_error_of_sqlite_sends_anybody_to_a_log() -> None:
    error = translated(sqlite3.OperationalError("something new"), "sqlite", "aoii.db")

    assert isinstance(error, DatabaseAway)
    assert error.reason == "other"
    assert "own log" not in error.remedy
