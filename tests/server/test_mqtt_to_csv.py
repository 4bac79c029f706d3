"""The CSV subscriber between a real broker and its file."""

import csv
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from aoii.broker import client
from aoii.broker.client import NO_KEPT_MESSAGES, Message
from aoii.broker.messages import Estimate, encode_estimate, encode_reading
from aoii.runtime import station
from aoii.server import mqtt_to_csv, subscription
from aoii.server.csv_format import COLUMNS
from aoii.server.inbox import Inbox
from aoii.server.mqtt_to_csv import CsvSubscriber, to_row
from aoii.settings import Mqtt, Settings
from server.doubles import Gateway, StationProcess
from server.samples import a_reading
from servers import Mosquitto, until

Load = Callable[..., Settings]
ESTIMATE = Estimate("gateway", "7", "2016-01-01 10:01:00", 0.417361, 21.25, 40.5, 9, 1_451_606_460_000)


def numbers(path: Path) -> list[int]:
    """Total_TX of every line, which these tests count up."""
    return [int(line["Total_TX"]) for line in csv.DictReader(io.StringIO(path.read_text()))]


def test_a_reading_and_an_estimate_have_the_older_installations_columns() -> None:
    reading = a_reading(3, total_tx=12, transmission_delay_ms=-4)

    assert [to_row(reading, b"").fields[name] for name in COLUMNS] == [
        "2016-01-01 10:00:00", 0.416667, "RX", 21.5, 40.25, 20.75, 43.5, 0.75, 3.25, 12, -4,
    ]  # fmt: skip
    assert [to_row(ESTIMATE, b"").fields.get(name, "") for name in COLUMNS] == [
        "2016-01-01 10:01:00", 0.417361, "EST", "", "", 21.25, 40.5, "", "", 9, "",
    ]  # fmt: skip


