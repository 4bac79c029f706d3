"""A connection that reads ahead and writes many packets at once, for a library that does neither.

The MQTT library asks for a packet in three small pieces, and sends each acknowledgement of four bytes by itself. At
each such system call the interpreter lets another thread run, and then waits for its turn again; with a thousand
packets a second that is much. Whoever uses this must `flush` after writing, and ask for what is `pending` and `unsent`
beside `select`. For one thread.
"""

import ssl
from typing import Protocol

READ_BYTES = 16_384  # at a time; what a TLS record holds
UNSENT_BYTES = 65_536  # that wait for `flush`: more, and `send` takes nothing


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
    """A connection with a buffer for each direction.

    Args:
        connection: The connection, with or without TLS; it does not block.

    Attributes:
        connection: The same.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._ahead = memoryview(b"")
        self._unsent = bytearray()
        self._failure: OSError | None = None  # of a `flush`; `recv` raises it

    def recv(self, limit: int) -> bytes:
        """What has come, at most so many bytes, and at least one; empty at the end of the connection.

        Raises:
            OSError: As the connection does, also when nothing has come; or what `flush` has met.
        """
        if not self._ahead:
            if self._failure is not None:
                raise self._failure
            self._ahead = memoryview(self.connection.recv(max(limit, READ_BYTES)))
        taken, self._ahead = self._ahead[:limit], self._ahead[limit:]
        return bytes(taken)

    @property
    def pending(self) -> bool:
        """Whether `recv` has something of which `select` does not tell, because it was read from the network before."""
        held = self.connection.pending() if isinstance(self.connection, ssl.SSLSocket) else 0
        return bool(self._ahead or held or self._failure)

    @property
    def unsent(self) -> bool:
        """Whether something waits for `flush`."""
        return bool(self._unsent) and self._failure is None

    def send(self, packet: bytes | bytearray) -> int:
        """Take all of a packet, to be sent by `flush`; return its length.

        Raises:
            BlockingIOError: Too much waits already; nothing was taken.
        """
        if len(self._unsent) >= UNSENT_BYTES:
            self.flush()
            if len(self._unsent) >= UNSENT_BYTES:
                raise BlockingIOError
        self._unsent += packet
        return len(packet)

    def flush(self) -> None:
        """Send what the network takes now; the rest stays `unsent`."""
        try:
            while self._unsent and self._failure is None:
                del self._unsent[: self.connection.send(self._unsent)]
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return
        except OSError as error:
            self._failure = error

    def fileno(self) -> int:
        """The connection's file descriptor, for `select`."""
        return self.connection.fileno()

    def setblocking(self, is_blocking: bool) -> None:
        """As of the connection."""
        self.connection.setblocking(is_blocking)

    def close(self) -> None:
        """Send what can be sent at once, and close the connection."""
        self.flush()
        self.connection.close()
