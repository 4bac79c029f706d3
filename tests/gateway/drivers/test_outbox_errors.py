"""SQLite's errors as errors of the outbox."""

import sqlite3

import pytest

from aoii.gateway.drivers.outbox_errors import OutboxBrokenError, OutboxFullError, is_full, translate


def full() -> sqlite3.Error:
    """The error of a file at its size limit."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("PRAGMA max_page_count = 2")
    with pytest.raises(sqlite3.Error) as caught:
        connection.execute("CREATE TABLE big AS SELECT zeroblob(100000)")
    connection.close()
    return caught.value


def test_a_file_without_room_is_full_and_any_other_error_of_sqlite_is_a_broken_outbox() -> None:
    assert is_full(full())
    assert isinstance(translate(full()), OutboxFullError)
    broken = translate(sqlite3.OperationalError("disk I/O error"))
    assert isinstance(broken, OutboxBrokenError)
    assert "disk I/O error" in str(broken)


def test_another_error_stays_as_it_is() -> None:
    error = ZeroDivisionError()

    assert translate(error) is error
    assert not is_full(error)
