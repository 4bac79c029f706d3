"""Whether a broker lets a user publish on a topic, without a message for anybody.

A message of QoS 2 is delivered only after PUBREL. A broker checks the right already before PUBREC, whose reason code
says the result; the probe disconnects then, and the message is forgotten with the session. Seen with Mosquitto 2.0.11,
and a broker that keeps to MQTT 5, 4.3.3 does the same.
"""

import contextlib
import os
import socket
from collections.abc import Sequence

from aoii.broker import probe_packets
from aoii.broker.probe_packets import CONNACK, PUBREC, Packet
from aoii.core.errors import UnavailableError
from aoii.security import tls
from aoii.settings import Mqtt

TIMEOUT_S = 5.0
REFUSED = 128
CHUNK_BYTES = 4096


def refused(mqtt: Mqtt, topics: Sequence[str]) -> list[str]:
    """The topics on which the broker would not take a message of this user.

    Args:
        mqtt: The broker and the user.
        topics: Without the namespace.

    Raises:
        UnavailableError: The broker does not answer, or refuses the connection.
        InputError: A TLS file cannot be used.
    """
    prefix = f"{mqtt.namespace}/" if mqtt.namespace else ""
    try:
        with contextlib.closing(_Connection(mqtt)) as connection:
            connection.send(probe_packets.connect(f"aoii-probe-{os.getpid()}", mqtt.username, mqtt.password))
            answer = connection.receive()
            if answer.kind != CONNACK or answer.reason >= REFUSED:
                raise UnavailableError(f"the broker refused the connection (reason {answer.reason})")
            found = [topic for number, topic in enumerate(topics, 1) if connection.is_refused(prefix + topic, number)]
            connection.send(probe_packets.DISCONNECTING)
            return found
    except (OSError, ValueError) as error:
        raise UnavailableError(
            f"the broker at {mqtt.host}:{mqtt.port} does not answer as expected ({error})"
        ) from error


class _Connection:
    """One connection, from which packets are read whole."""

    def __init__(self, mqtt: Mqtt) -> None:
        self._data = b""
        self._socket = socket.create_connection((mqtt.host, mqtt.port), TIMEOUT_S)
        if mqtt.tls is not None:
            try:
                self._socket = tls.context(mqtt.tls).wrap_socket(self._socket, server_hostname=mqtt.host)
            except BaseException:
                self._socket.close()
                raise

    def is_refused(self, topic: str, number: int) -> bool:
        """Ask for one topic."""
        self.send(probe_packets.publish(topic, number))
        answer = self.receive()
        return answer.kind != PUBREC or answer.reason >= REFUSED

    def send(self, packet: bytes) -> None:
        """Send a packet."""
        self._socket.sendall(packet)

    def receive(self) -> Packet:
        """The next packet."""
        while True:
            packet, self._data = probe_packets.split(self._data)
            if packet is not None:
                return packet
            chunk = self._socket.recv(CHUNK_BYTES)
            if not chunk:
                raise ConnectionError("it closed the connection")
            self._data += chunk

    def close(self) -> None:
        """Close it."""
        self._socket.close()
