"""The database as the page reads it: only the poller waits for one that is away, and no query blocks the station."""

import threading
import time

import pytest

from aoii.core.errors import UnavailableError
from aoii.server.db import Database, open_database
from aoii.web import source as source_module
from aoii.web.source import Source
from servers import until
from web.conftest import Load
from web.recorded import minutes, store


def test_only_the_poller_waits_for_a_database_that_is_away(load: Load) -> None:
    asked = []
    source = Source(load().database)

    def ask(database: Database) -> None:
        asked.append(database)
        raise UnavailableError("frozen")

    with pytest.raises(UnavailableError):
        source.query(ask)
    with pytest.raises(UnavailableError, match="frozen"):
        source.query(ask)
    with pytest.raises(UnavailableError):
        source.query_in_this_thread(ask)

    assert len(asked) == 2


def test_a_query_of_a_frozen_database_times_out_or_ends_with_the_station(load: Load, database: Database) -> None:
    hang = threading.Event()
    asked = Source(load().database)

    with pytest.raises(UnavailableError, match="has not answered"):
        asked.query(lambda _: hang.wait(30), timeout_s=0.2)
    threading.Timer(0.2, asked.stop).start()
    began = time.monotonic()
    with pytest.raises(UnavailableError, match="being stopped"):
        asked.query(lambda _: hang.wait(30))

    assert time.monotonic() - began < 20  # not the 30 of the one that hangs
    hang.set()


def test_after_a_second_stop_too_no_query_waits(load: Load, database: Database) -> None:
    hang = threading.Event()
    asked = Source(load().database)
    asked.stop()
    asked.stop()

    with pytest.raises(UnavailableError, match="being stopped"):
        asked.query(lambda _: hang.wait(30))

    hang.set()


def test_queries_beyond_the_limit_fail_until_others_have_ended(
    load: Load, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "QUERIES_LIMIT", 1)
    hang = threading.Event()
    asked = Source(load().database)
    with pytest.raises(UnavailableError):
        asked.query(lambda _: hang.wait(30), timeout_s=0.1)

    with pytest.raises(UnavailableError, match="wait for the database already"):
        asked.query(Database.ping)
    hang.set()

    until(lambda: answers(asked))


def answers(asked: Source) -> bool:
    try:
        asked.query(Database.ping)
    except UnavailableError:
        return False
    return True


def test_totals_for_ten_pages_cost_one_query(load: Load, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "STATS_MAX_AGE_S", 60)
    counted = Source(load().database)
    first = counted.stats()
    store(database, list(minutes("7", count=10)), logs=False)

    assert [counted.stats() for _ in range(9)] == [first] * 9
    counted.close()


def test_another_file_in_the_place_of_the_database_is_opened_and_counted(load: Load, database: Database) -> None:
    settings = load().database
    asked = Source(settings)
    asked.query_in_this_thread(Database.ping)
    asked.query_in_this_thread(Database.ping)
    assert asked.openings == 1

    settings.sqlite_path.rename(settings.sqlite_path.with_suffix(".old"))
    with pytest.raises(UnavailableError):
        asked.query_in_this_thread(Database.ping)
    assert "aoii.db" in (asked.away or "")
    open_database(settings, migrate=True).close()
    asked.query_in_this_thread(Database.ping)

    assert asked.openings > 1
    assert asked.away is None
    asked.close()
