"""Milliseconds since a stored instant: exact within a run of the gateway, by the wall clock across a restart."""

import pytest

from aoii.gateway.readings import Instant, since_ms

NOW = Instant(unix_ms=100_000, is_synced=True, elapsed_ms=5_000, session=2)
UNSYNCED = Instant(unix_ms=100_000, is_synced=False, elapsed_ms=5_000, session=2)


def test_within_a_session_only_the_elapsed_clock_counts() -> None:
    assert since_ms(UNSYNCED, 999_999, False, 4_000, 2) == 1_000
    assert since_ms(NOW, 0, True, 6_000, 2) == 0


def test_across_a_restart_the_wall_clock_counts() -> None:
    assert since_ms(NOW, 40_000, True, 4_999, 1) == 60_000


@pytest.mark.parametrize(
    ("now", "then_unix_ms", "then_synced"), [(UNSYNCED, 40_000, True), (NOW, 40_000, False), (NOW, 100_001, True)]
)
def test_across_a_restart_it_is_unknown_without_a_synced_clock_that_ran_forwards(
    now: Instant, then_unix_ms: int, then_synced: bool
) -> None:
    assert since_ms(now, then_unix_ms, then_synced, 0, 1) is None
