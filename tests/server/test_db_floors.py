"""An insert and the floors: what is not above its node's floor is not stored, whoever raised it a moment ago."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aoii.broker.messages import Identity
from aoii.runtime import failpoints
from aoii.server.connection import open_pool
from aoii.server.db import Database, open_database
from aoii.server.retirement import Floors
from aoii.settings import Database as DatabaseSettings
from server.samples import a_reading, mysql_at, sqlite_at
from servers import UNSYNCED, MariaDB


def raised_elsewhere(place: DatabaseSettings, floor: int, node: str = "7") -> None:
    """Raise a floor as another process would, on a connection of its own."""
    pool = open_pool(place, create=False)
    try:
        Floors(pool).raise_floor(node, 1, floor)
    finally:
        pool.close()


def counters(database: Database) -> list[int | None]:
    return [row.counter for row in database.recent(100)]


def test_what_is_not_above_its_floor_is_retired_and_not_stored(database: Database, place: DatabaseSettings) -> None:
    raised_elsewhere(place, 10)
    rows = [a_reading(9), a_reading(10), a_reading(11), a_reading(9), a_reading(9, node="8")]
    other_epoch = replace(a_reading(), identity=Identity("7", 2, 3))

    statuses = database.insert_readings([*rows, other_epoch, replace(a_reading(), identity=None)])

    assert statuses == ["retired", "retired", "stored", "retired", "stored", "stored", "stored"]
    assert counters(database) == [11, 9, 3, None]
    assert database.insert_readings(rows) == ["retired", "retired", "duplicate", "retired", "duplicate"]
    assert len(counters(database)) == 4


def test_a_floor_that_was_raised_after_the_row_came_retires_its_copies(
    database: Database, place: DatabaseSettings
) -> None:
    database.insert_readings([a_reading(1), a_reading(2)])
    raised_elsewhere(place, 1)

    statuses = database.insert_readings([a_reading(1), a_reading(1, actual_t=9.0), a_reading(2, actual_t=9.0)])

    assert statuses == ["retired", "retired", "mismatch"]
    assert counters(database) == [1, 2]  # removing the row is the business of whoever raised the floor


@pytest.fixture(scope="module")
def lax_mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    """Its own default would let a floor appear where an insert has seen none."""
    options = [*UNSYNCED, "--transaction-isolation=READ-COMMITTED"]
    with MariaDB(tmp_path_factory.mktemp("lax"), options=options) as server:
        yield server


@pytest.fixture(params=["sqlite", "mariadb", "lax_mariadb"])
def any_place(request: pytest.FixtureRequest, tmp_path: Path) -> DatabaseSettings:
    if request.param == "sqlite":
        return sqlite_at(tmp_path / "aoii.db")
    server: MariaDB = request.getfixturevalue(request.param)
    return mysql_at(server, server.new_schema())


@pytest.mark.parametrize("earlier", [None, 2])
def test_who_raises_a_floor_waits_for_an_insert_that_has_not_seen_it(
    any_place: DatabaseSettings, monkeypatch: pytest.MonkeyPatch, earlier: int | None
) -> None:
    """So all rows below a floor are there when it has been raised, and none comes later."""
    database = open_database(any_place, migrate=True)
    if earlier is not None:
        raised_elsewhere(any_place, earlier)
    events: list[str] = []

    def raise_it() -> None:
        raised_elsewhere(any_place, 50)
        events.append("raised")

    other = threading.Thread(target=raise_it)

    def before_commit(name: str) -> None:
        if name == "before_database_commit" and not other.ident:
            other.start()
            other.join(1.0)  # as long as nothing stops it, it needs a hundredth of that
            events.append("committed")

    monkeypatch.setattr(failpoints, "reach", before_commit)

    statuses = database.insert_readings([a_reading(5), a_reading(60)])
    other.join()

    assert statuses == ["stored", "stored"]
    assert events == ["committed", "raised"]
    assert database.insert_readings([a_reading(6), a_reading(61)]) == ["retired", "stored"]
    database.close()
