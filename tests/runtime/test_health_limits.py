"""Limits that page, doctor and alerts share; that the alerts have them is in tests/deploy/test_prometheus.py."""

import pytest

from aoii.runtime import health_limits


@pytest.mark.parametrize(
    ("heartbeat_s", "limit_s"), [(None, 600), (0, 600), (60, 600), (480, 600), (481, 601), (3600, 3720)]
)
def test_a_node_may_be_silent_for_ten_minutes_or_its_heartbeat_and_two(
    heartbeat_s: float | None, limit_s: float
) -> None:
    assert health_limits.silence_limit_s(heartbeat_s) == limit_s


def test_where_page_or_doctor_have_a_limit_of_their_own_they_warn_before_the_alert() -> None:
    assert health_limits.PAGE_OUTBOX_OLD_S < health_limits.OUTBOX_OLD_S
    assert health_limits.DOCTOR_CERTIFICATE_DAYS > health_limits.CERTIFICATE_DAYS
