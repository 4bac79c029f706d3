"""`insert_reading_with_retry` against a database and dead letters that fail as told."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from aoii.broker.messages import Reading
from aoii.core.errors import WorldError
from aoii.server.database_errors import BadRow, DatabaseAway
from aoii.server.db import Database, Outcome
from aoii.server.dead_letters.store import DeadLetters, Reason
from aoii.server.insertion import CONFLICT_REPLAYS
from aoii.server.mqtt_to_mysql import Settled, insert_reading_with_retry
from server.samples import a_reading

AWAY = DatabaseAway("unreachable", "connection refused")
CONFLICT = DatabaseAway("conflict", "deadlock")


class FlakyDatabase(Database):
    """Fails with `failures` first, then stores; refuses readings over 60 °C for ever."""

    def __init__(self, *failures: DatabaseAway) -> None:
        self.failures = list(failures)
        self.rows: list[Reading] = []
        self.calls = 0

    def insert_readings(self, rows: Sequence[Reading]) -> list[Outcome]:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        if any(row.actual_t > 60 for row in rows):
            raise BadRow("too hot")
        outcomes: list[Outcome] = []
        for row in rows:
            twin = next((other for other in self.rows if other.identity == row.identity), None)
            if twin is None or row.identity is None:
                self.rows.append(row)
                outcomes.append("stored")
            else:
                outcomes.append("duplicate" if twin.digest() == row.digest() else "mismatch")
        return outcomes


class Waits:
    """Remembers how long it was asked to wait; stops at the wait number `stop_at`."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.asked: list[float] = []
        self._stop_at = stop_at

    def __call__(self, seconds: float) -> bool:
        self.asked.append(seconds)
        return len(self.asked) == self._stop_at


@pytest.fixture
def letters(tmp_path: Path) -> Iterator[DeadLetters]:
    letters = DeadLetters(tmp_path / "dead_letters.db", 1)
    yield letters
    letters.close()


def insert(
    database: Database, letters: DeadLetters, rows: Sequence[Reading], tries: int = 6, waits: Waits | None = None
) -> Settled:
    return insert_reading_with_retry(database, letters, rows, tries=tries, base_delay_s=1.0, pause=waits or Waits())


def test_a_batch_is_stored_without_a_wait(letters: DeadLetters) -> None:
    waits = Waits()

    settled = insert(FlakyDatabase(), letters, [a_reading(1), a_reading(2), a_reading(1)], waits=waits)

    assert settled == Settled(["stored", "stored", "duplicate"])
    assert waits.asked == []


def test_it_waits_1_2_4_8_16_seconds_and_then_parks(letters: DeadLetters) -> None:
    waits = Waits()
    database = FlakyDatabase(*[AWAY] * 6)

    settled = insert(database, letters, [a_reading(1), a_reading(2)], waits=waits)

    assert waits.asked == [1, 2, 4, 8, 16]
    assert settled == Settled(["parked", "parked"], "connection refused")
    assert [(letter.reason, letter.detail) for letter in letters.letters(9)] == [
        ("database_away", "connection refused")
    ] * 2


def test_the_last_try_may_succeed(letters: DeadLetters) -> None:
    settled = insert(FlakyDatabase(*[AWAY] * 5), letters, [a_reading(1)])

    assert settled == Settled(["stored"], None)
    assert letters.counts()["database_away"] == 0


def test_without_a_try_it_parks_at_once(letters: DeadLetters) -> None:
    database = FlakyDatabase()

    settled = insert(database, letters, [a_reading(1)], tries=0)

    assert settled == Settled(["parked"], "known to be away")
    assert database.calls == 0


def test_a_deadlock_is_replayed_whole_and_at_once(letters: DeadLetters) -> None:
    waits = Waits()
    database = FlakyDatabase(*[CONFLICT] * CONFLICT_REPLAYS)

    settled = insert(database, letters, [a_reading(1), a_reading(2)], waits=waits)

    assert settled == Settled(["stored", "stored"], None)
    assert waits.asked == []


def test_a_lock_that_stays_is_waited_for(letters: DeadLetters) -> None:
    waits = Waits()

    settled = insert(FlakyDatabase(*[CONFLICT] * (CONFLICT_REPLAYS + 1)), letters, [a_reading(1)], waits=waits)

    assert settled.fates == ["stored"]
    assert waits.asked == [1]


@pytest.mark.parametrize("bad", [{0}, {99}, {41, 42, 43}, set(range(0, 100, 7)), set(range(100))])
def test_only_bad_rows_are_parked_and_all_others_stored(letters: DeadLetters, bad: set[int]) -> None:
    database = FlakyDatabase()
    rows = [a_reading(counter, actual_t=99.0 if counter in bad else 20.0) for counter in range(100)]

    settled = insert(database, letters, rows)

    assert settled.fates == ["bad_row" if counter in bad else "stored" for counter in range(100)]
    assert settled.away is None
    assert {counter for _, _, counter in letters.identities()} == bad
    assert letters.letters(1)[0].detail == "too hot"


def test_a_failure_in_the_middle_of_a_search_for_bad_rows_loses_nothing(letters: DeadLetters) -> None:
    class FailsLater(FlakyDatabase):
        def insert_readings(self, rows: Sequence[Reading]) -> list[Outcome]:
            if self.calls in (2, 4):
                self.failures = [AWAY]
            return super().insert_readings(rows)

    database = FailsLater()
    rows = [a_reading(counter, actual_t=99.0 if counter == 5 else 20.0) for counter in range(8)]

    settled = insert(database, letters, rows)

    assert [fate in ("stored", "duplicate") for fate in settled.fates] == [counter != 5 for counter in range(8)]
    assert settled.fates[5] == "bad_row"
    assert len(database.rows) == 7


def test_another_content_under_a_known_identity_is_parked_and_not_swallowed(letters: DeadLetters) -> None:
    database = FlakyDatabase()
    insert(database, letters, [a_reading(1)])

    settled = insert(database, letters, [a_reading(1, actual_t=30.0), a_reading(2)])

    assert settled.fates == ["mismatch", "stored"]
    assert [(letter.reason, letter.counter) for letter in letters.letters(9)] == [("mismatch", 1)]


def test_a_stop_ends_the_wait_and_leaves_the_rows_to_be_delivered_again(letters: DeadLetters) -> None:
    waits = Waits(stop_at=2)

    settled = insert(FlakyDatabase(*[AWAY] * 6), letters, [a_reading(1)], waits=waits)

    assert waits.asked == [1, 2]
    assert settled == Settled([None], None)
    assert letters.letters(9) == []


def test_what_the_dead_letters_refuse_has_no_fate(letters: DeadLetters, monkeypatch: pytest.MonkeyPatch) -> None:
    database = FlakyDatabase()
    insert(database, letters, [a_reading(1)])

    def refuse(readings: Sequence[Reading], reason: Reason, detail: str) -> None:
        raise WorldError("full")

    monkeypatch.setattr(letters, "park", refuse)
    rows = [a_reading(1, actual_t=30.0), a_reading(2, actual_t=99.0), a_reading(3)]
    up = insert(database, letters, rows)
    down = insert(FlakyDatabase(*[AWAY] * 6), letters, [replace(a_reading(), identity=None)])

    assert up == Settled([None, None, "stored"], refusal="full")
    assert down == Settled([None], "connection refused", "full")
