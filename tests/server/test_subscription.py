"""What every subscriber does first with a message, and after an overrun."""

from types import SimpleNamespace
from typing import cast

import pytest

from aoii.broker.client import Client, Message
from aoii.broker.messages import Estimate, Reading, encode_estimate, encode_reading
from aoii.runtime import metrics
from aoii.server import subscription
from aoii.server.inbox import Inbox
from aoii.server.ingest import Malformed
from server.samples import a_reading

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

    content = subscription.receive(message(payload))

    assert isinstance(content, kind)
    assert metrics.value(metrics.MESSAGES, event=event) == before + 1


def test_a_rejected_payload_is_counted_by_its_reason_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    before = metrics.value(metrics.MESSAGES_REJECTED, reason="json")

    subscription.receive(message(b"{"))

    assert metrics.value(metrics.MESSAGES_REJECTED, reason="json") == before + 1
    (record,) = caplog.records
    assert (record.message, vars(record)["reason"]) == ("payload rejected", "json")


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
