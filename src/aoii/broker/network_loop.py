"""Moves packets between the MQTT library and the network, one turn after another.

In place of the library's own loop, which is woken by a system call for each packet that another thread hands over, and
makes one for each packet that it writes. Here a burst of packets wakes it once, and is one write. Decides nothing about
connections, which are the client's (`client.py`).
"""

import contextlib
import select
import socket

import paho.mqtt.client as paho

from aoii.broker.buffered_socket import BufferedSocket


class Library(paho.Client):
    """The library's client, on a buffered connection.

    Attributes:
        connection: The present connection, or the latest one.
    """

    connection: BufferedSocket

    def _create_socket(self) -> BufferedSocket:
        self.connection = BufferedSocket(super()._create_socket())
        return self.connection


class NetworkLoop:
    """The turns of one connection; all but `wake` is for its network thread."""

    def __init__(self) -> None:
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self._far.setblocking(False)

    def wake(self) -> None:
        """End the wait of the present turn, or of the next one; for any thread, also after `close`."""
        with contextlib.suppress(OSError):  # it is full of wakes already, or closed
            self._far.send(b"\0")

    def turn(self, library: Library, limit_s: float) -> bool:
        """Read and write once, as soon as there is something to do, or after `limit_s`; False when the connection ends.

        The library has called `wake` when a packet was handed over to it (`on_socket_register_write`).
        """
        if library.socket() is None:
            return False
        connection = library.connection
        both: list[BufferedSocket | socket.socket] = [connection, self._near]
        wants_write = [connection] if library.want_write() or connection.unsent else []
        wait_s = 0 if connection.pending else limit_s
        readable, writable, _ = select.select(both, wants_write, [], wait_s)
        if self._near in readable:
            self._near.recv(4096)
        if (connection in readable or connection.pending) and library.loop_read() != paho.MQTT_ERR_SUCCESS:
            return False
        if (writable or library.want_write()) and library.loop_write() != paho.MQTT_ERR_SUCCESS:
            return False
        connection.flush()
        return library.loop_misc() == paho.MQTT_ERR_SUCCESS

    def close(self) -> None:
        """Free what it holds."""
        self._near.close()
        self._far.close()
