"""Local time without zone, as in the column `created_at`, and the instants that it stands for.

When clocks go back, an hour of local times comes twice. A row that has nothing else counts in the first of the two, so
every row has exactly one instant, and later local times never have earlier ones.
"""

from bisect import bisect_left
from datetime import UTC, datetime, timedelta

LONGEST_REPEAT_S = 86400  # no zone has gone back by more: Samoa in 1892, and Alaska in 1867


def to_utc(local: datetime) -> datetime:
    """The first instant with this local time, as UTC without zone."""
    return local.replace(fold=0).astimezone(UTC).replace(tzinfo=None)


def to_local(at: datetime) -> datetime:
    """The local time at an instant, which is UTC without zone."""
    return at.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)


def first_local(at: datetime) -> datetime:
    """The first local time whose instant (see `to_utc`) is not before `at`, which is UTC without zone."""
    local = to_local(at).replace(fold=0)
    if to_utc(local) >= at:
        return local
    start = local.replace(microsecond=0)  # in the repeated hour: its end is looked for
    seconds = bisect_left(range(LONGEST_REPEAT_S), at, key=lambda second: to_utc(start + timedelta(seconds=second)))
    return start + timedelta(seconds=seconds)
