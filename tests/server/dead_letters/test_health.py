"""Whether the dead letters can be used: the metrics, and what is logged once."""

import math
from pathlib import Path

import pytest

from aoii.core.errors import UnavailableError
from aoii.runtime import metrics
from aoii.server.dead_letters.health import DeadLetterHealth
from aoii.server.dead_letters.store import DeadLetters
from server.samples import a_reading, fill


def test_the_metrics_count_letters_by_reason(letters: DeadLetters) -> None:
    letters.add([a_reading(1), a_reading(2)], "mismatch", "")
    health = DeadLetterHealth(letters)

    health.update_metrics()

    assert metrics.value(metrics.DEAD_LETTERS, reason="mismatch") == 2
    assert metrics.value(metrics.DEAD_LETTERS, reason="bad_row") == 0
    assert health.can_add


def test_at_the_cap_there_is_no_room(letters: DeadLetters) -> None:
    fill(letters)
    health = DeadLetterHealth(letters)

    health.update_metrics()

    assert not health.can_add


def test_problems_are_logged_once_until_all_of_them_are_over(
    letters: DeadLetters, caplog: pytest.LogCaptureFixture
) -> None:
    health = DeadLetterHealth(letters)

    health.record("add", "full")
    health.record("replay", "full")
    health.record("replay", None)
    health.record("add", "full")
    still_failing = health.can_add
    health.record("add", None)
    health.record("add", "full again")

    assert not still_failing
    assert [vars(record)["reason"] for record in caplog.records] == ["full", "full again"]


def test_letters_that_cannot_be_counted_leave_no_room(letters: DeadLetters, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise UnavailableError("unreadable")

    health = DeadLetterHealth(letters)
    with monkeypatch.context() as patch:
        patch.setattr(letters, "counts", fail)
        health.update_metrics()
        during = health.can_add
    health.update_metrics()

    assert (during, health.can_add) == (False, True)


def test_a_recovery_is_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "damaged.db"
    path.write_bytes(b"not a database at all" * 500)
    damaged = DeadLetters(path, 1)
    health = DeadLetterHealth(damaged)
    lost = metrics.value(metrics.DEAD_LETTERS_DAMAGED, outcome="lost")

    health.update_metrics()
    health.update_metrics()
    damaged.close()

    assert metrics.value(metrics.DEAD_LETTERS_DAMAGED, outcome="lost") == lost + 1
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert vars(record)["event"] == "dead_letters_damaged"


def test_dead_letters_that_go_on_coming_say_when_they_are_full(letters: DeadLetters) -> None:
    at_s = 0.0
    health = DeadLetterHealth(letters, lambda: at_s)
    health.update_metrics()
    at_start = metrics.value(metrics.DEAD_LETTERS_TIME_TO_FULL_S)

    for minute in range(11):
        letters.add([a_reading(30 * minute + number) for number in range(30)], "database_away", "")
        at_s += 60
        health.update_metrics()
    promised_s = metrics.value(metrics.DEAD_LETTERS_TIME_TO_FULL_S)
    left = fill(letters, "8")
    health.update_metrics()

    assert math.isnan(at_start)
    assert promised_s == pytest.approx(left / 30 * 60, rel=0.2)
    assert metrics.value(metrics.DEAD_LETTERS_TIME_TO_FULL_S) == 0
    assert math.isnan(metrics.value(metrics.DISK_TIME_TO_FULL_S))  # of a disk ten minutes say nothing
