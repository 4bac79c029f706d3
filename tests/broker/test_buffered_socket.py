"""The buffers change how often the network is asked, and nothing else."""

import contextlib
import random
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from aoii.broker.buffered_socket import READ_BYTES, UNSENT_BYTES, BufferedSocket
from aoii.security import authority


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


def test_with_tls_what_waits_may_grow_between_two_tries_to_send_it(far: socket.socket, tmp_path: Path) -> None:
    authority.make_authority(tmp_path)
    issued = authority.make_server(tmp_path, "broker", ["localhost"])
    of_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    of_server.load_cert_chain(issued.certificate, issued.key)
    of_client = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    got = bytearray()

    def serve() -> None:
        with of_server.wrap_socket(far, server_side=True) as connection:
            while len(got) < 1_000_000:
                got.extend(connection.recv(3000))

    server = threading.Thread(target=serve)
    server.start()
    near = counted[0]._connection
    near.setblocking(True)
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    connection = of_client.wrap_socket(near, server_hostname="localhost")
    connection.setblocking(False)
    buffered = BufferedSocket(connection)
    chance = random.Random(1)
    sent = bytearray()
    unfinished = 0
    while len(sent) < 1_000_000 or buffered.unsent:
        packet = chance.randbytes(chance.choice((4, 500, 17_000)))
        with contextlib.suppress(BlockingIOError):
            if len(sent) < 1_000_000:
                buffered.send(packet)
                sent += packet
        buffered.flush()
        unfinished += buffered.unsent
        if chance.random() < 0.5:
            select.select([], [buffered], [], 1)
    server.join(30)

    assert unfinished
    assert bytes(got) == bytes(sent[: len(got)])
    assert len(got) >= 1_000_000
    connection.close()
