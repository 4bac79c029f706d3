"""The inbox: messages between the network thread, which must never wait, and the thread that stores them.

It is bounded. When it is full, QoS 0 messages are dropped: a gateway publishes a reading again, and the next estimate
replaces a lost one. A QoS 1 message is left unacknowledged, and so is every later one on the same connection. Once the
inbox is empty, `take_overrun` returns True and the owner reconnects: then the broker delivers these messages again.
"""

import threading
import time
from collections import deque
from dataclasses import replace

from aoii.broker.client import Message
from aoii.broker.messages import PAYLOAD_LIMIT_BYTES
from aoii.runtime import metrics

INBOX_LIMIT = 20_000  # messages, about 20 MB; Mosquitto sends many times more than our Receive Maximum of 500
LINGER_S = 0.005  # a batch waits this long for more, so that a burst becomes one transaction


class Inbox:
    """Messages in the order of their arrival; `put` and `take` belong to different threads."""

    def __init__(self, limit: int = INBOX_LIMIT) -> None:
        self._limit = limit
        self._messages: deque[Message] = deque()
        self._changed = threading.Condition()
        self._overrun_connection: int | None = None  # which brought a message without room
        self._reported_connection: int | None = None  # whose overrun `take_overrun` reported last

    def put(self, message: Message) -> None:
        """Add a message, or leave it if there is no room; returns at once."""
        with self._changed:
            if message.qos and message.connection_number == self._overrun_connection:
                metrics.INBOX_OVERRUNS.labels(qos="1").inc()
                return  # acknowledging it later would acknowledge out of order
            if len(self._messages) >= self._limit:
                metrics.INBOX_OVERRUNS.labels(qos=str(message.qos)).inc()
                if message.qos:
                    self._overrun_connection = message.connection_number
                return
            if len(message.payload) > PAYLOAD_LIMIT_BYTES + 1:  # too long to decode; the beginning shows what it was
                message = replace(message, payload=message.payload[: PAYLOAD_LIMIT_BYTES + 1])
            self._messages.append(message)
            self._changed.notify()

    def take(self, limit: int, wait_s: float) -> list[Message]:
        """Remove the oldest messages, at most `limit`.

        Waits at most `wait_s` for the first one, and then at most `LINGER_S` for more; may return none.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._messages, wait_s):
                return []
            deadline = time.monotonic() + LINGER_S
            while len(self._messages) < limit and (left_s := deadline - time.monotonic()) > 0:
                self._changed.wait(left_s)
            return [self._messages.popleft() for _ in range(min(limit, len(self._messages)))]

    def take_overrun(self) -> bool:
        """Whether to reconnect: a message found no room, and all others are taken. True once for each overrun."""
        with self._changed:
            is_due = self._overrun_connection != self._reported_connection and not self._messages
            if is_due:
                self._reported_connection = self._overrun_connection
            return is_due
