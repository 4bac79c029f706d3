"""Local times and their instants, over clock changes of real zones."""
# ruff: noqa: DTZ001 - these times have no zone

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from aoii.server.local_time import first_local, to_local, to_utc

# (zone, an instant about the middle of a clock change in UTC)
CHANGES = [
    ("America/New_York", datetime(2026, 11, 1, 6)),  # back by an hour
    ("America/New_York", datetime(2026, 3, 8, 7)),  # forward
    ("Europe/Berlin", datetime(2026, 10, 25, 1)),
    ("Europe/Berlin", datetime(2026, 3, 29, 1)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15)),  # back by half an hour
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30)),
    ("Asia/Seoul", datetime(2026, 10, 25, 1)),  # never
]


@pytest.fixture(params=CHANGES, ids=lambda change: f"{change[0]}-{change[1]:%m}")
def change(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[datetime]:
    monkeypatch.setenv("TZ", request.param[0])
    time.tzset()
    yield request.param[1]
    monkeypatch.undo()
    time.tzset()


def test_every_instant_is_between_the_local_times_before_and_after(change: datetime) -> None:
    """An instant parts local times as it parts the instants that they stand for."""
    instants = [change + timedelta(minutes=minute) for minute in range(-240, 241, 7)]
    local_times = sorted({to_local(at) for at in instants})

    for at in instants:
        limit = first_local(at)
        assert [to_utc(local) < at for local in local_times] == [local < limit for local in local_times]


def test_later_local_times_never_have_earlier_instants(change: datetime) -> None:
    local_times = sorted({to_local(change + timedelta(minutes=minute)) for minute in range(-240, 241)})

    assert all(to_utc(before) < to_utc(after) for before, after in pairwise(local_times))


def test_away_from_clock_changes_both_are_inverse(change: datetime) -> None:
    at = change + timedelta(days=3, microseconds=123_456)

    assert to_utc(to_local(at)) == at
    assert first_local(at) == to_local(at)
