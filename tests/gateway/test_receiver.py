"""A receiver's dialogue on real parts: old nodes and our own at the far end of a serial port."""

import contextlib
import functools
import os
import threading
import time
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from aoii.broker.messages import Identity
from aoii.core.errors import ProtocolError
from aoii.core.forecast import HOLD, NodeSettings
from aoii.core.frames import BACKFILL, EVENT, HEARTBEAT, Uplink, encode_uplink
from aoii.core.stream import UPLINK, Frame
from aoii.gateway.drivers.outbox_file import OutboxFile
from aoii.gateway.drivers.outbox_transaction import Transaction
from aoii.gateway.gateway import Gateway
from aoii.gateway.intake import Intake, LineResult
from aoii.gateway.listening import Listening
from aoii.gateway.neighbours import Neighbours
from aoii.gateway.receiver import Receiver
from aoii.runtime.clock import Clock
from aoii.security.node_keys import KeyRing
from aoii.settings import Settings
from gateway.reference_mlp import ReferenceNode, old_time_n, random_model, source
from gateway.station import (
    EPOCH,
    KEY,
    NODE,
    START_S,
    Counts,
    Listener,
    OwnNode,
    SteppedClock,
    configured,
    listening,
    reply,
    running,
    say,
    wait_connected,
)
from servers import Mosquitto, pty_port, until


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
            predicted = node.sample(old_time_n(sample_ms), sent.get(minute))
            clock.go_on(60)
            if minute not in sent:
                continue
            say(far, f"{sample_ms % 2**32},{sent[minute][0]:.2f},{sent[minute][1]:.2f}")

            told_s = reply(far)

            assert told_s is not None
            assert 0 <= told_s - sample_ms // 1000 < 600
            (message,) = listener.readings(1)
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


class SetClock(Clock):
    """The clock of a machine that was set to `at_s`, and stands still."""

    at_s = 0

    def unix_ms(self) -> int:
        return 1000 * self.at_s


@pytest.mark.parametrize(("at", "is_trusted"), [("1970-01-01", False), ("2023-12-31", False), ("2024-01-01", True)])
def test_with_a_clock_before_2024_our_nodes_get_no_time_and_old_nodes_all_the_same_as_their_acknowledgement(
    at: str, is_trusted: bool, values: Settings, far: int, listener: Listener
) -> None:
    clock = SetClock()
    at_s = 300 + int(datetime.fromisoformat(f"{at}T00:00+00:00").timestamp())
    object.__setattr__(clock, "at_s", at_s)  # the clocks of the stations are frozen values
    with running(replace(values, clock=clock)) as gateway:
        wait_connected(gateway)
        answer = OwnNode(far).send(1, 1)
        (own,) = listener.readings(1)
        say(far, "21.50,40.00")
        told_s = reply(far)
        (old,) = listener.readings(1)

    assert answer.unix_s == (at_s if is_trusted else 0)
    assert told_s == at_s
    assert own["clock_synced"] is old["clock_synced"] is is_trusted


def test_without_weights_the_estimate_is_the_last_reading(gateway: Gateway, far: int, listener: Listener) -> None:
    for payload in ("21.50,40.00", "21.99,42.99", "22.49,42.00"):
        say(far, payload)
        assert reply(far) is not None

    first, second, third = listener.readings(3)

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
        until(lambda: not gateway.readiness()["outbox"])
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
        until(lambda: all(port.is_open for port in gateway._ports) and gateway.readiness()["broker"])
        for far, payload in ((first, "20.00,40.00"), (second, "30.00,50.00")):
            say(far, payload)
            assert reply(far) is not None

        found = {message["node"]: message["actual_t"] for message in listener.readings(2)}

    assert {node[-1]: temp for node, temp in found.items()} == {"a": 20.0, "b": 30.0}


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


