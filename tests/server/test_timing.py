"""Clock offsets and latencies, as metrics."""

from dataclasses import replace

import pytest

from aoii.broker.messages import Estimate
from aoii.runtime import metrics
from aoii.runtime.clock import Clock
from aoii.server import timing
from aoii.server.timing import Timing
from server.samples import a_reading

START_S = 1_700_000_000
STANDING = Clock(speed=1e-9, start_unix_s=START_S)


def estimate(gateway: str | None, unix_ms: int | None) -> Estimate:
    return Estimate(gateway, "7", "", 0.5, 20.0, 40.0, 1, unix_ms)


def offset_s(gateway: str) -> float | None:
    return metrics.BY_STATION["server"].get_sample_value("aoii_gateway_clock_offset_seconds", {"gateway": gateway})


def taken() -> tuple[float, float]:
    """Readings timed so far, and the sum of their times."""
    name = "aoii_end_to_end_seconds"
    return (
        metrics.BY_STATION["server"].get_sample_value(f"{name}_count") or 0,
        metrics.BY_STATION["server"].get_sample_value(f"{name}_sum") or 0,
    )


def test_the_clock_of_a_gateway_is_what_its_estimate_says_against_ours() -> None:
    clocks = Timing(STANDING)

    clocks.record_clock_offset(estimate("early", 1000 * START_S - 90_000))
    clocks.record_clock_offset(estimate("unsure", None))
    clocks.record_clock_offset(estimate(None, 1000 * START_S))

    assert offset_s("early") == -90
    assert offset_s("unsure") is None


def test_names_of_gateways_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "GATEWAYS_LIMIT", 2)
    clocks = Timing(STANDING)

    for name in ("one", "two", "three", "one"):
        clocks.record_clock_offset(estimate(name, 1000 * START_S))

    assert offset_s("two") == 0
    assert offset_s("three") is None


def test_latency_counts_from_the_sample_if_the_clock_was_synchronised() -> None:
    clocks = Timing(STANDING)
    count, total = taken()
    sampled = a_reading(event_unix_ms=1000 * START_S - 2500, clock_synced=True)

    clocks.record_latency(sampled)
    clocks.record_latency(replace(sampled, clock_synced=False))
    clocks.record_latency(replace(sampled, event_unix_ms=1000 * START_S + 60_000))  # its clock runs ahead of ours

    assert taken() == (count + 2, total + 2.5)
