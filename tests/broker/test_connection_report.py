"""What a station says when its connection fails, against a real Mosquitto: once, with the cause and what to do."""

import logging
import queue
import socket
import time
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from aoii.broker import reconnection
from aoii.broker.client import Client, Message, Published, Subscription
from aoii.broker.packet_size import PacketTooLargeError, publish_bytes
from aoii.settings import Mqtt
from servers import Mosquitto, free_port, until

TOPIC = "aoii/readings"


def reached(server: Mosquitto) -> Mqtt:
    return Mqtt("127.0.0.1", server.port, None, None)


def said(caplog: pytest.LogCaptureFixture, event: str) -> list[logging.LogRecord]:
    return [one for one in caplog.records if vars(one).get("event") == event]


def test_a_broker_that_was_never_there_is_said_once_and_its_arrival_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(reconnection, "AWAY_LAST_S", 0.25)
    port = free_port()
    client = Client(Mqtt("127.0.0.1", port, None, None), "lonely")
    client.start()

    until(lambda: said(caplog, "broker_not_reached"))
    seen = client.connection_number
    until(lambda: client.connection_number > seen + 4, what="further attempts")

    (line,) = said(caplog, "broker_not_reached")
    assert line.levelname == "WARNING"
    assert "refused" in vars(line)["reason"]
    assert (vars(line)["broker"], vars(line)["client"]) == (f"127.0.0.1:{port}", "lonely")
    with Mosquitto(tmp_path, port):
        assert client.wait_ready(30)
        until(lambda: said(caplog, "broker_connected"))
    client.stop()


def test_a_broker_that_does_not_answer_is_not_said_to_hang_up(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aoii.broker.client.KEEPALIVE_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as frozen:  # Linux accepts for it
        client = Client(Mqtt("127.0.0.1", frozen.getsockname()[1], None, None), "patient")
        client.start()

        until(lambda: said(caplog, "broker_not_reached"))

        client.stop()
    assert "does not answer" in str(client.trouble)
    assert not said(caplog, "broker_hangs_up")


def test_two_clients_with_one_id_get_slower_and_say_once_which_setting_to_change(
    mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    advice = "give each gateway its own GATEWAY_ID"
    rivals = [Client(reached(mosquitto), "twin", session_expiry_s=60, unique_id=advice) for _ in range(2)]
    began_s = time.monotonic()
    for one in rivals:
        one.start()

    until(lambda: all(one.short_connections >= 6 for one in rivals), 120, "a fight for the session")
    assert time.monotonic() - began_s >= (0.25 + 0.5 + 1 + 2 + 4) / 2  # the waits, with all of their jitter

    lines = said(caplog, "broker_unstable")
    assert 1 <= len(lines) <= 2  # one for each rival
    for line in lines:
        assert line.levelname == "WARNING"
        assert "another client" in vars(line)["reason"]
        assert "twin" in vars(line)["reason"]
        assert advice in vars(line)["reason"]
    assert "twin" in str(rivals[0].trouble)
    # Every connection of one ends one of the other; at 1 to 3 a second there would be hundreds.
    assert all(one.connection_number <= one.short_connections + 3 for one in rivals)
    for one in rivals:
        one.stop()


def test_a_session_taken_over_is_said_with_the_brokers_reason(caplog: pytest.LogCaptureFixture) -> None:
    """As brokers later than Mosquitto 2.0.11 do: DISCONNECT with reason 142."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = Client(Mqtt("127.0.0.1", server.getsockname()[1], None, None), "twin", unique_id="GATEWAY_ID")
        client.start()
        connection, _ = server.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(bytes([0x20, 3, 0, 0, 0]))  # CONNACK: success
            until(lambda: client.is_ready)
            connection.sendall(bytes([0xE0, 2, 142, 0]))
            until(lambda: said(caplog, "broker_unstable"))

        reason = vars(said(caplog, "broker_unstable")[0])["reason"]
        assert reason == "another client with the id twin has taken over the session; GATEWAY_ID"
        client.stop()


def test_a_packet_over_the_announced_limit_is_never_sent_and_the_connection_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ended: queue.Queue[Published] = queue.Queue()
    with Mosquitto(tmp_path, extra="max_packet_size 300") as server:
        client = Client(reached(server), "big", on_published=ended.put)
        client.start()
        assert client.wait_ready(30)
        assert client.packet_limit_bytes == 300
        fits = 300 - publish_bytes(TOPIC, 200, 1) + 200

        for _ in range(3):
            with pytest.raises(PacketTooLargeError, match="packets of 300 bytes"):
                client.publish(TOPIC, b"x" * (fits + 1), 1)
        assert client.publish(TOPIC, b"x" * fits, 1, "fits")

        assert ended.get(timeout=30).accepted
        assert client.connection_number == 1
        (line,) = said(caplog, "too_large")
        assert line.levelname == "WARNING"
        assert "max_packet_size" in vars(line)["reason"]
        client.stop()


def test_a_limit_that_the_broker_does_not_announce_is_found_out(tmp_path: Path) -> None:
    ended: queue.Queue[Published] = queue.Queue()
    with Mosquitto(tmp_path, extra="message_size_limit 100") as server:
        client = Client(reached(server), "big", on_published=ended.put)
        client.start()
        assert client.wait_ready(30)
        assert client.publish(TOPIC, b"x" * 100, 1, "first")
        assert client.publish(TOPIC, b"x" * 140, 1, "too large")
        assert [ended.get(timeout=30) for _ in range(2)] == [Published("first", 16), Published("too large", None)]
        until(lambda: client.connection_number > 1 and client.is_ready)

        with pytest.raises(PacketTooLargeError):
            client.publish(TOPIC, b"x" * 140, 1)
        assert client.publish(TOPIC, b"x" * 100, 1, "second")

        assert ended.get(timeout=30) == Published("second", 16)
        assert "larger than the broker allows" in str(client.trouble)
        client.stop()


def test_a_client_that_reconnects_because_it_wants_to_is_not_unstable(mosquitto: Mosquitto) -> None:
    client = Client(reached(mosquitto), "restless")
    client.start()
    for _ in range(5):
        assert client.wait_ready(30)
        before = client.connection_number
        client.reconnect()
        while client.connection_number == before:
            time.sleep(0.01)

    assert client.short_connections == 0
    client.stop()


def test_what_the_broker_has_retained_is_not_sent_unless_wanted_and_otherwise_marked(mosquitto: Mosquitto) -> None:
    keeper = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    keeper.connect("127.0.0.1", mosquitto.port)
    keeper.loop_start()
    keeper.publish("retained/topic", b"kept", 1, retain=True).wait_for_publish(30)

    def follow(client_id: str, wants_kept: bool) -> tuple[Client, "queue.Queue[Message]"]:
        got: queue.Queue[Message] = queue.Queue()
        client = Client(
            reached(mosquitto), client_id, subscriptions=[Subscription("retained/topic", 1, wants_kept)],
            on_message=got.put,
        )  # fmt: skip
        client.start()
        assert client.wait_ready(30)
        return client, got

    (curious, wanted), (reader, live) = follow("wants", True), follow("news", False)
    keeper.publish("retained/topic", b"live", 1, retain=True).wait_for_publish(30)  # published now, so it is news

    first, second = wanted.get(timeout=30), live.get(timeout=30)
    assert (first.payload, first.is_kept) == (b"kept", True)
    assert (second.payload, second.is_kept) == (b"live", False)
    for client in (curious, reader):
        client.stop()
    keeper.publish("retained/topic", b"", 1, retain=True).wait_for_publish(30)
    keeper.loop_stop()
