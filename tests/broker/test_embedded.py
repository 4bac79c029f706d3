"""The embedded broker: carries messages on loopback, and ends with its parent."""

import queue
from pathlib import Path

from aoii.broker import embedded
from aoii.broker.client import Client, Message, Subscription
from aoii.settings import Mqtt
from servers import free_port


def test_a_message_of_the_limits_size_passes_and_the_broker_ends_when_its_input_closes(tmp_path: Path) -> None:
    port = free_port()
    payload = bytes(embedded.PAYLOAD_LIMIT_BYTES - 1000)
    got: queue.Queue[Message] = queue.Queue()
    with (tmp_path / "log").open("wb") as log, embedded.start(port, tmp_path / "broker", log) as process:
        client = Client(
            Mqtt("127.0.0.1", port, None, None), "one", subscriptions=[Subscription("t", 1)], on_message=got.put
        )
        client.start()
        try:
            assert client.wait_ready(30)
            assert client.publish("t", payload, 1)
            assert got.get(timeout=30).payload == payload
        finally:
            client.stop()
            assert process.stdin is not None
            process.stdin.close()

        assert process.wait(30) is not None
