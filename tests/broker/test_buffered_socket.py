"""Reading ahead changes how often the network is asked, and nothing else."""

import socket
from collections.abc import Iterator

import pytest

from aoii.broker.buffered_socket import READ_BYTES, BufferedSocket


class Counted:
    """A connection that counts how often it is read."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.reads = 0
        self.send, self.fileno = connection.send, connection.fileno
        self.setblocking, self.close = connection.setblocking, connection.close

    def recv(self, limit: int) -> bytes:
        self.reads += 1
        return self._connection.recv(limit)


@pytest.fixture
def far() -> Iterator[socket.socket]:
    here, there = socket.socketpair()
    counted.append(Counted(here))
    here.setblocking(False)
    yield there
    here.close()
    there.close()
    counted.clear()


counted: list[Counted] = []


def test_many_small_reads_are_one_of_the_network(far: socket.socket) -> None:
    buffered = BufferedSocket(counted[0])
    sent = bytes(range(256)) * 4
    far.send(sent)

    got = b"".join(buffered.recv(1 + number % 3) for number in range(513))

    assert got == sent
    assert counted[0].reads == 1


def test_what_was_read_ahead_is_pending_because_select_does_not_tell_of_it(far: socket.socket) -> None:
    buffered = BufferedSocket(counted[0])
    far.send(b"abcd")

    assert buffered.pending() == 0
    assert buffered.recv(1) == b"a"
    assert buffered.pending() == 3
    assert buffered.recv(9) == b"bcd"
    assert buffered.pending() == 0


def test_nothing_to_read_and_the_end_are_what_they_are_without_it(far: socket.socket) -> None:
    buffered = BufferedSocket(counted[0])

    with pytest.raises(BlockingIOError):
        buffered.recv(1)
    far.send(b"x")
    far.close()

    assert buffered.recv(5) == b"x"
    assert buffered.recv(5) == b""


def test_a_long_message_is_read_at_once(far: socket.socket) -> None:
    buffered = BufferedSocket(counted[0])
    far.send(b"x" * (READ_BYTES + 100))

    assert buffered.recv(READ_BYTES + 100) == b"x" * (READ_BYTES + 100)
    assert counted[0].reads == 1
