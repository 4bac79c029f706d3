"""What every subscriber of the readings does first: decode a message, count it, and log what is wrong with it."""

import logging

from aoii.broker.client import Client, Message
from aoii.broker.messages import Estimate, Reading
from aoii.runtime import metrics
from aoii.server import ingest
from aoii.server.inbox import Inbox
from aoii.server.ingest import Malformed

log = logging.getLogger(__name__)


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


def record_connection(is_ready: bool) -> None:
    """Set the metrics of the connection to the broker."""
    metrics.BROKER_UP.set(is_ready)
    if not is_ready:
        metrics.RECONNECTS.inc()
