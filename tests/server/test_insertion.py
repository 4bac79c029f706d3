"""`insert_reading_with_retry` against a database and dead letters that fail as told."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from aoii.broker.messages import DeliveryStatus, Reading
from aoii.core.errors import UnavailableError
from aoii.server.database_errors import BadRow, DatabaseAway
from aoii.server.db import Database
from aoii.server.dead_letters.store import DeadLetters
from aoii.server.insertion import CONFLICT_RETRIES, Insertion, insert_reading_with_retry
from server.samples import a_reading

AWAY = DatabaseAway("unreachable", "connection refused")
CONFLICT = DatabaseAway("conflict", "deadlock")


class FlakyDatabase(Database):
    """Fails with `failures` first, then stores; refuses readings over 60 °C for ever."""

    def __init__(self, *failures: DatabaseAway) -> None:
        self.failures = list(failures)
        self.rows: list[Reading] = []
        self.calls = 0

    def insert_readings(self, rows: Sequence[Reading]) -> list[DeliveryStatus]:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        if any(row.actual_t > 60 for row in rows):
            raise BadRow("too hot")
        outcomes: list[DeliveryStatus] = []
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
) -> Insertion:
    return insert_reading_with_retry(database, letters, rows, tries=tries, base_delay_s=1.0, pause=waits or Waits())


def statuses(insertion: Insertion) -> list[DeliveryStatus | None]:
    return [None if delivery is None else delivery.status for delivery in insertion.deliveries]


def outcome(insertion: Insertion) -> tuple[list[DeliveryStatus | None], str | None, str | None]:
    """What became of each, why the database was given up, and what the dead letters refused."""
    return statuses(insertion), None if insertion.away is None else str(insertion.away), insertion.dead_letter_problem


def test_a_batch_is_stored_without_a_wait(letters: DeadLetters) -> None:
    waits = Waits()

    insertion = insert(FlakyDatabase(), letters, [a_reading(1), a_reading(2), a_reading(1)], waits=waits)

    assert outcome(insertion) == (["stored", "stored", "duplicate"], None, None)
    assert waits.asked == []


def test_it_waits_1_2_4_8_16_seconds_and_then_they_are_dead_letters(letters: DeadLetters) -> None:
    waits = Waits()
    database = FlakyDatabase(*[AWAY] * 6)

    insertion = insert(database, letters, [a_reading(1), a_reading(2)], waits=waits)

    assert waits.asked == [1, 2, 4, 8, 16]
    assert outcome(insertion) == (["database_away", "database_away"], "connection refused", None)
    assert [(letter.reason, letter.detail) for letter in letters.letters(9)] == [
        ("database_away", "connection refused")
    ] * 2


def test_the_last_try_may_succeed(letters: DeadLetters) -> None:
    insertion = insert(FlakyDatabase(*[AWAY] * 5), letters, [a_reading(1)])

    assert outcome(insertion) == (["stored"], None, None)
    assert letters.counts()["database_away"] == 0


def test_without_a_try_they_are_dead_letters_at_once(letters: DeadLetters) -> None:
    database = FlakyDatabase()

    insertion = insert(database, letters, [a_reading(1)], tries=0)

    assert outcome(insertion) == (["database_away"], "known to be away", None)
    assert database.calls == 0


def test_a_deadlock_is_replayed_whole_and_at_once(letters: DeadLetters) -> None:
    waits = Waits()
    database = FlakyDatabase(*[CONFLICT] * CONFLICT_RETRIES)

    insertion = insert(database, letters, [a_reading(1), a_reading(2)], waits=waits)

    assert outcome(insertion) == (["stored", "stored"], None, None)
    assert waits.asked == []


def test_a_lock_that_stays_is_waited_for(letters: DeadLetters) -> None:
    waits = Waits()

    insertion = insert(FlakyDatabase(*[CONFLICT] * (CONFLICT_RETRIES + 1)), letters, [a_reading(1)], waits=waits)

    assert statuses(insertion) == ["stored"]
    assert waits.asked == [1]


@pytest.mark.parametrize("bad", [{0}, {99}, {41, 42, 43}, set(range(0, 100, 7)), set(range(100))])
def test_only_bad_rows_are_dead_letters_and_all_others_stored(letters: DeadLetters, bad: set[int]) -> None:
    database = FlakyDatabase()
    rows = [a_reading(counter, actual_t=99.0 if counter in bad else 20.0) for counter in range(100)]

    insertion = insert(database, letters, rows)

    assert statuses(insertion) == ["bad_row" if counter in bad else "stored" for counter in range(100)]
    assert insertion.away is None
    assert {who.counter for who in letters.identities()} == bad
    assert letters.letters(1)[0].detail == "too hot"


def test_a_failure_in_the_middle_of_a_search_for_bad_rows_loses_nothing(letters: DeadLetters) -> None:
    class FailsLater(FlakyDatabase):
        def insert_readings(self, rows: Sequence[Reading]) -> list[DeliveryStatus]:
            if self.calls in (2, 4):
                self.failures = [AWAY]
            return super().insert_readings(rows)

    database = FailsLater()
    rows = [a_reading(counter, actual_t=99.0 if counter == 5 else 20.0) for counter in range(8)]

    insertion = insert(database, letters, rows)

    assert [status in ("stored", "duplicate") for status in statuses(insertion)] == [
        counter != 5 for counter in range(8)
    ]
    assert statuses(insertion)[5] == "bad_row"
    assert len(database.rows) == 7


def test_another_content_under_a_known_identity_is_a_dead_letter_and_not_swallowed(letters: DeadLetters) -> None:
    database = FlakyDatabase()
    insert(database, letters, [a_reading(1)])

    insertion = insert(database, letters, [a_reading(1, actual_t=30.0), a_reading(2)])

    assert statuses(insertion) == ["mismatch", "stored"]
    assert [(letter.reason, letter.counter) for letter in letters.letters(9)] == [("mismatch", 1)]
    (letter,) = letters.letters(9)
    assert "if the node's flash was erased, give it a new key and epoch (aoii node replace)" in letter.detail


def test_a_stop_ends_the_wait_and_leaves_the_rows_to_be_delivered_again(letters: DeadLetters) -> None:
    waits = Waits(stop_at=2)

    insertion = insert(FlakyDatabase(*[AWAY] * 6), letters, [a_reading(1)], waits=waits)

    assert waits.asked == [1, 2]
    assert outcome(insertion) == ([None], None, None)
    assert letters.letters(9) == []


def test_what_the_dead_letters_refuse_has_no_delivery(letters: DeadLetters, monkeypatch: pytest.MonkeyPatch) -> None:
    database = FlakyDatabase()
    insert(database, letters, [a_reading(1)])

    def refuse(readings: Sequence[Reading], reason: DeliveryStatus, detail: str) -> None:
        raise UnavailableError("full")

    monkeypatch.setattr(letters, "add", refuse)
    rows = [a_reading(1, actual_t=30.0), a_reading(2, actual_t=99.0), a_reading(3)]
    up = insert(database, letters, rows)
    down = insert(FlakyDatabase(*[AWAY] * 6), letters, [replace(a_reading(), identity=None)])

    assert outcome(up) == ([None, None, "stored"], None, "full")
    assert outcome(down) == ([None], "connection refused", "full")
