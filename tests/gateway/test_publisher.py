"""The publisher at a real broker: readings go out, and commit acknowledgements empty the outbox."""

import contextlib
import json
import signal
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from aoii.broker import client
from aoii.broker.client import NO_KEPT_MESSAGES
from aoii.broker.messages import Committed, Identity, encode_commit_ack, payload_digest
from aoii.gateway import outbox
from aoii.gateway.drivers.outbox_file import OutboxFile
from aoii.gateway.drivers.outbox_transaction import Transaction
from aoii.gateway.gateway import Gateway
from aoii.runtime import metrics
from aoii.settings import Mqtt, Settings
from gateway.station import (
    EPOCH,
    NODE,
    Counts,
    Listener,
    OwnNode,
    configured,
    listening,
    running,
    wait_connected,
)
from servers import Mosquitto, until


def test_a_commit_acknowledgement_empties_the_outbox(gateway: Gateway, far: int, listener: Listener) -> None:
    counts = Counts()
    node = OwnNode(far)
    for number in range(1, 4):
        node.send(number, number)
    messages = listener.readings(3)
    until(lambda: gateway._outbox_file.events == 3)

    listener.commit(messages[0])
    listener.commit(*messages[1:], status="duplicate")

    until(lambda: gateway._outbox_file.events == 0)
    assert counts.since("commit_acks") == {"stored": 1, "duplicate": 2}


def test_a_bad_commit_acknowledgement_is_counted_and_empties_nothing(
    gateway: Gateway, far: int, listener: Listener, values: Settings
) -> None:
    counts = Counts()
    OwnNode(far).send(1, 1)
    message = listener.next()
    topic = f"aoii/ack/{values.gateway.gateway_id}"

    for payload in (b"", b"\xff", b"[]", b'{"v":1,"items":[["7",2]]}', b"x" * 300_000):
        assert listener.client.publish(topic, payload, 1)

    until(lambda: counts.since("commit_acks") == {"bad": 5})
    assert gateway._outbox_file.submit(lambda tx: tx.fetch(outbox.Fetch(0, 9))).result()[0][0].identity.counter == 1
    listener.commit(message)
    until(lambda: gateway._outbox_file.events == 0)


@pytest.mark.parametrize("handling", [NO_KEPT_MESSAGES, 0])  # 0: brokers that send it nevertheless do as Mosquitto then
def test_a_commit_acknowledgement_that_the_broker_has_retained_empties_nothing(
    monkeypatch: pytest.MonkeyPatch, values: Settings, far: int, listener: Listener, handling: int
) -> None:
    monkeypatch.setattr(client, "NO_KEPT_MESSAGES", handling)
    counts = Counts()
    topic = f"aoii/ack/{values.gateway.gateway_id}"
    of_an_earlier_database = encode_commit_ack([Committed(Identity(str(NODE), EPOCH, 1), "stored")])
    with retained(values.mqtt, topic, of_an_earlier_database), running(values) as gateway:
        wait_connected(gateway)
        node = OwnNode(far)
        node.send(1, 1)
        node.send(2, 2)
        messages = {message["counter"]: message for message in listener.readings(2)}

        listener.commit(messages[2])  # comes after the retained one

        until(lambda: gateway._outbox_file.events <= 1)
        gateway.publisher.client.reconnect()
        until(lambda: handling == NO_KEPT_MESSAGES or counts.since("commit_acks").get("kept", 0) >= 2)
        assert counts.since("commit_acks")["stored"] == 1
        assert gateway._outbox_file.events == 1
        listener.commit(messages[1])
        until(lambda: gateway._outbox_file.events == 0)


@contextlib.contextmanager
def retained(mqtt: Mqtt, topic: str, payload: bytes) -> Iterator[None]:
    """A message that the broker keeps."""
    keeper = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    keeper.connect(mqtt.host, mqtt.port)
    keeper.loop_start()
    keeper.publish(topic, payload, 1, retain=True).wait_for_publish(30)
    yield
    keeper.publish(topic, b"", 1, retain=True).wait_for_publish(30)
    keeper.loop_stop()


