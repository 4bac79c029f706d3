"""The buffers change how often the network is asked, and nothing else."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from aoii.broker.buffered_socket import READ_BYTES, UNSENT_BYTES, BufferedSocket


class Counted:
    """A connection that counts how often it is read and written."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.reads = self.writes = 0
        self.fileno = connection.fileno
        self.setblocking, self.close = connection.setblocking, connection.close

    def recv(self, limit: int) -> bytes:
        self.reads += 1
        return self._connection.recv(limit)

    def send(self, packet: bytes | bytearray) -> int:
        self.writes += 1
        return self._connection.send(packet)


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

    assert not buffered.pending
    assert buffered.recv(1) == b"a"
    assert buffered.pending
    assert buffered.recv(9) == b"bcd"
    assert not buffered.pending


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


def test_many_packets_are_one_write(far: socket.socket) -> None:
    buffered = BufferedSocket(counted[0])

    for number in range(100):
        assert buffered.send(bytes([number, number])) == 2
    assert buffered.unsent
    buffered.flush()

    assert not buffered.unsent
    assert far.recv(1000) == bytes(number // 2 for number in range(200))
    assert counted[0].writes == 1


def test_what_the_network_does_not_take_stays_in_order_and_is_bounded(far: socket.socket) -> None:
    buffered = BufferedSocket(counted[0])
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while sent < 100 * UNSENT_BYTES:
            sent += buffered.send(bytes([sent // 1000 % 256]) * 1000)

    assert sent < 100 * UNSENT_BYTES
    assert len(buffered._unsent) < UNSENT_BYTES + 1000
    got = b""
    while len(got) < sent:
        got += far.recv(100_000)
        buffered.flush()
    assert got == b"".join(bytes([number % 256]) * 1000 for number in range(sent // 1000))


def test_a_connection_that_fails_while_writing_is_seen_to_fail_when_it_is_read(far: socket.socket) -> None:
    buffered = BufferedSocket(counted[0])
    far.send(b"ab")
    assert buffered.recv(1) == b"a"
    far.close()

    buffered.send(b"x")
    buffered.flush()

    assert not buffered.unsent  # or `select` would call it writable for ever
    assert buffered.pending
    assert buffered.recv(5) == b"b"
    with pytest.raises(BrokenPipeError):
        buffered.recv(5)


def test_closing_sends_what_is_left(far: socket.socket) -> None:
    buffered = BufferedSocket(counted[0])
    buffered.send(b"bye")

    buffered.close()

    assert far.recv(10) == b"bye"
