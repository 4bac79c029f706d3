"""The MQTT connection against a real Mosquitto and the real embedded broker."""

import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from aoii.broker import embedded
from aoii.broker.client import Client, Message, Published, Subscription
from aoii.broker.network_loop import NetworkLoop
from aoii.settings import Mqtt
from servers import Mosquitto, free_port, until

TOPIC = "aoii/readings"


@pytest.fixture(params=["mosquitto", "embedded"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mqtt]:
    if request.param == "mosquitto":
        with Mosquitto(tmp_path / "mosquitto") as server:
            yield Mqtt("127.0.0.1", server.port, None, None)
        return
    port = free_port()
    process = embedded.start(port, tmp_path / "embedded")
    yield Mqtt("127.0.0.1", port, None, None)
    process.kill()
    process.wait()


def consumer(broker: Mqtt, got: "queue.Queue[Message]") -> Client:
    client = Client(
        broker,
        "consumer",
        subscriptions=[Subscription(TOPIC, 1)],
        on_message=got.put,
        session_expiry_s=3600,
        manual_ack=True,
    )
    client.start()
    assert client.wait_ready(30)
    return client


def test_what_was_not_acknowledged_comes_again_after_a_reconnect(broker: Mqtt) -> None:
    got: queue.Queue[Message] = queue.Queue()
    done: queue.Queue[Published] = queue.Queue()
    first = consumer(broker, got)
    sender = Client(broker, "sender", on_published=done.put)
    sender.start()
    assert sender.wait_ready(30)
    for number in range(4):
        assert sender.publish(TOPIC, b"%d" % number, 1, number)
    assert [done.get(timeout=30).accepted for _ in range(4)] == [True] * 4
    held = [got.get(timeout=30) for _ in range(4)]
    assert first.acknowledge(held[0])
    assert first.acknowledge(held[1])
    first.stop()

    second = consumer(broker, got)

    assert [got.get(timeout=30).payload for _ in range(2)] == [b"2", b"3"]
    second.stop()
    sender.stop()


def test_an_acknowledgement_of_an_older_connection_is_refused(broker: Mqtt) -> None:
    got: queue.Queue[Message] = queue.Queue()
    client = consumer(broker, got)
    sender = Client(broker, "sender")
    sender.start()
    assert sender.wait_ready(30)
    assert sender.publish(TOPIC, b"old", 1)
    held = got.get(timeout=30)
    client.reconnect()
    again = got.get(timeout=30)

    assert not client.acknowledge(held)
    assert client.acknowledge(again)
    client.stop()
    sender.stop()


def test_without_a_broker_a_publish_is_refused_and_nothing_is_queued(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as server:
        port = server.port
    got: queue.Queue[Message] = queue.Queue()
    broker = Mqtt("127.0.0.1", port, None, None)
    sender = Client(broker, "sender")
    sender.start()
    assert not sender.publish(TOPIC, b"lost", 1)

    with Mosquitto(tmp_path, port):
        receiver = consumer(broker, got)
        assert sender.wait_ready(30)
        assert sender.publish(TOPIC, b"kept", 1)
        assert got.get(timeout=30).payload == b"kept"
    sender.stop()
    receiver.stop()


def test_a_client_that_is_stopped_while_it_connects_does_not_stay_connected(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as server:
        server.freeze()
        client = Client(Mqtt("127.0.0.1", server.port, None, None), "c", subscriptions=[Subscription(TOPIC, 1)])
        client.start()
        until(lambda: client.connection_number == 1)

        client.stop(timeout_s=0)
        server.thaw()

        until(lambda: not client.thread.is_alive())
        assert not client.is_ready


def test_a_publish_under_way_when_the_broker_dies_ends_without_a_reason(tmp_path: Path) -> None:
    done: queue.Queue[Published] = queue.Queue()
    with Mosquitto(tmp_path) as server:
        sender = Client(Mqtt("127.0.0.1", server.port, None, None), "sender", on_published=done.put)
        sender.start()
        assert sender.wait_ready(30)
        server.freeze()
        assert sender.publish(TOPIC, b"?", 1, "token")
        server.kill()

        assert done.get(timeout=30) == Published("token", None)
        until(lambda: not sender.is_ready)
    sender.stop()


def test_a_subscription_that_is_not_granted_is_a_refusal_that_says_what_to_do(tmp_path: Path) -> None:
    with Mosquitto(tmp_path, extra="max_qos 0") as server:
        client = Client(Mqtt("127.0.0.1", server.port, None, None), "c", subscriptions=[Subscription(TOPIC, 1)])
        client.start()

        until(lambda: client.refusal is not None)
        assert "aoii/readings at QoS 1" in str(client.refusal)
        assert not client.is_ready
        client.stop()


def test_a_subscription_that_may_be_refused_does_not_keep_the_client_from_being_ready(tmp_path: Path) -> None:
    with Mosquitto(tmp_path, extra="max_qos 0") as server:
        wanted = [Subscription(TOPIC, 1, may_be_refused=True)]
        client = Client(Mqtt("127.0.0.1", server.port, None, None), "c", subscriptions=wanted)
        client.start()

        assert client.wait_ready(30)
        client.stop()


def test_only_the_ends_of_qos_1_publishes_are_reported_however_the_two_are_mixed(mosquitto: Mosquitto) -> None:
    done: queue.Queue[Published] = queue.Queue()
    sender = Client(Mqtt("127.0.0.1", mosquitto.port, None, None), "mixed", on_published=done.put)
    sender.start()
    assert sender.wait_ready(30)

    for number in range(3000):
        while not sender.publish(TOPIC, b"x", number % 2, number):
            pass

    ended = [done.get(timeout=30).token for _ in range(1500)]
    assert sorted(ended, key=str) == sorted(range(1, 3000, 2), key=str)
    assert done.empty()
    sender.stop()


@pytest.mark.parametrize("retains", ["true", "false"])
def test_what_is_to_be_kept_is_kept_by_a_broker_that_can_and_passes_through_one_that_cannot(
    tmp_path: Path, retains: str
) -> None:
    done: queue.Queue[Published] = queue.Queue()
    got: queue.Queue[Message] = queue.Queue()
    with Mosquitto(tmp_path / "broker", extra=f"retain_available {retains}") as server:
        mqtt = Mqtt("127.0.0.1", server.port, None, None)
        sender = Client(mqtt, "sender", on_published=done.put)
        reader, late = (
            Client(mqtt, name, subscriptions=[Subscription(TOPIC, 1, wants_kept=True)], on_message=got.put)
            for name in ("reader", "late")
        )
        for client in (sender, reader):
            client.start()
            assert client.wait_ready(30)

        for payload in (b"first", b"second"):
            assert sender.publish(TOPIC, payload, 1, payload, keep=True)
            assert done.get(timeout=30).accepted
        found = [got.get(timeout=30) for _ in range(2)]
        late.start()
        assert late.wait_ready(30)
        assert sender.publish(TOPIC, b"third", 1)
        found += [got.get(timeout=30) for _ in range(3 if retains == "true" else 2)]
        for client in (sender, reader, late):
            client.stop()

    assert sender.connection_number == 1
    assert [message.payload for message in found if message.is_kept] == [b"second"] * (retains == "true")
    assert [message.payload for message in found if not message.is_kept] == [b"first", b"second", b"third", b"third"]


def test_only_the_network_thread_writes_to_the_socket(mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    writers: set[str] = set()
    send = paho.Client._sock_send

    def recorded(library: paho.Client, data: bytes) -> int:
        writers.add(threading.current_thread().name)
        return send(library, data)

    monkeypatch.setattr(paho.Client, "_sock_send", recorded)
    done: queue.Queue[Published] = queue.Queue()
    client = Client(Mqtt("127.0.0.1", mosquitto.port, None, None), "writer", on_published=done.put)
    client.start()
    assert client.wait_ready(30)

    for number in range(20):
        assert client.publish(TOPIC, b"", 1, number)
    assert [done.get(timeout=30).accepted for _ in range(20)] == [True] * 20
    client.stop()

    assert writers == {"network"}


def test_a_burst_of_messages_wakes_the_network_thread_once(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    wakes = 0
    wake = NetworkLoop.wake

    def counted(loop: NetworkLoop) -> None:
        nonlocal wakes
        wakes += 1
        wake(loop)

    is_busy, may_go_on = threading.Event(), threading.Event()
    done: queue.Queue[Published] = queue.Queue()

    def be_busy(_: Message) -> None:
        is_busy.set()
        may_go_on.wait(30)

    where = Mqtt("127.0.0.1", mosquitto.port, None, None)
    client = Client(where, "burst", subscriptions=[Subscription("begin", 0)], on_message=be_busy, on_published=done.put)
    client.start()
    assert client.wait_ready(30)
    assert client.publish("begin", b"", 0)
    assert is_busy.wait(30)
    monkeypatch.setattr(NetworkLoop, "wake", counted)

    for number in range(100):
        assert client.publish(TOPIC, b"", 1, number)
    may_go_on.set()
    assert [done.get(timeout=30).token for _ in range(100)] == list(range(100))
    client.stop()

    assert wakes <= 2  # the burst, and the end of the connection


def test_a_namespace_keeps_an_experiment_apart_and_its_owner_does_not_see_it(mosquitto: Mosquitto) -> None:
    real: queue.Queue[Message] = queue.Queue()
    trial: queue.Queue[Message] = queue.Queue()
    where = Mqtt("127.0.0.1", mosquitto.port, None, None)
    apart = Mqtt("127.0.0.1", mosquitto.port, None, None, namespace="trial")
    clients = [consumer(where, real), consumer(apart, trial)]  # the same client id, and neither pushes the other out

    sender = Client(apart, "sender")
    sender.start()
    assert sender.wait_ready(30)
    assert sender.publish(TOPIC, b"simulated", 1)

    got = trial.get(timeout=30)
    assert (got.topic, got.payload) == (TOPIC, b"simulated")
    assert clients[1].acknowledge(got)
    assert real.empty()
    assert [client.connection_number for client in clients] == [1, 1]
    for client in [*clients, sender]:
        client.stop()
