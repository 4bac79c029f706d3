"""A failure that lasts is said once, each new cause once, and its end."""

import logging

import pytest

from aoii.runtime import failure_log
from aoii.runtime.failure_log import CAUSES_LIMIT, FailureLog

log = logging.getLogger("test")


class Time:
    """A monotonic clock that a test moves."""

    now_s = 0.0

    def monotonic(self) -> float:
        """The present."""
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr(failure_log, "time", clock)
    return clock


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, str | None]]:
    return [(one.levelname, vars(one)["event"], vars(one).get("reason")) for one in caplog.records]


def test_a_failure_is_logged_once_when_it_has_lasted_and_once_for_each_new_cause(
    clock: Time, caplog: pytest.LogCaptureFixture
) -> None:
    failures = FailureLog(log, "broker not reached", "away", lasts_s=3)

    for clock.now_s in range(100):
        failures.record_failure("refused" if clock.now_s % 2 else "no route")

    assert lines(caplog) == [("WARNING", "away", "refused"), ("WARNING", "away", "no route")]


def test_a_failure_that_is_soon_over_is_not_logged(clock: Time, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    failures = FailureLog(log, "broker not reached", "away", lasts_s=3)

    for clock.now_s in (0, 2.9, 10, 12.9):
        failures.record_failure("refused")
        if clock.now_s == 2.9:
            failures.record_success()

    assert lines(caplog) == []


def test_the_end_of_a_logged_failure_is_logged_and_the_next_one_too(
    clock: Time, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    failures = FailureLog(log, "port away", "away", ("port open", "open"), 0, {"port": "p"}, logging.ERROR)

    for _ in range(2):
        failures.record_failure("gone", attempt=1)
        assert failures.is_logged
        failures.record_success()
        failures.record_success()

    assert lines(caplog) == [("ERROR", "away", "gone"), ("INFO", "open", None)] * 2
    assert {vars(one)["port"] for one in caplog.records} == {"p"}


def test_a_peer_that_invents_causes_does_not_fill_the_log(clock: Time, caplog: pytest.LogCaptureFixture) -> None:
    failures = FailureLog(log, "broker not reached", "away", lasts_s=0)

    for number in range(1000):
        failures.record_failure(str(number))

    assert len(caplog.records) == CAUSES_LIMIT
