"""Watches how many messages the broker drops because a queue is full, and sets the metric; does nothing about it.

A broker acknowledges a message before it drops it, so only the broker knows. The watch has a connection of its own:
many brokers do not publish such numbers, or not to us, and readings must not suffer from that.
"""

import logging

from aoii.broker.client import Client, Message, Subscription
from aoii.runtime import metrics
from aoii.settings import Mqtt

log = logging.getLogger(__name__)

# Mosquitto's topics. It publishes every `sys_interval`, 10 s by default, and only what has changed; its last values are
# retained for a minute. The uptime always changes, so it shows whether the broker publishes such numbers at all.
DROPPED_TOPIC = "$SYS/broker/publish/messages/dropped"
UPTIME_TOPIC = "$SYS/broker/uptime"


class BrokerWatch:
    """The connection that subscribes to the broker's own numbers.

    Args:
        mqtt: The broker.
        client_id: Of this connection.
    """

    def __init__(self, mqtt: Mqtt, client_id: str) -> None:
        self._client = Client(
            mqtt,
            client_id,
            subscriptions=[Subscription(DROPPED_TOPIC, 0), Subscription(UPTIME_TOPIC, 0)],
            on_message=self._record_message,
            on_state=self._record_connection,
        )

    def start(self) -> None:
        """Connect, and stay connected."""
        self._client.start()

    def stop(self, timeout_s: float) -> None:
        """Disconnect."""
        self._client.stop(timeout_s)

    # In the network thread.

    def _record_message(self, message: Message) -> None:
        if message.topic == DROPPED_TOPIC:
            try:
                metrics.BROKER_DROPPED.set(int(message.payload))
            except ValueError:
                return
        metrics.BROKER_SYS_UP.set(1)

    def _record_connection(self, is_ready: bool) -> None:
        if not is_ready:
            metrics.BROKER_SYS_UP.set(0)
