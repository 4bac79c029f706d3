"""The publisher at a real broker: readings go out, and commit acknowledgements empty the outbox."""

import contextlib
import json
import signal
from pathlib import Path

import pytest

from aoii.broker.messages import Committed, Identity, payload_digest
from aoii.gateway import outbox
from aoii.gateway.drivers.outbox_file import OutboxFile
from aoii.gateway.drivers.outbox_transaction import Transaction
from aoii.gateway.gateway import Gateway
from aoii.settings import Settings
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
    messages = [listener.next() for _ in range(3)]
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

        messages = [listener.next() for _ in range(6)]
        listener.commit(*messages)

        until(lambda: gateway._outbox_file.events == 0)
        distinct = {json.dumps(message, sort_keys=True) for message in messages}
        assert len(distinct) == 2
        assert {(message["counter"], message["at_qos"]) for message in messages} == {(1, 1), (2, 0)}


def test_a_refused_publish_is_counted_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, link: Path, far: int
) -> None:
    monkeypatch.setattr(outbox, "FIRST_DEADLINE_MS", 100)
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
