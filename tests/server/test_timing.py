"""What the server sees of clocks and latency, and what the broker says that it has dropped."""

from dataclasses import replace
from pathlib import Path

import pytest

from aoii.broker.client import Client, Subscription
from aoii.broker.messages import READINGS_TOPIC, Estimate
from aoii.runtime import metrics
from aoii.runtime.clock import Clock
from aoii.server import timing
from aoii.server.broker_watch import BrokerWatch
from aoii.server.timing import Timing
from aoii.settings import Mqtt
from server.samples import a_reading
from servers import Mosquitto, until

START_S = 1_700_000_000
STANDING = Clock(speed=1e-9, start_unix_s=START_S)


def estimate(gateway: str | None, unix_ms: int | None) -> Estimate:
    return Estimate(gateway, "7", "", 0.5, 20.0, 40.0, 1, unix_ms)


def offset_s(gateway: str) -> float | None:
    return metrics.REGISTRY.get_sample_value("aoii_gateway_clock_offset_seconds", {"gateway": gateway})


def taken() -> tuple[float, float]:
    """Readings timed so far, and the sum of their times."""
    name = "aoii_end_to_end_latency_seconds"
    return (
        metrics.REGISTRY.get_sample_value(f"{name}_count") or 0,
        metrics.REGISTRY.get_sample_value(f"{name}_sum") or 0,
    )


def test_the_clock_of_a_gateway_is_what_its_estimate_says_against_ours() -> None:
    clocks = Timing(STANDING)

    clocks.estimated(estimate("early", 1000 * START_S - 90_000))
    clocks.estimated(estimate("unsure", None))
    clocks.estimated(estimate(None, 1000 * START_S))

    assert offset_s("early") == -90
    assert offset_s("unsure") is None


def test_names_of_gateways_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "GATEWAYS_LIMIT", 2)
    clocks = Timing(STANDING)

    for name in ("one", "two", "three", "one"):
        clocks.estimated(estimate(name, 1000 * START_S))

    assert offset_s("two") == 0
    assert offset_s("three") is None


def test_a_reading_is_timed_from_its_sample_if_that_time_was_believed() -> None:
    clocks = Timing(STANDING)
    count, total = taken()
    sampled = a_reading(event_unix_ms=1000 * START_S - 2500, clock_synced=True)

    clocks.stored(sampled)
    clocks.stored(replace(sampled, clock_synced=False))
    clocks.stored(replace(sampled, event_unix_ms=1000 * START_S + 60_000))  # its clock runs ahead of ours

    assert taken() == (count + 2, total + 2.5)


def test_a_broker_of_which_no_number_has_changed_for_a_minute_still_tells(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic read $SYS/broker/uptime\n")  # all that is heard of such a broker
    with Mosquitto(tmp_path, extra=f"acl_file {acl}\nsys_interval 1") as broker:
        metrics.BROKER_SYS_UP.set(0)
        watch = BrokerWatch(Mqtt("127.0.0.1", broker.port, None, None), "watch")
        watch.start()
        try:
            until(lambda: metrics.value(metrics.BROKER_SYS_UP) == 1, what="what the broker says of itself")
        finally:
            watch.stop(1.0)


def test_what_the_broker_has_dropped_is_told(tmp_path: Path) -> None:
    with Mosquitto(tmp_path, extra="max_queued_messages 5\nsys_interval 1") as broker:
        mqtt = Mqtt("127.0.0.1", broker.port, None, None, namespace="watched")
        away = Client(mqtt, "away", subscriptions=[Subscription(READINGS_TOPIC, 1)], session_expiry_s=600)
        away.start()
        assert away.wait_ready(15)
        away.stop()
        watch = BrokerWatch(mqtt, "watch")
        watch.start()
        sender = Client(mqtt, "sender")
        sender.start()
        try:
            until(lambda: metrics.value(metrics.BROKER_SYS_UP) == 1, 30, "what the broker says of itself")
            assert sender.wait_ready(15)
            before = metrics.value(metrics.BROKER_DROPPED)

            assert all(sender.publish(READINGS_TOPIC, b"%d" % number, 1) for number in range(25))

            until(lambda: metrics.value(metrics.BROKER_DROPPED) >= before + 20, 30, "that it has dropped 20")
            broker.kill()
            until(lambda: metrics.value(metrics.BROKER_SYS_UP) == 0, 30, "that it says nothing any more")
        finally:
            sender.stop()
            watch.stop(1.0)
