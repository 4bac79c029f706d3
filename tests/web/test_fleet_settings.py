"""The settings of all nodes: when an error is wrong, and when a node is silent."""

from dataclasses import replace

import pytest

from aoii.web.fleet_settings import FleetSettings

FLEET_SETTINGS = FleetSettings(beta_temp=0.5, beta_hum=3.0, period_s=60, heartbeat_s=3600)


@pytest.mark.parametrize(
    ("error_temp", "error_hum", "is_wrong"),
    [(0.49, 2.99, False), (0.5, 0.0, True), (-0.5, 0.0, True), (0.0, 3.0, True), (0.0, -3.0, True)],
)
def test_an_error_is_wrong_from_a_threshold_on(error_temp: float, error_hum: float, is_wrong: bool) -> None:
    assert FLEET_SETTINGS.is_wrong(error_temp, error_hum) == is_wrong


def test_a_node_may_have_thresholds_of_its_own() -> None:
    settings = replace(FLEET_SETTINGS, own_thresholds={"gateway/ttyUSB0": (0.3, 2.0)})

    assert settings.of("gateway/ttyUSB0").is_wrong(0.3, 0)
    assert not settings.of("7").is_wrong(0.3, 0)
    assert not settings.of(None).is_wrong(0.3, 0)


def test_a_node_is_silent_after_a_heartbeat_and_ten_minutes() -> None:
    assert FLEET_SETTINGS.silent_after_s == 3600 + 600


def test_a_node_without_heartbeats_is_silent_after_a_day() -> None:
    settings = replace(FLEET_SETTINGS, heartbeat_s=0)

    assert settings.silent_after_s == 86400 + 600


def test_both_ends_of_a_span_are_sample_instants() -> None:
    assert [FLEET_SETTINGS.instants(0, end_ms) for end_ms in (0, 59_999, 60_000)] == [1, 1, 2]
