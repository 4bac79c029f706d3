"""The ledger watch counts again and again, and stops in the middle of a count."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aoii.runtime import metrics
from aoii.server import ledger_facts, ledger_watch
from aoii.server.connection import open_pool
from aoii.server.db import Database
from aoii.server.dead_letters.store import DeadLetters
from aoii.server.gaps import Gap, Gaps
from aoii.server.ledger import PARTS
from aoii.server.ledger_watch import LedgerWatch
from aoii.settings import Database as DatabaseSettings
from server.samples import a_reading, run_sql, sqlite_at
from servers import until


@pytest.fixture(autouse=True)
def not_counted() -> None:
    """No count of another test is taken for one."""
    metrics.LEDGER_COUNTED_S.set(0)
    metrics.LEDGER_UNBALANCED.set(0)
    metrics.LEDGER_NUMBERS.clear()


@pytest.fixture
def letters(tmp_path: Path) -> Iterator[DeadLetters]:
    letters = DeadLetters(tmp_path / "dead_letters.db", 4)
    yield letters
    letters.close()


@contextmanager
def watching(database: Database, letters: DeadLetters, pause_s: float = 0.01) -> Iterator[LedgerWatch]:
    watch = LedgerWatch(database.pool, letters, 0.01, pause_s)
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()
        until(lambda: not watch.part.is_running)


def numbers() -> dict[str, float]:
    """The parts that are not empty, as they are served."""
    return {part: value for part in PARTS if (value := metrics.value(metrics.LEDGER_NUMBERS, part=part))}


def is_counted() -> bool:
    return metrics.value(metrics.LEDGER_COUNTED_S) > 0


def test_the_parts_of_all_nodes_are_served(
    database: Database, letters: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_watch, "PAUSE_SHARE", 0)
    database.insert_readings([a_reading(2), a_reading(5), a_reading(1, node="8")])
    Gaps(database.pool).record([Gap("7", 1, 3, 3, "lost")])
    letters.add([a_reading(4)], "bad_row", "")

    with watching(database, letters):
        until(is_counted)
        assert numbers() == {"stored": 3, "lost": 1, "dead_letters": 1, "waiting": 1}
        database.insert_reading(a_reading(1))
        until(lambda: numbers() == {"stored": 4, "lost": 1, "dead_letters": 1})

    assert metrics.value(metrics.LEDGER_UNBALANCED) == 0


def test_what_does_not_balance_is_served(database: Database, letters: DeadLetters, place: DatabaseSettings) -> None:
    database.insert_readings([a_reading(9), a_reading(1, node="8")])
    Gaps(database.pool).record([Gap("7", 1, 1, 2, "lost"), Gap("7", 1, 5, 6, "lost")])
    run_sql(place, "UPDATE gaps SET last = 5 WHERE first = 1")

    with watching(database, letters):
        until(is_counted)

    assert metrics.value(metrics.LEDGER_UNBALANCED) == 1


def test_a_row_without_an_epoch_stops_no_count(
    database: Database, letters: DeadLetters, place: DatabaseSettings
) -> None:
    database.insert_readings([a_reading(1), a_reading(1, node="8")])
    run_sql(place, "UPDATE readings SET epoch = NULL WHERE node = '8'")

    with watching(database, letters):
        until(is_counted)

    assert numbers() == {"stored": 1}


def test_while_the_database_is_away_the_last_count_stays_and_the_log_says_it_once(
    database: Database,
    letters: DeadLetters,
    place: DatabaseSettings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(ledger_watch, "PAUSE_SHARE", 0)
    database.insert_reading(a_reading(1))

    with watching(database, letters):
        until(is_counted)
        run_sql(place, "ALTER TABLE gaps RENAME TO elsewhere")
        until(lambda: "ledger cannot be counted" in caplog.text)
        run_sql(place, "ALTER TABLE elsewhere RENAME TO gaps")
        until(lambda: "ledger is counted again" in caplog.text)

    assert caplog.text.count("ledger cannot be counted") == 1
    assert numbers() == {"stored": 1}


def test_a_long_count_ends_when_the_station_stops(
    database: Database, letters: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_facts, "PAGE_ROWS", 1)
    database.insert_readings([a_reading(number) for number in range(1, 10)])
    pages: list[int] = []
    record: Callable[[LedgerWatch, int], None] = LedgerWatch._record_page

    def stop_at_the_third(watch: LedgerWatch, rows: int) -> None:
        pages.append(rows)
        if len(pages) == 3:
            watch.stop()
        record(watch, rows)

    monkeypatch.setattr(LedgerWatch, "_record_page", stop_at_the_third)

    with watching(database, letters) as watch:
        until(lambda: not watch.part.is_running)

    assert len(pages) == 3
    assert not is_counted()


@pytest.mark.parametrize(("count_s", "pause_s"), [(2.0, 600.0), (7.0, 700.0)])
def test_pauses_grow_with_the_time_of_a_count(
    letters: DeadLetters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count_s: float, pause_s: float
) -> None:
    watch = LedgerWatch(open_pool(sqlite_at(tmp_path / "aoii.db"), create=False), letters)
    now_s = 100.0
    pauses: list[float] = []

    def count(watch: LedgerWatch) -> None:
        nonlocal now_s
        now_s += count_s

    def is_stopped(watch: LedgerWatch, seconds: float) -> bool:
        pauses.append(seconds)
        return len(pauses) == 2

    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    monkeypatch.setattr(LedgerWatch, "_count", count)
    monkeypatch.setattr(LedgerWatch, "_is_stopped_within", is_stopped)

    watch._work()

    assert pauses == [20.0, pause_s]