def test_an_acknowledgement_of_another_payload_is_counted_and_logged_once_and_the_reading_stays(
    gateway: Gateway, far: int, listener: Listener, values: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    counts = Counts()
    OwnNode(far).send(1, 1)
    listener.next()
    who = Identity(str(NODE), EPOCH, 1)
    ((item,), *_) = gateway._outbox_file.submit(lambda tx: tx.fetch(outbox.Fetch(0, 9))).result()

    for status in ("parked", "stored"):
        listener.acknowledge(Committed(who, status, payload_digest(b"forged")))

    until(lambda: counts.since("commit_acks_mismatched") == {"": 2})
    assert gateway._outbox_file.events == 1
    warnings = [record for record in caplog.records if "not ours" in record.message]
    assert [(record.levelname, vars(record)["node"]) for record in warnings] == [("WARNING", str(NODE))]
    listener.acknowledge(Committed(who, "parked", payload_digest(item.payload)))
    until(lambda: gateway._outbox_file.events == 0)


def test_without_a_commit_acknowledgement_a_reading_is_published_again_unchanged(
    monkeypatch: pytest.MonkeyPatch, values: Settings, far: int, listener: Listener
) -> None:
    monkeypatch.setattr(outbox, "FIRST_DEADLINE_MS", 100)
    monkeypatch.setattr(outbox, "LAST_DEADLINE_MS", 200)
    with running(values) as gateway:
        wait_connected(gateway)
        node = OwnNode(far)
        node.send(1, 1)
        node.send(2, 2, 2160)  # below the thresholds, so at QoS 0, and kept all the same

        messages: list[dict[str, object]] = []
        until(lambda: messages.append(listener.next()) or sum(one["counter"] == 2 for one in messages) == 3)  # type: ignore[func-returns-value]
        listener.commit(*messages)

        until(lambda: gateway._outbox_file.events == 0)
        distinct = {json.dumps(message | {"at_qos": None}, sort_keys=True) for message in messages}
        assert len(distinct) == 2
        assert {(message["counter"], message["at_qos"]) for message in messages} == {(1, 1), (2, 0), (2, 1)}


def test_a_refused_publish_is_counted_said_once_with_its_cure_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path, link: Path, far: int
) -> None:
    monkeypatch.setattr(outbox, "FIRST_DEADLINE_MS", 100)
    monkeypatch.setattr("aoii.gateway.missing_acks.COMMIT_ACK_DEADLINE_S", 7)
    acl = tmp_path / "acl"
    acl.write_text("topic read #\n")
    acl.chmod(0o600)
    with Mosquitto(tmp_path / "broker", extra=f"acl_file {acl}") as broker:
        values = configured(tmp_path / "data", broker.port, "refused", link)
        with listening(values) as listener, running(values) as gateway:
            wait_connected(gateway)
            counts = Counts()
            OwnNode(far).send(1, 1)
            until(lambda: counts.since("gateway_publishes").get("RX,1,refused,135", 0) >= 2)
            until(lambda: any(vars(one)["event"] == "ack_missing" for one in caplog.records))
            reasons = {vars(one)["event"]: vars(one).get("reason", "") for one in caplog.records}
            assert [vars(one)["event"] for one in caplog.records].count("publish_refused") == 1
            assert "ACL" in reasons["publish_refused"]
            assert reasons["ack_missing"] == reasons["publish_refused"], "somebody may subscribe; that is not the cause"

            acl.write_text("topic readwrite #\n")
            broker.signal(signal.SIGHUP)

            assert listener.next()["counter"] == 1
            listener.commit({"node": str(NODE), "epoch": EPOCH, "counter": 1})
            until(lambda: gateway._outbox_file.events == 0)


def test_a_backlog_that_cannot_be_read_is_counted_and_logged_once_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, values: Settings, listener: Listener
) -> None:
    with contextlib.closing(OutboxFile(values.gateway.outbox_path, 1 << 24)) as store:
        payload = b'{"event":"RX","gateway":"%s"}' % values.gateway.gateway_id.encode()
        store.submit(lambda tx: tx.insert(Identity("7", 1, 1), "d", 1, payload, 0)).result()
    counts = Counts()
    unharmed, failures = Transaction.fetch, iter(range(2))

    def failing(tx: Transaction, fetch: outbox.Fetch) -> outbox.Fetched:
        if next(failures, None) is not None:
            raise TypeError("damaged")
        return unharmed(tx, fetch)

    monkeypatch.setattr(Transaction, "fetch", failing)
    with running(values):
        assert listener.next()["event"] == "RX"

    assert counts.since("outbox_fetches_failed") == {"": 2}
    assert [record.levelname for record in caplog.records if "backlog cannot be read" in record.message] == ["ERROR"]


