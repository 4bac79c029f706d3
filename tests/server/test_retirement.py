"""Floors only rise, and nothing above one is deleted, on both engines."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from aoii.broker.messages import Identity
from aoii.server import retirement
from aoii.server.connection import open_pool
from aoii.server.db import Database, open_database
from aoii.server.retirement import Floors, delete_rows, highest_older
from aoii.settings import Database as DatabaseSettings
from server.samples import a_reading

DAY_MS = 86_400_000


@pytest.fixture
def floors(place: DatabaseSettings) -> Iterator[Floors]:
    open_database(place, migrate=True).close()
    pool = open_pool(place, create=False)
    yield Floors(pool)
    pool.close()


def test_a_floor_never_falls(floors: Floors) -> None:
    assert floors.raise_floor("7", 1, 10) == 10

    assert floors.raise_floor("7", 1, 4) == 10
    assert floors.raise_floors({("7", 1): 12, ("7", 2): 0, ("8", 1): 3}) == {("7", 1): 12, ("7", 2): 0, ("8", 1): 3}

    assert floors.all() == {("7", 1): 12, ("7", 2): 0, ("8", 1): 3}


def test_of_two_that_raise_a_floor_at_once_the_higher_wins(floors: Floors, place: DatabaseSettings) -> None:
    def raise_in_steps(begin: int) -> None:
        pool = open_pool(place, create=False)
        for floor in range(begin, 60, 3):
            Floors(pool).raise_floor("7", 1, floor)
        pool.close()

    threads = [threading.Thread(target=raise_in_steps, args=(begin,)) for begin in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert floors.all() == {("7", 1): 59}


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every page has an end in the middle of the rows."""
    monkeypatch.setattr(retirement, "DELETED_ROWS", 3)
    monkeypatch.setattr(retirement, "DATED_ROWS", 3)


def numbers(database: Database) -> list[int]:
    return sorted(who.counter for who in database.identities() if (who.node, who.epoch) == ("7", 1))


def test_rows_are_deleted_up_to_the_floor_and_no_others(database: Database, small_pages: None) -> None:
    database.insert_readings([*map(a_reading, (1, 2, 3, 5, 6, 7, 8, 9)), a_reading(1, node="8")])
    database.insert_reading(replace(a_reading(), identity=Identity("7", 2, 1)))
    pages: list[int] = []
    assert delete_rows(database.pool, ("7", 1), pages.append) == 0

    Floors(database.pool).raise_floor("7", 1, 7)

    assert delete_rows(database.pool, ("7", 1), pages.append) == 6
    assert pages == [3, 3]
    assert numbers(database) == [8, 9]
    assert database.has(Identity("8", 1, 1))
    assert database.has(Identity("7", 2, 1))
    assert delete_rows(database.pool, ("7", 1), pages.append) == 0


def test_only_numbers_below_every_younger_row_are_old(database: Database, small_pages: None) -> None:
    """Row 6 came late and has an old time, but row 5 has not; numbers 3 and 4 may still come."""
    at = datetime(2020, 1, 1, tzinfo=UTC)
    times = {1: -3, 2: -2, 5: 0, 6: -1, 9: 1}
    rows = [
        a_reading(number, event_unix_ms=int(at.timestamp() * 1000) + days * DAY_MS) for number, days in times.items()
    ]
    database.insert_readings(rows)
    key = ("7", 1)
    pages: list[int] = []

    def older(days: int) -> int:
        return highest_older(database.pool, key, at + timedelta(days), pages.append)

    assert [older(days) for days in (-3, -2, 0, 1, 2)] == [-1, 1, 2, 6, 9]
    Floors(database.pool).raise_floor(*key, 2)
    assert [older(days) for days in (0, 1, 2)] == [-1, 6, 9]
    assert highest_older(database.pool, ("8", 1), at, pages.append) == -1


def test_rows_without_a_time_of_their_own_are_as_old_as_their_insert(database: Database) -> None:
    database.insert_reading(a_reading(1, event_unix_ms=None))
    now = datetime.now(UTC)

    assert highest_older(database.pool, ("7", 1), now - timedelta(days=1), lambda rows: None) == -1
    assert highest_older(database.pool, ("7", 1), now + timedelta(days=1), lambda rows: None) == 1
