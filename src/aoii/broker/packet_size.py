"""The size of a PUBLISH packet, and the largest one that the broker takes. Pure.

Most brokers announce their limit in CONNACK. Others, and Mosquitto's `message_size_limit`, let us find it out: they
refuse the packet in a way that ends the connection. MQTT brokers answer in order, so the packet that they stumbled over
is the oldest one without an answer.
"""

from aoii.core.errors import AoiiError

LEARNED_FOR_S = 3600.0  # then a larger packet is tried again: the limit may have been raised


class PacketTooLargeError(AoiiError):
    """The broker does not take a packet of this size; nothing was sent."""


class PacketLimit:
    """The limit of one broker, as far as it is known."""

    def __init__(self) -> None:
        self._announced: int | None = None
        self._learned: int | None = None
        self._learned_until_s = 0.0

    def announce(self, limit: int | None) -> None:
        """Note what a new connection has announced; None: nothing."""
        self._announced = limit

    def learn(self, refused: int, now_s: float) -> None:
        """Note that the broker ended a connection because of a packet of `refused` bytes."""
        known = self.bytes(now_s)
        self._learned = refused - 1 if known is None else min(known, refused - 1)
        self._learned_until_s = now_s + LEARNED_FOR_S

    def bytes(self, now_s: float) -> int | None:
        """The largest packet that may be sent; None if no limit is known."""
        learned = self._learned if now_s < self._learned_until_s else None
        return min((limit for limit in (self._announced, learned) if limit is not None), default=None)


def publish_bytes(topic: str, payload_bytes: int, qos: int) -> int:
    """Size of a PUBLISH packet of MQTT 5 without properties."""
    rest = 2 + len(topic.encode()) + (2 if qos else 0) + 1 + payload_bytes
    return 1 + (1 if rest < 2**7 else 2 if rest < 2**14 else 3 if rest < 2**21 else 4) + rest
