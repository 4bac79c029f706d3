"""Whether the dead letters can be used: the metrics, and what is logged once."""

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
