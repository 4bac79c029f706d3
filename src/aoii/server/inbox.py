"""The bounded place between the network thread, which must never wait, and the thread that works.

A QoS 0 message for which there is no room is gone: a reading is published again by its gateway, an estimate is replaced
by the next. A QoS 1 message for which there is no room is left unacknowledged, with everything after it on the same
connection, and `overrun` tells the owner to reconnect when it has worked off the rest: the broker then delivers them
again.
"""

import threading
import time
from collections import deque
from dataclasses import replace

from aoii.broker.client import Message
from aoii.broker.messages import PAYLOAD_LIMIT_BYTES
from aoii.runtime import metrics

INBOX_LIMIT = 20_000  # messages, about 20 MB; Mosquitto overruns our Receive Maximum of 500 many times over
LINGER_S = 0.005  # a batch waits this long for more, so that a burst becomes one transaction


class Inbox:
    """Messages in the order of their arrival; `put` and `take` belong to different threads."""

    def __init__(self, limit: int = INBOX_LIMIT) -> None:
        self._limit = limit
        self._messages: deque[Message] = deque()
        self._changed = threading.Condition()
        self._overrun_generation: int | None = None
        self._told_generation: int | None = None

    def put(self, message: Message) -> None:
        """Take a message from the network thread, or leave it; returns at once."""
        with self._changed:
            if message.qos and message.generation == self._overrun_generation:
                metrics.INBOX_OVERRUNS.labels(qos="1").inc()
                return  # acknowledging what follows would acknowledge out of order
            if len(self._messages) >= self._limit:
                metrics.INBOX_OVERRUNS.labels(qos=str(message.qos)).inc()
                if message.qos:
                    self._overrun_generation = message.generation
                return
            if len(message.payload) > PAYLOAD_LIMIT_BYTES + 1:  # too long to be read; the beginning shows what it was
                message = replace(message, payload=message.payload[: PAYLOAD_LIMIT_BYTES + 1])
            self._messages.append(message)
            self._changed.notify()

    def take(self, limit: int, wait_s: float) -> list[Message]:
        """The oldest messages, at most `limit`; waits `wait_s` for the first and `LINGER_S` for more; may be empty."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._messages, wait_s):
                return []
            deadline = time.monotonic() + LINGER_S
            while len(self._messages) < limit and (left_s := deadline - time.monotonic()) > 0:
                self._changed.wait(left_s)
            return [self._messages.popleft() for _ in range(min(limit, len(self._messages)))]

    def overrun(self) -> bool:
        """Whether messages were left and all others have been taken, told once: reconnect now."""
        with self._changed:
            due = self._overrun_generation != self._told_generation and not self._messages
            if due:
                self._told_generation = self._overrun_generation
            return due
