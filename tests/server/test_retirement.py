"""Floors only rise, on both engines."""

import threading
from collections.abc import Iterator

import pytest

from aoii.server.connection import open_pool
from aoii.server.db import open_database
from aoii.server.retirement import Floors
from aoii.settings import Database as DatabaseSettings


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
