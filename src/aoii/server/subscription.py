"""Connections to the broker: one for readings, which it decodes and counts, one for the broker's statistics."""

import logging

from aoii.broker.client import Client, Message, Subscription
from aoii.broker.messages import READINGS_TOPIC, Estimate, Reading
from aoii.runtime import certificate_expiry, metrics
from aoii.runtime.numerals import whole
from aoii.server import ingest
from aoii.server.inbox import Inbox
from aoii.server.ingest import Kept, Malformed
from aoii.settings import Mqtt

log = logging.getLogger(__name__)

SESSION_EXPIRY_S = 7 * 86400  # long enough for a station that is away over a weekend
RECEIVE_MAXIMUM = 500  # unacknowledged messages that the broker may send; Mosquitto sends more
EVENTS = {Reading: "RX", Estimate: "EST", Malformed: "bad"}

# Mosquitto's topics. Every `sys_interval`, 10 s by default, it publishes those whose value has changed; it retains the
# last values for a minute. The uptime always changes, so it shows whether the broker publishes its statistics at all.
DROPPED_TOPIC = "$SYS/broker/publish/messages/dropped"
UPTIME_TOPIC = "$SYS/broker/uptime"


def connect(mqtt: Mqtt, client_id: str, inbox: Inbox, command: str) -> Client:
    """A client that puts every message of the readings' topic into the inbox; it connects when it is started.

    Args:
        mqtt: The broker.
        client_id: Names the session at the broker: one subscriber at a time.
        inbox: Where the network thread puts messages.
        command: The station's command, for people.
    """
    client = Client(
        mqtt,
        client_id,
        subscriptions=[Subscription(READINGS_TOPIC, 1)],
        on_message=inbox.put,
        on_state=_record_connection,
        on_refusal=metrics.count_broker_refusal,
        session_expiry_s=SESSION_EXPIRY_S,
        receive_maximum=RECEIVE_MAXIMUM,
        manual_ack=True,
        unique_id=_unique_id(command),
    )
    metrics.BROKER_SHORT_CONNECTIONS.set_function(lambda: client.short_connections)
    certificate_expiry.register("broker", mqtt.tls, lambda: client.certificate_expires)
    return client


def _unique_id(command: str) -> str:
    return f"run one {command} for each broker, or give one of the two an MQTT_NAMESPACE of its own"


def decode_and_count(message: Message) -> Reading | Estimate | Malformed | Kept:
    """The content of a message, which is counted; a malformed one is also logged."""
    content = ingest.decode_payload(message.payload)
    if ingest.is_kept(message.is_kept, content):
        metrics.MESSAGES_KEPT.inc()
        fields = {"event": "message_kept", "topic": message.topic}
        log.info("message ignored that the broker has retained; mosquitto_pub -r -n removes it", extra=fields)
        return Kept()
    metrics.MESSAGES.labels(event=EVENTS[type(content)]).inc()
    if isinstance(content, Reading) and content.is_delay_impossible:
        metrics.DELAYS_UNKNOWN.inc()
    if isinstance(content, Malformed):
        metrics.MESSAGES_REJECTED.labels(reason=content.reason).inc()
        fields = {"event": "payload_rejected", "reason": content.reason, "detail": content.detail}
        log.warning("payload rejected", extra=fields)
    return content


def reconnect_after_overrun(inbox: Inbox, client: Client) -> None:
    """Reconnect once an inbox that was full is empty: the broker then delivers again what found no room."""
    if inbox.take_overrun():
        log.warning("inbox overrun, reconnecting", extra={"event": "inbox_overrun"})
        client.reconnect()


def watch_broker(mqtt: Mqtt, client_id: str) -> Client:
    """A client that sets the metric of the messages that the broker drops because a queue is full.

    A broker acknowledges a message before it drops it, so nobody else knows. The client has a connection of its own,
    because many brokers do not publish their statistics, or not to us, and readings must not suffer from that.
    """
    return Client(
        mqtt,
        client_id,
        subscriptions=[Subscription(topic, 0, wants_kept=True) for topic in (DROPPED_TOPIC, UPTIME_TOPIC)],
        on_message=_record_statistics,
        on_state=lambda is_ready: None if is_ready else metrics.BROKER_SYS_UP.set(0),
        unique_id=_unique_id("aoii server"),
    )


# The clients call these in their network threads.


def _record_statistics(message: Message) -> None:
    if message.topic == DROPPED_TOPIC:
        try:
            metrics.BROKER_DROPPED.set(whole(message.payload.decode("ascii")))
        except ValueError:
            return
    metrics.BROKER_SYS_UP.set(1)


def _record_connection(is_ready: bool) -> None:
    """Set the metrics of the connection to the broker."""
    metrics.BROKER_UP.set(is_ready)
    if not is_ready:
        metrics.RECONNECTS.inc()
