"""What errors of the engines mean: away for now, or a row that never fits."""

import sqlite3

import pymysql
import pytest

from aoii.server.database_errors import BadRow, DatabaseAway, translated


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
