"""What every subscriber does first with a message, and after an overrun; how many messages a real broker drops."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from aoii.broker.client import Client, Message, Subscription
from aoii.broker.messages import READINGS_TOPIC, Estimate, Reading, encode_estimate, encode_reading
from aoii.runtime import health_limits, metrics
from aoii.server import subscription
from aoii.server.inbox import Inbox
from aoii.server.ingest import Kept, Malformed
from aoii.settings import Mqtt
from server.samples import a_reading
from servers import Mosquitto, until

ESTIMATE = Estimate("gateway", "7", "2016-01-01 10:01:00", 0.4, 21.0, 40.0, 9, None)


def message(payload: bytes, mid: int = 1) -> Message:
    return Message("aoii/readings", payload, 1, mid, 1)


@pytest.mark.parametrize(
    ("payload", "kind", "event"),
    [(encode_reading(a_reading(), 1), Reading, "RX"), (encode_estimate(ESTIMATE), Estimate, "EST"),
     (b"\xff", Malformed, "bad")],
)  # fmt: skip
def test_a_message_is_decoded_and_counted_by_its_kind(payload: bytes, kind: type, event: str) -> None:
    before = metrics.value(metrics.MESSAGES, event=event)

    content = subscription.decode_and_count(message(payload))

    assert isinstance(content, kind)
    assert metrics.value(metrics.MESSAGES, event=event) == before + 1


def test_a_rejected_payload_is_counted_by_its_reason_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    before = metrics.value(metrics.MESSAGES_REJECTED, reason="json")

    subscription.decode_and_count(message(b"{"))

    assert metrics.value(metrics.MESSAGES_REJECTED, reason="json") == before + 1
    (record,) = caplog.records
    assert (record.message, vars(record)["reason"]) == ("payload rejected", "json")


@pytest.mark.parametrize(
    "payload",
    [encode_reading(replace(a_reading(), identity=None, gateway=None), 1), encode_estimate(ESTIMATE), b"\xff"],
)
def test_what_the_broker_has_retained_is_ignored(payload: bytes) -> None:
    before = metrics.value(metrics.MESSAGES_KEPT)

    content = subscription.decode_and_count(replace(message(payload), is_kept=True))

    assert content == Kept()
    assert metrics.value(metrics.MESSAGES_KEPT) == before + 1


def test_a_retained_reading_with_an_identity_is_taken_because_it_is_one_row_however_often_it_comes() -> None:
    assert subscription.decode_and_count(replace(message(encode_reading(a_reading(), 1)), is_kept=True)) == a_reading()


def test_an_impossible_delay_of_the_older_gateway_is_counted() -> None:
    before = metrics.value(metrics.DELAYS_UNKNOWN)
    fields = json.loads(encode_reading(replace(a_reading(), identity=None, gateway=None), 1))
    for key in ("v", "gateway", "kind", "qos", "event_unix_ms", "clock_synced"):
        fields.pop(key)

    content = subscription.decode_and_count(
        message(json.dumps(fields | {"transmission_delay_ms": 1_772_000_000_000}).encode())
    )

    assert isinstance(content, Reading)
    assert content.transmission_delay_ms is None
    assert metrics.value(metrics.DELAYS_UNKNOWN) == before + 1


def test_after_an_overrun_the_client_reconnects_once_and_only_when_the_inbox_is_empty() -> None:
    reconnects: list[int] = []
    client = cast(Client, SimpleNamespace(reconnect=lambda: reconnects.append(1)))
    inbox = Inbox(limit=1)
    inbox.put(message(b"", 1))
    inbox.put(message(b"", 2))

    subscription.reconnect_after_overrun(inbox, client)
    while_full = len(reconnects)
    inbox.take(1, 0)
    subscription.reconnect_after_overrun(inbox, client)
    subscription.reconnect_after_overrun(inbox, client)

    assert (while_full, len(reconnects)) == (0, 1)


def test_a_lost_connection_is_counted() -> None:
    before = metrics.value(metrics.RECONNECTS)

    subscription._record_connection(True)
    up = metrics.value(metrics.BROKER_UP)
    subscription._record_connection(False)

    assert (up, metrics.value(metrics.BROKER_UP)) == (1, 0)
    assert metrics.value(metrics.RECONNECTS) == before + 1


@pytest.mark.parametrize("command", ["aoii server", "aoii csv", "the watch of the broker"])
def test_two_subscribers_with_one_session_are_told_which_setting_parts_them(command: str, tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker:
        mqtt = Mqtt("127.0.0.1", broker.port, None, None)
        if command.startswith("aoii"):
            rivals = [subscription.connect(mqtt, "twin", Inbox(9), command) for _ in range(2)]
        else:
            rivals = [subscription.watch_broker(mqtt, "twin") for _ in range(2)]
        for one in rivals:
            one.start()

        until(lambda: all(one.short_connections >= health_limits.SHORT_CONNECTIONS for one in rivals), 120)

        told = str(rivals[0].trouble)
        metric = metrics.value(metrics.BROKER_SHORT_CONNECTIONS)
        for one in rivals:
            one.stop()
    own = command if command.startswith("aoii") else "aoii server"
    assert f"run one {own} for each broker, or give one of the two an MQTT_NAMESPACE of its own" in told
    if command.startswith("aoii"):
        assert metric >= health_limits.SHORT_CONNECTIONS


def test_a_broker_of_which_no_number_has_changed_for_a_minute_still_tells(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic read $SYS/broker/uptime\n")  # all that such a broker publishes
    with Mosquitto(tmp_path, extra=f"acl_file {acl}\nsys_interval 1") as broker:
        metrics.BROKER_SYS_UP.set(0)
        watch = subscription.watch_broker(Mqtt("127.0.0.1", broker.port, None, None), "watch")
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
        watch = subscription.watch_broker(mqtt, "watch")
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


@pytest.mark.parametrize("payload", [b"1_0", "١٠".encode(), b" 10", b"-1", b"1.5", b"", b"\xff"])
def test_a_statistic_that_is_no_number_of_ascii_changes_nothing(payload: bytes) -> None:
    subscription._record_statistics(Message(subscription.DROPPED_TOPIC, b"7", 0, 1, 1))
    metrics.BROKER_SYS_UP.set(0)

    subscription._record_statistics(Message(subscription.DROPPED_TOPIC, payload, 0, 1, 1))

    assert metrics.value(metrics.BROKER_DROPPED) == 7
    assert metrics.value(metrics.BROKER_SYS_UP) == 0
