"""Somebody else at the broker: publishes whatever it likes, past every proxy."""

import contextlib
import queue
import time
from collections.abc import Iterator

from aoii.broker.client import Client, Published
from aoii.broker.messages import READINGS_TOPIC, Identity, Reading, encode_reading
from aoii.settings import Mqtt
from faults.recorder import Content, Key, Recorder

WAIT_S = 30.0


class Outsider:
    """A client that trusts the broker's PUBACK. Made by `outsider`."""

    def __init__(self, client: Client, ended: "queue.Queue[Published]") -> None:
        self._client = client
        self._ended = ended

    def publish(self, payloads: list[bytes], topic: str = READINGS_TOPIC) -> list[bool]:
        """Publish at QoS 1; for each payload, in order, whether the broker said that it took it."""
        taken = [False] * len(payloads)
        waiting = sum(self._client.publish(topic, payload, 1, number) for number, payload in enumerate(payloads))
        deadline_s = time.monotonic() + WAIT_S
        with contextlib.suppress(queue.Empty):
            for _ in range(waiting):
                end = self._ended.get(timeout=max(0.01, deadline_s - time.monotonic()))
                assert isinstance(end.token, int)
                taken[end.token] = end.accepted
        return taken


@contextlib.contextmanager
def outsider(port: int) -> Iterator[Outsider]:
    """An outsider at the broker on this port."""
    ended: queue.Queue[Published] = queue.Queue()
    client = Client(Mqtt("127.0.0.1", port, None, None), f"outsider-{time.monotonic_ns()}", on_published=ended.put)
    client.start()
    try:
        assert client.wait_ready(WAIT_S)
        yield Outsider(client, ended)
    finally:
        client.stop()


def reading(recorder: Recorder, key: Key, content: Content) -> bytes:
    """A payload with this identity that says this; the recorder knows of it."""
    recorder.note_sent(key, content)
    temperature, humidity = content.temperature_c / 100, content.humidity_c / 100
    said = Reading(
        identity=Identity(*key), gateway="outsider", kind="event", timestamp="2026-01-01 00:00:00", time_n=0.0,
        actual_t=temperature, actual_h=humidity, pred_t=temperature, pred_h=humidity, total_tx=1,
        transmission_delay_ms=None, event_unix_ms=1_767_225_600_000, clock_synced=True,
    )  # fmt: skip
    return encode_reading(said, 1)