def test_a_frame_is_committed_acknowledged_and_published(gateway: Gateway, far: int, listener: Listener) -> None:
    node = OwnNode(far)
    counts = Counts()

    ack = node.send(1, 5, 2150, age_s=3)
    node.send(2, 6, 2199, flags=HEARTBEAT)
    node.send(3, 4, 1000, flags=BACKFILL, age_s=600)

    assert abs(ack.unix_s + ack.unix_ms / 1000 - time.time()) < 2
    first, second, third = listener.readings(3)
    assert (first["node"], first["epoch"], first["counter"], first["kind"]) == (str(NODE), EPOCH, 5, "event")
    assert (first["pred_t"], first["error_t"], first["at_qos"]) == (21.5, 0, 1)
    assert abs(first["event_unix_ms"] / 1000 - (time.time() - 3)) < 2
    assert (second["kind"], second["pred_t"], second["at_qos"]) == ("heartbeat", 21.5, 0)
    assert (third["kind"], third["counter"], third["at_qos"]) == ("backfill", 4, 1)
    assert counts.since("gateway_packets") == {"event": 1, "heartbeat": 1, "backfill": 1}


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
def test_a_rejected_frame_is_counted_and_gets_no_answer(
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


def test_a_node_gets_the_gateways_settings_until_it_uses_them(
    tmp_path: Path, mosquitto: Mosquitto, link: Path, far: int, name: str
) -> None:
    values = configured(
        tmp_path / "data", mosquitto.port, name, link, BETA_TEMP="0.2", BETA_HUM="1.5", SAMPLE_PERIOD_S="30"
    )
    node = OwnNode(far)
    with running(values) as gateway:
        wait_connected(gateway)
        first = node.send(1, 1, generation=0)
    with running(values) as gateway:  # it does not forget
        wait_connected(gateway)
        again = node.send(2, 2, generation=0)
        used = node.send(3, 3, generation=first.generation)

    assert first.settings == again.settings == NodeSettings(20, 150, 30, 3600, 600, 1)
    assert (again.generation, used.generation, used.settings) == (first.generation, first.generation, None)


def test_a_reading_that_conflicts_with_one_in_the_outbox_is_counted_and_logged_once(
    values: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    counts = Counts()
    with contextlib.closing(OutboxFile(values.gateway.outbox_path, 1 << 24)) as file:
        intake = Intake(values.gateway, values.clock, None, file, lambda _: None, lambda _: True)
        receiver = Receiver(
            "/dev/absent",
            "gateway/ttyUSB0",
            intake,
            KeyRing(values.gateway.node_keys_file),
            Neighbours(intake.wanted, 0),
            Listening(values.gateway.outbox_path.with_name("liveness.json"), values.clock, []),
            lambda *_: 0,
        )
        ended: Future[LineResult] = Future()
        ended.set_exception(ProtocolError("conflict", "node gateway/ttyUSB0: event 0 of epoch 1 with two contents"))

        for _ in range(3):
            receiver._answer_line(0.0, ended)

    assert counts.since("gateway_rejected") == {"conflict": 3}
    assert [record.levelname for record in caplog.records if record.name.endswith("receiver")] == ["ERROR"]


@pytest.mark.parametrize("slot_ms", [None, 250])
def test_a_witness_learns_as_the_first_gateway_does_that_a_reading_has_come(
    tmp_path: Path, slot_ms: int | None
) -> None:
    """What it has said of the number is not true any more: it must not report that again."""
    values = configured(tmp_path, 1, "g", tmp_path / "port")
    learned: list[tuple[int, bool]] = []
    with contextlib.closing(OutboxFile(tmp_path / "o.db", 1 << 20, keep_bytes=0)) as file:
        intake = Intake(values.gateway, Clock(), None, file, lambda _: None, lambda _: True)

        def learn(uplink: Uplink, is_new: bool) -> int:
            learned.append((uplink.counter, is_new))
            return 0

        keys = KeyRing(values.gateway.node_keys_file)
        neighbours = Neighbours(intake.wanted, 0)
        listening = Listening(tmp_path / "liveness.json", Clock(), [])
        receiver = Receiver("/dev/absent", "old", intake, keys, neighbours, listening, learn, slot_ms)

        frame = encode_uplink(Uplink(NODE, EPOCH, 5, 3, 0, 2150, 4000, HOLD, EVENT, 1, 0, 0), KEY)
        receiver._on_items([Frame(UPLINK, b"\xa6\x08" + frame)], time.monotonic())
        until(lambda: bool(learned))

    assert learned == [(3, True)]