class OlderSubscriber:
    """As the older installation's: QoS 0, a clean session, MQTT 3.1.1, a row for each message, no acknowledgement."""

    def __init__(self, port: int) -> None:
        self.rows: list[dict[str, object]] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._insert
        self._subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_connect = lambda client, *_: client.subscribe("aoii/readings", 0)
        self._client.connect("127.0.0.1", port)

    def _insert(self, client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        fields = json.loads(message.payload)
        if fields["event"] == "RX":
            self.rows.append(fields)

    def counters(self) -> list[object]:
        """The readings, in the order of their rows."""
        return [row["counter"] for row in list(self.rows)]

    def __enter__(self) -> "OlderSubscriber":
        self._client.loop_start()
        assert self._subscribed.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def test_for_the_older_subscriber_a_reading_is_done_when_the_broker_has_it_and_is_one_row(
    tmp_path: Path, link: Path, far: int
) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        values = configured(tmp_path / "data", broker.port, "moved", link, OUTBOX_KEEP_UNTIL="published")
        with OlderSubscriber(broker.port) as older, running(values) as gateway:
            wait_connected(gateway)
            node = OwnNode(far)
            for number in range(1, 6):
                node.send(number, number, 2150 + number)  # all but the first below the thresholds

            until(lambda: gateway._outbox_file.events == 0 and len(older.rows) == 5)

            assert sorted(map(str, older.counters())) == ["1", "2", "3", "4", "5"]
            with gateway.publisher._lock:
                assert gateway.publisher._outbox.deadline_ms() is None  # nothing is published again


def test_for_the_older_subscriber_a_reading_waits_until_somebody_subscribes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, link: Path, far: int
) -> None:
    monkeypatch.setattr(outbox, "FIRST_DEADLINE_MS", 100)
    monkeypatch.setattr(outbox, "SILENCE_MS", 120)
    counts = Counts()
    with Mosquitto(tmp_path / "broker") as broker:
        values = configured(tmp_path / "data", broker.port, "waits", link, OUTBOX_KEEP_UNTIL="published")
        with running(values) as gateway:
            wait_connected(gateway)
            OwnNode(far).send(1, 1)
            # It asks often, because that floods nobody; with the usual waits of 0.4, 1.6, 6.4 s … it would come to 6.
            until(lambda: counts.since("gateway_publishes").get("RX,1,sent,16", 0) >= 20)
            assert gateway._outbox_file.events == 1

            with OlderSubscriber(broker.port) as older:
                until(lambda: gateway._outbox_file.events == 0)
                until(lambda: older.counters() == [1])


@pytest.mark.parametrize("is_heard", [False, True])
def test_missing_acknowledgements_are_said_once_with_the_likely_causes_and_so_are_the_first_ones(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path, link: Path, far: int,
    is_heard: bool,
) -> None:  # fmt: skip
    caplog.set_level("INFO")
    monkeypatch.setattr("aoii.gateway.missing_acks.COMMIT_ACK_DEADLINE_S", 7)

    def said(event: str) -> list[str]:
        return [vars(one).get("reason", "") for one in caplog.records if vars(one)["event"] == event]

    with Mosquitto(tmp_path / "broker") as broker, contextlib.ExitStack() as stack:
        values = configured(tmp_path / "data", broker.port, "unheard", link)
        if is_heard:
            stack.enter_context(OlderSubscriber(broker.port))
        with running(values) as gateway:
            wait_connected(gateway)
            node = OwnNode(far)
            node.send(1, 1)

            until(lambda: said("ack_missing"))

            node.send(2, 2)
            (reason,) = said("ack_missing")
            assert ("OUTBOX_KEEP_UNTIL=published" in reason) is is_heard
            assert ("nobody subscribes to aoii/readings" in reason) is not is_heard
            assert said("ack_back") == []
            with listening(values) as listener:
                listener.commit(*({"node": str(NODE), "epoch": EPOCH, "counter": counter} for counter in (1, 2)))
                until(lambda: said("ack_back"))
            assert gateway._outbox_file.events == 0


def test_a_reading_over_the_brokers_limit_stays_is_counted_and_keeps_no_other_from_the_server(
    tmp_path: Path, link: Path, far: int
) -> None:
    counts = Counts()
    with Mosquitto(tmp_path / "broker", extra="max_packet_size 600") as broker:
        values = configured(tmp_path / "data", broker.port, "limited", link)
        long, short = (b'{"event":"RX","gateway":"limited","counter":%d,"fill":"%s"}' % (counter, b"x" * fill)
                       for counter, fill in ((1, 700), (2, 1)))  # fmt: skip
        with contextlib.closing(OutboxFile(values.gateway.outbox_path, 1 << 24)) as store:
            for counter, payload in ((1, long), (2, short)):
                who = Identity("7", 1, counter)
                store.submit(
                    partial(Transaction.insert, who=who, digest="d", qos=1, payload=payload, now_ms=0)
                ).result()
        with listening(values) as listener, running(values) as gateway:
            assert listener.next()["counter"] == 2
            until(lambda: metrics.value(metrics.OUTBOX_TOO_LARGE) == 1)
            listener.acknowledge(Committed(Identity("7", 1, 2), "stored"))
            until(lambda: gateway._outbox_file.events == 1)

            assert counts.since("gateway_publishes")["RX,1,refused,149"] == 1
            assert gateway.publisher.client.connection_number == 1
            assert gateway.estimates.publish(b'{"event":"EST","gateway":"limited","fill":"%s"}' % (b"x" * 700))
            assert counts.since("gateway_publishes")["EST,0,refused,149"] == 1
            assert gateway.publisher.client.connection_number == 1


def test_two_gateways_with_one_id_are_counted_until_one_of_them_stops(
    tmp_path: Path, mosquitto: Mosquitto, name: str, link: Path
) -> None:
    both = [configured(tmp_path / who, mosquitto.port, name, link) for who in ("one", "other")]
    with running(both[1]) as other:
        assert other.publisher.client.wait_ready(30)
        with running(both[0]) as one:
            until(lambda: min(each.publisher.client.short_connections for each in (one, other)) >= 3, 120)
            assert metrics.value(metrics.BROKER_SHORT_CONNECTIONS) >= 3
            assert "GATEWAY_ID" in str(one.publisher.client.trouble)
