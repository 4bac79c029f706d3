"""When to connect to the broker again, and what it means when the broker ends connection after connection. Pure.

A broker that is away is tried every few seconds. A broker that lets us in and soon ends the connection, again and
again, has a reason that will not go away by itself: then the waits grow further.
"""

from aoii.core.errors import UnavailableError
from aoii.runtime.health_limits import SHORT_CONNECTIONS

FIRST_S = 0.25
AWAY_LAST_S = 5.0  # longest wait while the broker does not let us in
SHORT_LAST_S = 60.0  # longest wait while it ends our connections; two clients with one id then take turns
LASTED_S = 90.0  # a connection that was up for so long is stable; longer than a rival with our id waits

SHUTTING_DOWN = 139  # MQTT 5 reason codes, of the broker's DISCONNECT
TAKEN_OVER = 142
TOO_LARGE = 149
UNREADABLE = -1  # of our own: the library could not decode a packet of the broker


class Reconnection:
    """The waits of one client.

    Args:
        client_id: Its id at the broker.
        unique_id: What to do when another client has the same id.

    Attributes:
        short: Connections in a row that the broker ended within `LASTED_S`.
    """

    def __init__(self, client_id: str, unique_id: str) -> None:
        self._client_id = client_id
        self._unique_id = unique_id
        self._failures = 0
        self.short = 0

    def wait_after_failure(self, is_reached: bool) -> float:
        """Seconds to wait, before jitter, after an attempt that led to no usable connection.

        Args:
            is_reached: Whether the broker answered; if not, it was away, which explains why the last connection ended.
        """
        if not is_reached:
            self.short = 0
        self._failures += 1
        return float(min(FIRST_S * 2**self._failures, AWAY_LAST_S))

    def wait_after_end(self, lasted_s: float, by_us: bool) -> float:
        """Seconds to wait, before jitter, after the end of a usable connection.

        Args:
            lasted_s: How long it was up.
            by_us: Whether we ended it.
        """
        self._failures = 0
        if by_us:
            return FIRST_S
        self.short = 0 if lasted_s >= LASTED_S else self.short + 1
        return float(min(FIRST_S * 2 ** max(0, self.short - 1), SHORT_LAST_S))

    def cause(self, code: int | None, words: str) -> UnavailableError | None:
        """Why the broker ended a connection: surely, or most likely; None if nothing is known yet.

        Args:
            code: The reason code in the broker's DISCONNECT, or `UNREADABLE`; None if it sent none.
            words: The same in words.
        """
        if code == TAKEN_OVER:
            return UnavailableError(
                f"another client with the id {self._client_id} has taken over the session", self._unique_id
            )
        if code == TOO_LARGE:
            return UnavailableError(
                "a packet of ours was larger than the broker allows",
                "raise its limit (max_packet_size, message_size_limit of Mosquitto)",
            )
        if code == UNREADABLE:
            return UnavailableError(
                "the broker sent what MQTT does not allow", "see its log, and whether it refuses large messages"
            )
        if code is not None and code != SHUTTING_DOWN:
            return UnavailableError(f"the broker ends the connection: {words}", "see the broker's log")
        if self.short >= SHORT_CONNECTIONS:  # without a word from the broker: now we guess
            return UnavailableError(
                f"the broker ends one connection after another within {LASTED_S:g} s and does not say why; most likely "
                f"another client has the id {self._client_id}",
                f"{self._unique_id}; if that is not it, see the broker's log",
            )
        return None
