"""A socket that reads ahead: the MQTT library asks for a packet in three small pieces, each of them a system call.

At each system call the interpreter lets another thread run, and then waits for its turn again. With a thousand packets
a second that costs more than the packets. Reading ahead is all that this does: writing and everything else is the
connection's own.
"""

import ssl
from typing import Protocol

READ_BYTES = 16_384  # at a time; what a TLS record holds


class Connection(Protocol):
    """What is needed of a socket that does not block."""

    def recv(self, limit: int, /) -> bytes:
        """Some of what has come."""

    def send(self, packet: bytes | bytearray, /) -> int:
        """Send; how many bytes were sent."""

    def fileno(self) -> int:
        """The file descriptor."""

    def setblocking(self, is_blocking: bool, /) -> None:
        """Whether `recv` and `send` wait."""

    def close(self) -> None:
        """Close it."""


class BufferedSocket:
    """Reads ahead from a connection that does not block.

    Args:
        connection: The connection, with or without TLS.

    Attributes:
        connection: The same.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._ahead = memoryview(b"")

    def recv(self, limit: int) -> bytes:
        """What has come, at most so many bytes, and at least one; empty at the end of the connection.

        Raises:
            OSError: As the connection does, `BlockingIOError` and `ssl.SSLWantReadError` too when nothing has come.
        """
        if not self._ahead:
            self._ahead = memoryview(self.connection.recv(max(limit, READ_BYTES)))
        taken, self._ahead = self._ahead[:limit], self._ahead[limit:]
        return bytes(taken)

    def pending(self) -> int:
        """Bytes that have been read from the network already: no `select` tells of them."""
        held = self.connection.pending() if isinstance(self.connection, ssl.SSLSocket) else 0
        return len(self._ahead) + held

    def send(self, packet: bytes | bytearray) -> int:
        """Send what the connection takes now; return how many bytes that is. Nothing of it stays here."""
        return self.connection.send(packet)

    def fileno(self) -> int:
        """The connection's file descriptor, for `select`."""
        return self.connection.fileno()

    def setblocking(self, is_blocking: bool) -> None:
        """As of the connection."""
        self.connection.setblocking(is_blocking)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()
