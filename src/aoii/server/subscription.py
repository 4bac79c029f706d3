"""What every subscriber of the readings does with a message first: read it, count it, say what is wrong with it."""

import logging

from aoii.broker.client import Client, Message
from aoii.broker.messages import Estimate, Reading
from aoii.runtime import metrics
from aoii.server import ingest
from aoii.server.inbox import Inbox
from aoii.server.ingest import Malformed

log = logging.getLogger(__name__)


def receive(message: Message) -> Reading | Estimate | Malformed:
    """What a message is, counted."""
    content = ingest.read(message.payload)
    match content:
        case Reading():
            metrics.MESSAGES.labels(event="RX").inc()
        case Estimate():
            metrics.MESSAGES.labels(event="EST").inc()
        case Malformed(reason=reason, detail=detail):
            metrics.MESSAGES.labels(event="bad").inc()
            metrics.MESSAGES_REJECTED.labels(reason=reason).inc()
            log.warning("payload refused", extra={"event": "payload_refused", "reason": reason, "detail": detail})
    return content


def reconnect_when_overrun(inbox: Inbox, client: Client) -> None:
    """Have the broker deliver again what the inbox had to leave, as soon as everything else has been taken."""
    if inbox.overrun():
        log.warning("inbox overrun, reconnecting", extra={"event": "inbox_overrun"})
        client.reconnect()


def note_state(is_ready: bool) -> None:
    """Keep the gauges of the broker connection."""
    metrics.BROKER_UP.set(is_ready)
    if not is_ready:
        metrics.RECONNECTS.inc()