@pytest.fixture
def values(
    load: Load, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Settings:
    """Settings for the shared broker, with a session and a topic of the test's own."""
    from server import doubles

    name = request.node.name.encode().hex()[-40:]
    monkeypatch.setattr(mqtt_to_csv, "CLIENT_ID", f"csv-{name}")
    monkeypatch.setattr(mqtt_to_csv, "RETRY_S", 0.05)
    for module in (subscription, doubles):
        monkeypatch.setattr(module, "READINGS_TOPIC", f"aoii/readings/{name}")
    return load(MQTT_BROKER="127.0.0.1", MQTT_PORT=mosquitto.port, CSV_STATUS_PORT=0)


@contextmanager
def subscribing(values: Settings) -> Iterator[CsvSubscriber]:
    subscriber = CsvSubscriber(values)
    subscriber.start()
    until(lambda: all(subscriber.readiness().values()))
    try:
        yield subscriber
    finally:
        subscriber.stop()


def test_messages_of_both_kinds_become_lines_and_bad_ones_do_not(values: Settings) -> None:
    path = values.server.csv_file
    reference = json.loads(encode_reading(a_reading(), 1))
    reference = {
        key: value for key, value in reference.items() if key in ("event", "timestamp", "time_n") or "_" in key
    }
    with subscribing(values), Gateway(values.mqtt) as gateway:
        for number in range(100):
            gateway.publish_once(encode_reading(a_reading(number, total_tx=number), 1), qos=number % 2)
        gateway.publish_once(b"\xff")
        gateway.publish_once(json.dumps(reference | {"total_tx": 100, "event_unix_ms": None}).encode())
        gateway.publish_once(encode_estimate(replace(ESTIMATE, total_tx=101)), qos=0)
        gateway.publish_once(encode_estimate(replace(ESTIMATE, gateway="cellar", total_tx=102)), qos=0)
        until(lambda: len(numbers(path)) == 102)

    assert numbers(path) == list(range(102))
    lines = list(csv.DictReader(io.StringIO(path.read_text())))
    assert [line["Event"] for line in lines[99:]] == ["RX", "RX", "EST"]


def test_the_setting_asks_for_the_older_installations_format(values: Settings) -> None:
    older = replace(values, server=replace(values.server, csv_format="older"))
    path = values.server.csv_file
    with subscribing(older), Gateway(values.mqtt) as gateway:
        gateway.publish_once(encode_estimate(replace(ESTIMATE, total_tx=1)), qos=1)
        gateway.publish_once(encode_reading(a_reading(2, total_tx=2), 1))
        until(lambda: path.exists() and path.read_bytes().count(b"\r\n") == 2)

    assert path.read_bytes().endswith(b"RX,21.50,40.25,20.75,43.50,0.75,3.25,2,\r\n")


@pytest.mark.parametrize("handling", [NO_KEPT_MESSAGES, 0])  # 0: brokers that send it nevertheless do as Mosquitto then
def test_what_the_broker_retains_becomes_no_line(
    values: Settings, monkeypatch: pytest.MonkeyPatch, handling: int
) -> None:
    monkeypatch.setattr(client, "NO_KEPT_MESSAGES", handling)
    keeper = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    keeper.connect(values.mqtt.host, values.mqtt.port)
    keeper.loop_start()
    topic = subscription.READINGS_TOPIC  # type: ignore[attr-defined]  # set by the fixture `values`
    keeper.publish(topic, encode_estimate(ESTIMATE), 1, retain=True).wait_for_publish(30)

    for number in range(2):  # it connects twice
        with subscribing(values), Gateway(values.mqtt) as gateway:
            gateway.publish_once(encode_reading(a_reading(number, total_tx=number), 1))
            until(lambda number=number: len(numbers(values.server.csv_file)) > number)  # type: ignore[misc]  # default

    keeper.publish(topic, b"", 1, retain=True).wait_for_publish(30)
    keeper.loop_stop()
    assert numbers(values.server.csv_file) == [0, 1]


def test_what_was_published_while_it_was_away_comes_after_the_restart(values: Settings) -> None:
    path = values.server.csv_file
    with Gateway(values.mqtt) as gateway:
        for start in range(0, 300, 100):
            with subscribing(values):
                until(lambda start=start: len(numbers(path)) == start)  # type: ignore[misc]  # lambda's default
            for number in range(start, start + 100):
                gateway.publish_once(encode_reading(a_reading(number, total_tx=number), 1))
        with subscribing(values):
            until(lambda: len(numbers(path)) == 300)

    assert numbers(path) == list(range(300))


def test_a_file_that_cannot_be_written_holds_the_messages_back(values: Settings) -> None:
    path = values.server.csv_file
    with subscribing(values) as subscriber, Gateway(values.mqtt) as gateway:
        path.unlink()
        path.mkdir()
        gateway.publish_once(encode_reading(a_reading(1, total_tx=1), 1))
        until(lambda: not subscriber.readiness()["file"])
        assert subscriber.liveness() == {"writer": True, "network": True}

    path.rmdir()
    with subscribing(values):
        until(lambda: path.exists() and numbers(path) == [1])


def test_a_stop_ends_in_time_though_writer_and_network_hang(values: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt_to_csv, "STOP_S", 2.0)
    entered, thawed = threading.Event(), threading.Event()

    def hang_writer(self: Inbox, limit: int, wait_s: float) -> list[Message]:
        thawed.wait()
        return []

    def hang_network(self: Inbox, message: Message) -> None:
        entered.set()
        thawed.wait()

    monkeypatch.setattr(Inbox, "take", hang_writer)
    monkeypatch.setattr(Inbox, "put", hang_network)
    subscriber = CsvSubscriber(values)
    subscriber.start()
    until(lambda: subscriber.readiness()["broker"])
    with Gateway(values.mqtt) as gateway:
        gateway.publish_once(encode_reading(a_reading(1), 1))
        until(entered.is_set)

    begin = time.monotonic()
    subscriber.stop()
    seconds = time.monotonic() - begin

    thawed.set()
    assert seconds < 4


def test_a_network_thread_that_hangs_is_not_alive(values: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(station, "SILENCE_LIMIT_S", 2.0)
    entered, thawed = threading.Event(), threading.Event()

    def hang(self: Inbox, message: Message) -> None:
        entered.set()
        thawed.wait()

    monkeypatch.setattr(Inbox, "put", hang)
    with subscribing(values) as subscriber, Gateway(values.mqtt) as gateway:
        gateway.publish_once(encode_reading(a_reading(1), 1))
        until(entered.is_set)

        until(lambda: subscriber.liveness() == {"writer": True, "network": False})
        assert not subscriber.ended()

        thawed.set()
        until(lambda: subscriber.liveness() == {"writer": True, "network": True})


@pytest.mark.faults
def test_a_process_that_is_killed_again_and_again_tears_and_doubles_nothing(data_dir: Path, tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as server:
        mqtt = Mqtt("127.0.0.1", server.port, None, None)
        environ = {"AOII_DATA_DIR": str(data_dir), "MQTT_BROKER": "127.0.0.1", "MQTT_PORT": str(server.port)}
        process = StationProcess("mqtt_to_csv", environ, tmp_path / "csv.log")
        path = data_dir / "experiment_log_online.csv"
        process.start()
        until(process.is_ready)
        with Gateway(mqtt) as gateway:
            for start in range(0, 900, 300):
                for number in range(start, start + 300):
                    gateway.publish_once(encode_reading(a_reading(number, total_tx=number), 1))
                until(lambda start=start: path.read_text().count("\n") > start + 10)  # type: ignore[misc]
                process.kill()
                process.start()
                until(process.is_ready)
            until(lambda: path.read_text().count("\n") > 900)
        code, seconds = process.terminate()

    assert sorted(numbers(path)) == list(range(900))
    assert code == 0
    assert seconds < 10
