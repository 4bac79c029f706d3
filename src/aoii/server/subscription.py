"""What every subscriber of the readings needs: the client, and the decoding and counting of messages."""

import logging

from aoii.broker.client import Client, Message, Subscription
from aoii.broker.messages import READINGS_TOPIC, Estimate, Reading
from aoii.runtime import certificate_expiry, metrics
from aoii.server import ingest
from aoii.server.inbox import Inbox
from aoii.server.ingest import Malformed
from aoii.settings import Mqtt

log = logging.getLogger(__name__)

SESSION_EXPIRY_S = 7 * 86400  # long enough for a station that is away over a weekend
RECEIVE_MAXIMUM = 500  # unacknowledged messages that the broker may send; Mosquitto sends more


def connect(mqtt: Mqtt, client_id: str, inbox: Inbox) -> Client:
    """A client that puts every message of the readings' topic into the inbox; it connects when it is started.

    Args:
        mqtt: The broker.
        client_id: Names the session at the broker: one subscriber at a time.
        inbox: Where the network thread puts messages.
    """
    client = Client(
        mqtt,
        client_id,
        subscriptions=[Subscription(READINGS_TOPIC, 1)],
        on_message=inbox.put,
        on_state=_record_connection,
        on_refusal=metrics.broker_refused,
        session_expiry_s=SESSION_EXPIRY_S,
        receive_maximum=RECEIVE_MAXIMUM,
        manual_ack=True,
    )
    certificate_expiry.register("broker", mqtt.tls, lambda: client.certificate_expires)
    return client


def receive(message: Message) -> Reading | Estimate | Malformed:
    """The content of a message, counted."""
    content = ingest.decode_payload(message.payload)
    match content:
        case Reading():
            metrics.MESSAGES.labels(event="RX").inc()
        case Estimate():
            metrics.MESSAGES.labels(event="EST").inc()
        case Malformed(reason=reason, detail=detail):
            metrics.MESSAGES.labels(event="bad").inc()
            metrics.MESSAGES_REJECTED.labels(reason=reason).inc()
            log.warning("payload rejected", extra={"event": "payload_rejected", "reason": reason, "detail": detail})
    return content


def reconnect_after_overrun(inbox: Inbox, client: Client) -> None:
    """Have the broker deliver again what the inbox had no room for, once everything else has been taken."""
    if inbox.take_overrun():
        log.warning("inbox overrun, reconnecting", extra={"event": "inbox_overrun"})
        client.reconnect()


def _record_connection(is_ready: bool) -> None:
    """Set the metrics of the connection to the broker."""
    metrics.BROKER_UP.set(is_ready)
    if not is_ready:
        metrics.RECONNECTS.inc()
