"""The gateway on real parts: old firmware, our own nodes, faults of every neighbour, and nothing lost in between."""

import contextlib
import functools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from urllib.error import HTTPError

import pytest

from aoii.broker.client import CONNECT_TIMEOUT_S
from aoii.broker.messages import Committed, Identity, payload_digest
from aoii.core.errors import InputError
from aoii.core.forecast import NodeSettings, Trend
from aoii.core.frames import BACKFILL, HEARTBEAT
from aoii.gateway import gateway as station
from aoii.gateway import outbox
from aoii.gateway.drivers.outbox_file import OutboxFile
from aoii.gateway.drivers.outbox_transaction import Transaction
from aoii.gateway.gateway import Gateway
from aoii.runtime import metrics
from aoii.runtime.clock import Clock, day_fraction
from aoii.runtime.station import served
from aoii.security import node_keys
from aoii.settings import Settings
from gateway.reference_mlp import ReferenceNode, random_model, source
from gateway.station import (
    EPOCH,
    KEY,
    KEYS,
    NODE,
    Counts,
    Listener,
    OwnNode,
    configured,
    listening,
    reply,
    running,
    say,
    wait_connected,
)
from servers import Mosquitto, free_port, pty_port, until

REPORTS = "aoii_node_aoii_reports_seconds"
START_S = 1_760_000_000  # of the simulated clock
PATIENCE_S = 30.0  # for a reply where its lateness is not the subject: a busy machine may stall a commit for a second


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A gateway id for this test alone, because all share one broker."""
    return f"g{abs(hash(request.node.nodeid)) % 10**9}"


@pytest.fixture
def values(tmp_path: Path, mosquitto: Mosquitto, link: Path, name: str) -> Settings:
    return configured(tmp_path / "data", mosquitto.port, name, link)


@pytest.fixture
def listener(values: Settings) -> Iterator[Listener]:
    with listening(values) as listener:
        yield listener


@pytest.fixture
def gateway(values: Settings, far: int, listener: Listener) -> Iterator[Gateway]:
    """A gateway with its port open and its broker there, and a listener beside it."""
    with running(values) as gateway:
        wait_connected(gateway)
        yield gateway


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aoii.gateway.receiver.REPLY_LIMIT_S", PATIENCE_S)


class SteppedClock(Clock):
    """Its elapsed time, and the wall clock if it is simulated, stand still between calls of `go_on`."""

    at_ms = 10_000_000

    def elapsed_ms(self) -> int:
        return self.at_ms

    def unix_ms(self) -> int:
        return super().unix_ms() if self.start_unix_s is None else int(1000 * self.start_unix_s) + self.at_ms

    def go_on(self, seconds: int) -> None:
        object.__setattr__(self, "at_ms", self.at_ms + 1000 * seconds)  # the clocks of the stations are frozen values


def fill(gateway: Gateway) -> list[Identity]:
    """Use up the room in the outbox, as a database that stays away would."""
    fillers: list[Identity] = []

    def insert(size: int, tx: Transaction) -> None:
        tx.insert(fillers[-1], "d", 1, bytes(size), 0)

    for size in (100_000, 10_000, 1000, 100, 1):
        error = None
        while error is None:
            fillers.append(Identity("filler", 1, len(fillers)))
            error = gateway._outbox_file.submit(functools.partial(insert, size)).exception()
    return fillers


# --- old firmware -----------------------------------------------------------------------------------------------------


def test_an_old_node_gets_its_replies_and_its_readings_carry_the_predictions_of_the_mlp(
    tmp_path: Path, mosquitto: Mosquitto, link: Path, far: int, name: str
) -> None:
    (tmp_path / "theirs.py").write_text(source(random_model(5), "list"))
    clock = SteppedClock(start_unix_s=START_S)  # a clock that ran would make a late reading on a busy machine
    values = configured(tmp_path / "data", mosquitto.port, name, link, MIRROR_WEIGHTS=str(tmp_path / "theirs.py"))
    values = replace(values, clock=clock)
    node = ReferenceNode(random_model(5))
    sent = {10: (24.31, 55.02), 11: (26.0, 54.0), 18: (20.0, 70.5), 19: (24.0, 55.0), 28: (24.1, 55.1)}
    with listening(values) as listener, running(values) as gateway:
        wait_connected(gateway)
        for minute in range(10, 29):
            sample_ms = clock.unix_ms()
            predicted = node.sample(day_fraction(sample_ms), sent.get(minute))
            clock.go_on(60)
            if minute not in sent:
                continue
            say(far, f"{sample_ms % 2**32},{sent[minute][0]:.2f},{sent[minute][1]:.2f}")

            told_s = reply(far)

            assert told_s is not None
            assert 0 <= told_s - sample_ms // 1000 < 600
            message = listener.next()
            assert (message["actual_t"], message["actual_h"]) == sent[minute]
            assert (message["pred_t"], message["pred_h"]) == pytest.approx(predicted, abs=1e-9)
            assert message["node"] == f"{name}/{str(link).lstrip('/')}"
            assert message["counter"] == list(sent).index(minute) == message["total_tx"] - 1
            assert message["event_unix_ms"] == sample_ms
            assert 0 <= message["transmission_delay_ms"] < 600_000
            assert (message["kind"], message["clock_synced"]) == ("legacy", True)
            is_off = abs(message["error_t"]) >= 0.5 or abs(message["error_h"]) >= 3
            assert message["at_qos"] == message["qos"] == int(is_off)


def test_an_old_node_that_asks_for_the_time_gets_it_and_there_is_no_reading(
    gateway: Gateway, far: int, listener: Listener
) -> None:
    counts = Counts()

    say(far, "0.0,0.0")

    told_s = reply(far)
    assert told_s is not None
    assert abs(told_s - time.time()) < 2
    assert counts.since("gateway_packets") == {"time": 1}
    assert listener.silent_for(0.3)


def test_without_weights_the_last_reading_was_believed(gateway: Gateway, far: int, listener: Listener) -> None:
    for payload in ("21.50,40.00", "21.99,42.99", "22.49,42.00"):
        say(far, payload)
        assert reply(far) is not None

    first, second, third = (listener.next() for _ in range(3))

    assert (first["pred_t"], first["error_t"], first["at_qos"]) == (21.5, 0, 1)
    assert (second["pred_t"], second["pred_h"], second["at_qos"]) == (21.5, 40.0, 0)
    assert (third["pred_t"], third["error_t"], third["at_qos"]) == (21.99, 0.5, 1)
    assert "transmission_delay_ms" not in first
    assert first["epoch"] == second["epoch"] > 2**16


def test_a_full_outbox_means_no_reply_and_everything_else_goes_on(
    tmp_path: Path, mosquitto: Mosquitto, link: Path, far: int, name: str
) -> None:
    values = configured(tmp_path / "data", mosquitto.port, name, link, OUTBOX_MAX_MB="1")
    with running(values) as gateway:
        wait_connected(gateway)
        fillers = fill(gateway)
        counts = Counts()
        node = OwnNode(far)

        say(far, "21.50,40.00")
        node.transmit(node.frame(1, 1))

        until(lambda: counts.since("outbox_full"), what="two readings not accepted")
        until(lambda: sum(counts.since("outbox_full").values()) == 2)
        say(far, "0.0,0.0")
        assert reply(far) is not None  # the only answer
        until(lambda: not gateway.is_ready()["outbox"])
        gateway._outbox_file.submit(lambda tx: tx.delete(fillers)).result()
        node.transmit(node.frame(1, 1))
        assert node.ack() is not None


def test_a_commit_that_takes_too_long_means_no_reply_and_the_reading_stays(
    monkeypatch: pytest.MonkeyPatch, gateway: Gateway, far: int, listener: Listener
) -> None:
    limit_s = 0.05
    monkeypatch.setattr("aoii.gateway.receiver.REPLY_LIMIT_S", limit_s)
    counts = Counts()
    is_held, gate = threading.Event(), threading.Event()

    def hold(_: Transaction) -> None:
        is_held.set()
        gate.wait(30)

    gateway._outbox_file.submit(hold)
    assert is_held.wait(10)
    say(far, "21.50,40.00")
    until(lambda: not gateway._outbox_file._queue.empty(), what="the reading waits for its commit")
    waited_s = time.monotonic()
    until(lambda: time.monotonic() - waited_s > limit_s)

    gate.set()

    assert listener.next()["actual_t"] == 21.5
    assert reply(far, 0.2) is None
    assert counts.since("gateway_replies_late") == {"": 1}
    assert counts.since("gateway_packets") == {"legacy": 1}


def test_two_old_nodes_on_two_ports_are_two_nodes(tmp_path: Path, mosquitto: Mosquitto, name: str) -> None:
    links = [tmp_path / "a", tmp_path / "b"]
    values = configured(tmp_path / "data", mosquitto.port, name, *links)
    with (
        pty_port(links[0]) as first,
        pty_port(links[1]) as second,
        listening(values) as listener,
        running(values) as gateway,
    ):
        until(lambda: all(port.is_open for port in gateway._ports) and gateway.is_ready()["broker"])
        for far, payload in ((first, "20.00,40.00"), (second, "30.00,50.00")):
            say(far, payload)
            assert reply(far) is not None

        found = {message["node"]: message["actual_t"] for message in (listener.next(), listener.next())}

    assert list(found.values()) == [20.0, 30.0]
    assert [node[-1] for node in found] == ["a", "b"]


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"Received: 21.5\n", "payload"),
        (b"eceived: 21.50,40.00\n", "noise"),
        (b"Received: \xff\xfe21.50,40.00\n", "encoding"),
        (b"Received: nan,40.00\n", "range"),
        (b"Received: " + b"9" * 100_000 + b"\n", "long"),
        (b"\x00\x05garbage\x00", "cobs"),
        (b"Received: 21.5\x00", "cut"),
    ],
)
def test_bad_bytes_are_one_counted_error_and_the_next_good_line_works(
    gateway: Gateway, far: int, listener: Listener, bad: bytes, reason: str
) -> None:
    counts = Counts()

    for start in range(0, len(bad), 2048):  # a pseudo-terminal holds 4 kB
        os.write(far, bad[start : start + 2048])
        time.sleep(0.002)
    say(far, "21.50,40.00")

    assert reply(far) is not None
    assert listener.next()["actual_t"] == 21.5
    assert counts.since("gateway_rejected") == {reason: 1}


def test_what_the_old_receiver_always_prints_is_no_error(gateway: Gateway, far: int) -> None:
    counts = Counts()

    os.write(far, b"Sync sent: 1700000000\r\n------------------\r\n\r\n")
    say(far, "0.0,0.0")

    assert reply(far) is not None
    assert counts.since("gateway_rejected") == {}


# --- our own nodes ----------------------------------------------------------------------------------------------------


def test_a_frame_is_committed_acknowledged_and_published(gateway: Gateway, far: int, listener: Listener) -> None:
    node = OwnNode(far)
    counts = Counts()

    ack = node.send(1, 5, 2150, age_s=3)
    node.send(2, 6, 2199, flags=HEARTBEAT)
    node.send(3, 4, 1000, flags=BACKFILL, age_s=600)

    assert abs(ack.unix_s + ack.unix_ms / 1000 - time.time()) < 2
    first, second, third = sorted((listener.next() for _ in range(3)), key=lambda message: message["total_tx"])
    assert (first["node"], first["epoch"], first["counter"], first["kind"]) == (str(NODE), EPOCH, 5, "event")
    assert (first["pred_t"], first["error_t"], first["at_qos"]) == (21.5, 0, 1)
    assert abs(first["event_unix_ms"] / 1000 - (time.time() - 3)) < 2
    assert (second["kind"], second["pred_t"], second["at_qos"]) == ("heartbeat", 21.5, 0)
    assert (third["kind"], third["counter"], third["at_qos"]) == ("backfill", 4, 1)
    assert counts.since("gateway_packets") == {"event": 1, "heartbeat": 1, "backfill": 1}


def test_the_age_of_incorrect_information_is_bounded_from_below_by_what_was_heard(
    tmp_path: Path, mosquitto: Mosquitto, link: Path, far: int, name: str
) -> None:
    clock = SteppedClock()
    values = replace(configured(tmp_path / "data", mosquitto.port, name, link), clock=clock)
    node = OwnNode(far, node=8, key=KEYS[8].key)

    def aoii_s() -> float:
        return metrics.value(metrics.NODE_AOII_S, node="8")

    def reports(le: str = "+Inf") -> float:
        return metrics.REGISTRY.get_sample_value(f"{REPORTS}_bucket", {"node": "8", "le": le}) or 0

    before = reports(), reports("0.0")
    with running(values) as gateway:
        wait_connected(gateway)
        node.send(1, 1, 2150)
        assert reports() == before[0], "what was right before the first reading nobody knows"

        clock.go_on(2000)
        node.send(2, 3, 2300, age_s=100)
        assert aoii_s() == 100
        clock.go_on(10)
        node.send(3, 2, 2250, flags=BACKFILL, age_s=1510)
        assert aoii_s() == 1500
        node.send(4, 4, 2310, flags=HEARTBEAT)
        assert aoii_s() == 0
        node.send(4, 4, 2310, flags=HEARTBEAT)

    assert (reports() - before[0], reports("0.0") - before[1]) == (3, 1)


def test_a_retransmission_is_acknowledged_again_and_published_once(
    gateway: Gateway, far: int, listener: Listener
) -> None:
    node = OwnNode(far)
    counts = Counts()
    first = node.send(1, 1)
    listener.next()

    again = node.send(1, 1)

    assert again._replace(unix_s=0, unix_ms=0) == first._replace(unix_s=0, unix_ms=0)
    assert listener.silent_for(0.3)
    assert counts.since("gateway_packets") == {"event": 1, "repeated": 1}


@pytest.mark.parametrize(
    ("speaker", "reason"),
    [
        (OwnNode(0, key=KEY[1:] + b"x"), "mac"),
        (OwnNode(0, node=99), "unknown_node"),
        (OwnNode(0, epoch=EPOCH - 1), "epoch"),
        (OwnNode(0, epoch=EPOCH + 1), "epoch"),
    ],
)
def test_a_frame_that_is_not_believed_is_counted_and_gets_no_answer(
    gateway: Gateway, far: int, listener: Listener, speaker: OwnNode, reason: str
) -> None:
    counts = Counts()
    node = OwnNode(far)

    node.transmit(speaker.frame(1, 1, 3000))

    node.send(1, 1)  # whatever the other might have been told would have come first
    assert listener.next()["actual_t"] == 21.5
    assert counts.since("gateway_rejected") == {reason: 1}


def test_a_frame_from_long_ago_is_a_replay(gateway: Gateway, far: int) -> None:
    node = OwnNode(far)
    old = node.frame(1, 1)
    node.transmit(old)
    assert node.ack() is not None
    node.send(1000, 2)
    counts = Counts()

    node.transmit(old)

    node.send(1001, 3)
    assert counts.since("gateway_rejected") == {"replay": 1}


def test_a_flipped_bit_in_a_frame_is_never_a_reading(gateway: Gateway, far: int, listener: Listener) -> None:
    node = OwnNode(far)
    counts = Counts()
    good = node.frame(1, 1)

    for bit in range(0, 8 * len(good), 5):
        flipped = bytearray(good)
        flipped[bit // 8] ^= 1 << bit % 8
        node.transmit(bytes(flipped))
    node.send(2, 2)

    assert listener.next()["counter"] == 2
    assert sum(counts.since("gateway_rejected").values()) == len(range(0, 8 * len(good), 5))


def test_a_node_is_told_the_gateways_settings_until_it_uses_them(
    tmp_path: Path, mosquitto: Mosquitto, link: Path, far: int, name: str
) -> None:
    values = configured(
        tmp_path / "data", mosquitto.port, name, link, BETA_TEMP="0.2", BETA_HUM="1.5", SAMPLE_PERIOD_S="30"
    )
    node = OwnNode(far)
    with running(values) as gateway:
        wait_connected(gateway)
        told = node.send(1, 1, generation=0)
    with running(values) as gateway:  # it does not forget
        wait_connected(gateway)
        again = node.send(2, 2, generation=0)
        used = node.send(3, 3, generation=1)

    assert told.settings == again.settings == NodeSettings(20, 150, 30, 3600, 600, 1)
    assert (told.generation, again.generation, used.generation, used.settings) == (1, 1, 1, None)


# --- neighbours that come and go --------------------------------------------------------------------------------------


def test_the_broker_may_come_after_the_gateway_and_go_and_come_again(tmp_path: Path, link: Path, far: int) -> None:
    port = free_port()
    values = configured(tmp_path / "data", port, "late", link)
    node = OwnNode(far)
    with running(values) as gateway:
        until(lambda: gateway.is_ready()["serial"])
        node.send(1, 1)
        assert not gateway.is_ready()["broker"]
        with Mosquitto(tmp_path / "first", port), listening(values) as listener:
            assert listener.next(timeout_s=20)["counter"] == 1
            node.send(2, 2)
            assert listener.next()["counter"] == 2
        until(lambda: not gateway.is_ready()["broker"])
        node.send(3, 3)

        found: set[int] = set()
        with Mosquitto(tmp_path / "second", port), listening(values) as listener:  # this broker knows of none of them
            until(lambda: found.add(listener.next()["counter"]) or found == {1, 2, 3})  # type: ignore[func-returns-value]


def test_the_adapter_may_be_unplugged_and_plugged_in_again(
    tmp_path: Path, values: Settings, link: Path, listener: Listener
) -> None:
    with running(values) as gateway:
        for number in (1, 2):
            with pty_port(link) as far:
                wait_connected(gateway)
                OwnNode(far).send(number, number)
                say(far, f"{20 + number}.00,40.00")
                assert reply(far) is not None
            until(lambda: not gateway.is_ready()["serial"])

        messages = [listener.next() for _ in range(4)]

    assert sorted(message["actual_t"] for message in messages) == [21.0, 21.5, 21.5, 22.0]


def test_a_commit_acknowledgement_empties_the_outbox(gateway: Gateway, far: int, listener: Listener) -> None:
    counts = Counts()
    node = OwnNode(far)
    for number in range(1, 4):
        node.send(number, number)
    messages = [listener.next() for _ in range(3)]
    until(lambda: gateway._outbox_file.stats.events == 3)

    listener.commit(messages[0])
    listener.commit(*messages[1:], status="duplicate")

    until(lambda: gateway._outbox_file.stats.events == 0)
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
    until(lambda: gateway._outbox_file.stats.events == 0)


def test_an_acknowledgement_of_another_payload_is_counted_and_said_once_and_the_reading_stays(
    gateway: Gateway, far: int, listener: Listener, values: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    counts = Counts()
    OwnNode(far).send(1, 1)
    listener.next()
    who = Identity(str(NODE), EPOCH, 1)
    ((item,), *_) = gateway._outbox_file.submit(lambda tx: tx.fetch(outbox.Fetch(0, 9))).result()

    for status in ("parked", "stored"):
        listener.tell(Committed(who, status, payload_digest(b"forged")))

    until(lambda: counts.since("commit_acks_mismatched") == {"": 2})
    assert gateway._outbox_file.stats.events == 1
    told = [record for record in caplog.records if "not ours" in record.message]
    assert [(record.levelname, vars(record)["node"]) for record in told] == [("WARNING", str(NODE))]
    listener.tell(Committed(who, "parked", payload_digest(item.payload)))
    until(lambda: gateway._outbox_file.stats.events == 0)


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

        until(lambda: gateway._outbox_file.stats.events == 0)
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
            until(lambda: gateway._outbox_file.stats.events == 0)


def test_damaged_states_are_counted_and_the_gateway_starts_and_goes_on(
    values: Settings, caplog: pytest.LogCaptureFixture, far: int, listener: Listener
) -> None:
    with running(values) as gateway:
        wait_connected(gateway)
        OwnNode(far).send(1, 1)
        listener.next()
    with contextlib.closing(sqlite3.connect(values.gateway.outbox_path)) as connection:
        connection.execute("UPDATE nodes SET state = 7")
        connection.commit()
    counts = Counts()

    with running(values) as gateway:
        wait_connected(gateway)
        OwnNode(far).send(2, 2, 2300)
        until(lambda: counts.since("outbox_states_lost") == {"": 1})
        found = {listener.next()["counter"] for _ in range(2)}

    assert found == {1, 2}
    assert [record.levelname for record in caplog.records if "states of nodes" in record.message] == ["WARNING"]


def test_a_backlog_that_cannot_be_read_is_counted_and_said_once_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, values: Settings, listener: Listener
) -> None:
    with contextlib.closing(OutboxFile(values.gateway.outbox_path, 1 << 24)) as store:
        payload = b'{"event":"RX","gateway":"%s"}' % values.gateway.gateway_id.encode()
        store.submit(lambda tx: tx.insert(Identity("7", 1, 1), "d", 1, payload, 0)).result()
    counts = Counts()
    fetch, failures = Transaction.fetch, iter(range(2))

    def failing(tx: Transaction, wanted: outbox.Fetch) -> outbox.Fetched:
        if next(failures, None) is not None:
            raise TypeError("damaged")
        return fetch(tx, wanted)

    monkeypatch.setattr(Transaction, "fetch", failing)
    with running(values):
        assert listener.next()["event"] == "RX"

    assert counts.since("outbox_fetches_failed") == {"": 2}
    assert [record.levelname for record in caplog.records if "backlog cannot be read" in record.message] == ["ERROR"]


# --- restart ----------------------------------------------------------------------------------------------------------


def test_a_gateway_that_is_killed_resumes_from_its_file(
    tmp_path: Path, mosquitto: Mosquitto, link: Path, far: int, name: str
) -> None:
    values = configured(tmp_path / "data", free_port(), name, link)  # no broker there
    environment = os.environ | {
        "AOII_DATA_DIR": str(tmp_path / "data"), "GATEWAY_ID": name, "MQTT_BROKER": "127.0.0.1",
        "MQTT_PORT": str(values.mqtt.port), "SERIAL_PORT": str(link), "GATEWAY_STATUS_PORT": "0",
    }  # fmt: skip
    command = [sys.executable, "-m", "aoii.cli", "--env-file", str(tmp_path / "data" / "empty.env"), "gateway"]
    node = OwnNode(far)
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            node.transmit(node.frame(1, 1))
            if node.ack(0.2) is not None:
                break
        say(far, "30.00,50.00")
        assert reply(far) is not None
        process.kill()

    again = configured(tmp_path / "data", mosquitto.port, name, link)
    with listening(again) as listener, running(again) as gateway:
        found = {message["node"]: message for message in (listener.next(), listener.next())}
        listener.commit(*found.values())
        until(lambda: gateway._outbox_file.stats.events == 0)
        wait_connected(gateway)
        repeated = node.send(1, 1)
        say(far, "30.10,50.00")
        assert reply(far) is not None
        old = listener.next()

    assert {message["actual_t"] for message in found.values()} == {21.5, 30.0}
    assert repeated.frame == 1
    assert (old["counter"], old["pred_t"], old["total_tx"]) == (1, 30.0, 3)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_within_seconds_when_asked_even_without_broker_and_port(
    tmp_path: Path, name: str, number: signal.Signals
) -> None:
    configured(tmp_path / "data", free_port(), name, tmp_path / "absent")
    environment = os.environ | {
        "AOII_DATA_DIR": str(tmp_path / "data"), "MQTT_BROKER": "127.0.0.1", "MQTT_PORT": str(free_port()),
        "SERIAL_PORT": str(tmp_path / "absent"), "GATEWAY_STATUS_PORT": "0",
    }  # fmt: skip
    command = [sys.executable, "-m", "aoii.cli", "--env-file", str(tmp_path / "data" / "empty.env"), "gateway"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        until(lambda: "gateway started" in process.stderr.readline(), what="the start")  # type: ignore[union-attr]

        process.send_signal(number)

        assert process.wait(10) == 0
        assert "gateway stops" in process.stderr.read()
    assert not (tmp_path / "data" / "outbox.db-wal").exists()  # closed cleanly


def test_it_stops_in_time_when_the_disk_hangs_and_says_what_it_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, values: Settings, far: int
) -> None:
    assert station.THREADS_LIMIT_S + CONNECT_TIMEOUT_S + 1 < station.STOP_LIMIT_S < 9.5
    monkeypatch.setattr(station, "STOP_LIMIT_S", 1.0)
    monkeypatch.setattr(station, "THREADS_LIMIT_S", 0.5)
    monkeypatch.setattr("aoii.gateway.drivers.outbox_file.QUEUE_LIMIT", 2)
    monkeypatch.setattr("aoii.gateway.drivers.outbox_file.SUBMIT_LIMIT_S", 10.0)
    is_held, gate = threading.Event(), threading.Event()

    def hold(_: Transaction) -> None:
        is_held.set()
        gate.wait(60)

    with running(values) as gateway:
        wait_connected(gateway)
        gateway._outbox_file.submit(hold)
        assert is_held.wait(10)
        for number in range(4):
            say(far, f"2{number}.00,40.00")
        until(gateway._outbox_file._queue.full)

        began_s = time.monotonic()
        gateway.stop()

        assert time.monotonic() - began_s < 30  # not the 60 of the one that holds
        said = [vars(record)["threads"] for record in caplog.records if "left behind" in record.message]
        assert len(said) == 1
        assert {f"thread of {values.gateway.serial_ports[0]}", "outbox"} <= set(said[0])
        gate.set()
        until(lambda: not any(part.is_running for part in gateway.parts()))


def test_after_a_restart_the_forecast_goes_on(
    tmp_path: Path, mosquitto: Mosquitto, link: Path, far: int, name: str
) -> None:
    clock = SteppedClock(start_unix_s=START_S)
    values = replace(configured(tmp_path / "data", mosquitto.port, name, link), clock=clock)
    with running(values) as gateway:
        wait_connected(gateway)
        OwnNode(far).send(1, 1, trend=Trend(0, 100, 0, 0, 1), generation=0)

    rising = []
    with listening(values) as listener, running(values) as gateway:
        wait_connected(gateway)
        for _ in range(3):
            clock.go_on(60)
            rising.append(listener.next("EST")["pred_t"])

    assert 21.5 < rising[0] < rising[1] < rising[2] < 21.5 + 50 * 0.5


# --- estimates --------------------------------------------------------------------------------------------------------


def test_every_minute_there_is_an_estimate_of_every_known_node_at_qos_0(
    tmp_path: Path, mosquitto: Mosquitto, link: Path, far: int, name: str
) -> None:
    clock = SteppedClock(start_unix_s=START_S)
    values = replace(configured(tmp_path / "data", mosquitto.port, name, link), clock=clock)
    with listening(values) as listener, running(values) as gateway:
        wait_connected(gateway)
        clock.go_on(60)
        until(lambda: gateway.estimates.wait_s() > 0, what="the first minute")
        assert listener.silent_for(0.2, "EST")
        OwnNode(far).send(1, 1)
        say(far, "30.00,50.00")
        assert reply(far) is not None

        estimates = []
        for _ in range(5):
            clock.go_on(60)
            estimates += [listener.next("EST") for _ in range(2)]

    by_node = {node: [one for one in estimates if one["node"] == node] for node in {one["node"] for one in estimates}}
    assert {node: found[0]["pred_t"] for node, found in by_node.items()} == {
        "7": 21.5,
        f"{name}/{str(link).lstrip('/')}": 30.0,
    }
    for found in by_node.values():
        gaps_s = [(after["unix_ms"] - before["unix_ms"]) / 1000 for before, after in pairwise(found)]
        assert gaps_s == [60] * 4
        assert all((one["at_qos"], one["actual_t"], one["error_t"]) == (0, None, None) for one in found)


def test_a_node_that_was_taken_out_of_the_key_file_is_estimated_no_more(
    tmp_path: Path, mosquitto: Mosquitto, link: Path, far: int, name: str
) -> None:
    values = configured(
        tmp_path / "data", mosquitto.port, name, link,
        CLOCK_SPEED="600", CLOCK_START_UNIX_S=str(START_S), CLOCK_ORIGIN_S=str(time.monotonic()),
    )  # fmt: skip
    with listening(values) as listener, running(values) as gateway:
        wait_connected(gateway)
        OwnNode(far).send(1, 1)
        assert listener.next("EST")["node"] == str(NODE)

        node_keys.write_key_file(values.gateway.node_keys_file, {8: KEYS[8]})

        until(lambda: listener.silent_for(0.4, "EST"))


def test_an_estimate_that_cannot_be_published_is_tried_once_more_and_counted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, link: Path
) -> None:
    monkeypatch.setattr("aoii.gateway.estimates.RECONNECT_WAIT_S", 0.2)
    port = free_port()
    values = configured(tmp_path / "data", port, "estimates", link)
    with running(values) as gateway:
        counts = Counts()
        assert not gateway.estimates.publish(b'{"event":"EST","gateway":"estimates"}')
        assert counts.since("gateway_publishes") == {"EST,0,failed,": 1}

        monkeypatch.setattr("aoii.gateway.estimates.RECONNECT_WAIT_S", 20)
        with Mosquitto(tmp_path / "broker", port), listening(values) as listener:
            assert gateway.estimates.publish(b'{"event":"EST","gateway":"estimates"}')  # waits for the connection
            assert listener.next("EST")["at_qos"] == 0
            generation = gateway.publisher.client.generation
            refuse_once = iter([False])
            publish = gateway.publisher.client.publish
            monkeypatch.setattr(
                gateway.publisher.client, "publish", lambda *message: next(refuse_once, True) and publish(*message)
            )
            assert gateway.estimates.publish(b'{"event":"EST","gateway":"estimates"}')
            assert listener.next("EST")["at_qos"] == 0
            assert gateway.publisher.client.generation > generation
        assert counts.since("gateway_publishes") == {"EST,0,failed,": 1, "EST,0,sent,": 2}


# --- health -----------------------------------------------------------------------------------------------------------


def test_the_status_port_tells_what_is_missing(tmp_path: Path, mosquitto: Mosquitto, link: Path, name: str) -> None:
    port = free_port()
    values = configured(tmp_path / "data", mosquitto.port, name, link, GATEWAY_STATUS_PORT=str(port))

    def asked(path: str) -> tuple[int, dict[str, object]]:
        with contextlib.ExitStack() as stack:
            try:
                answer = stack.enter_context(urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5))
            except HTTPError as error:
                answer = stack.enter_context(error)
            return answer.status, json.loads(answer.read())

    with running(values) as gateway, served("gateway", port, gateway):
        until(lambda: gateway.is_ready()["broker"])
        checks = {"broker": True, "outbox": True, "serial": False}
        assert asked("/readyz") == (503, {"ok": False, "checks": checks, "reason": "waits for: serial"})
        assert asked("/healthz")[0] == 200
        with pty_port(link):
            wait_connected(gateway)
            assert asked("/readyz")[0] == 200


def test_a_thread_that_hangs_is_not_alive(monkeypatch: pytest.MonkeyPatch, gateway: Gateway) -> None:
    assert all(gateway.is_alive().values())
    gate = threading.Event()
    gateway._outbox_file.submit(lambda _: gate.wait(10))

    monkeypatch.setattr(station, "PROGRESS_S", 1.5)

    until(lambda: not gateway.is_alive()["outbox"])
    gate.set()
    until(lambda: all(gateway.is_alive().values()))
    assert gateway.ended() == []


def test_wrong_weights_or_keys_keep_it_from_starting(tmp_path: Path, link: Path) -> None:
    (tmp_path / "theirs.py").write_text("W1 = []\n")
    values = configured(tmp_path / "data", 1883, "wrong", link, MIRROR_WEIGHTS=str(tmp_path / "theirs.py"))
    with pytest.raises(InputError, match=r"theirs\.py: X_MEAN is missing"):
        Gateway(values)

    values = configured(tmp_path / "data", 1883, "wrong", link)
    values.gateway.node_keys_file.chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        Gateway(values)
