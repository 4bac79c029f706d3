"""What the server asks the gateways for, as somebody else at the broker hears it."""

import threading

from aoii.broker.client import Client, Message, Subscription
from aoii.broker.repair_messages import decode_ask
from aoii.core.errors import ProtocolError
from aoii.settings import Mqtt
from faults.recorder import Key


class Questions:
    """Listens from `with` to its end, and goes on listening when the broker comes back.

    Args:
        port: The broker's.
    """

    def __init__(self, port: int) -> None:
        self._lock = threading.Lock()
        self._asked: set[Key] = set()
        self._count = 0
        topics = [Subscription("aoii/ask/+", 0)]
        self._client = Client(Mqtt("127.0.0.1", port), "questions", subscriptions=topics, on_message=self._take)

    def __enter__(self) -> "Questions":
        self._client.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.stop()

    def asked(self) -> set[Key]:
        """Every number that was asked for."""
        with self._lock:
            return set(self._asked)

    @property
    def count(self) -> int:
        """Number of questions that asked for anything."""
        return self._count

    def _take(self, message: Message) -> None:
        try:
            ask = decode_ask(message.payload)
        except ProtocolError:  # a forgery
            return
        numbers = {
            Key(hole.node, hole.epoch, counter) for hole in ask.holes for counter in range(hole.first, hole.last + 1)
        }
        with self._lock:
            self._asked |= numbers
            self._count += bool(numbers)
