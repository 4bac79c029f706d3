"""Hears the broker's account of itself: how many messages it has dropped because a queue was full.

A broker that drops a message has acknowledged it before, so nobody else can know. On a connection of its own: brokers
that say nothing about themselves, or not to us, are no fault of the readings. It refuses to do anything about it.
"""

import logging

from aoii.broker.client import Client, Message, Subscription
from aoii.runtime import metrics
from aoii.settings import Mqtt

log = logging.getLogger(__name__)

# Of Mosquitto, which speaks every `sys_interval`, 10 s by default, and only of what has changed; what it said before
# is kept for a minute. Its uptime always changes, so that one tells whether it speaks at all.
DROPPED_TOPIC = "$SYS/broker/publish/messages/dropped"
UPTIME_TOPIC = "$SYS/broker/uptime"


class BrokerWatch:
    """The connection.

    Args:
        mqtt: The broker.
        client_id: Of this connection.
    """

    def __init__(self, mqtt: Mqtt, client_id: str) -> None:
        self._client = Client(
            mqtt,
            client_id,
            subscriptions=[Subscription(DROPPED_TOPIC, 0), Subscription(UPTIME_TOPIC, 0)],
            on_message=self._heard,
            on_state=self._changed,
        )

    def start(self) -> None:
        """Begin to listen."""
        self._client.start()

    def stop(self, timeout_s: float) -> None:
        """Listen no more."""
        self._client.stop(timeout_s)

    # In the network thread.

    def _heard(self, message: Message) -> None:
        if message.topic == DROPPED_TOPIC:
            try:
                metrics.BROKER_DROPPED.set(int(message.payload))
            except ValueError:
                return
        metrics.BROKER_SYS_UP.set(1)

    def _changed(self, is_ready: bool) -> None:
        if not is_ready:
            metrics.BROKER_SYS_UP.set(0)
