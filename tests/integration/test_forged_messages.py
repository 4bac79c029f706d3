"""Somebody else publishes under the identities of a gateway that waits: its readings are still lost to nobody."""

import json
from pathlib import Path

import pytest

from aoii.broker.client import Client
from aoii.broker.messages import READINGS_TOPIC, Identity, Reading, decode_message
from aoii.gateway import outbox
from aoii.server.db import open_database
from aoii.server.dead_letters.store import DeadLetters
from gateway import station
from gateway.station import EPOCH, NODE, Counts, OwnNode
from server import doubles
from servers import Mosquitto, pty_port, until

REAL = {1: 21.5, 2: 22.5, 3: 23.5}  # °C by counter


def said(payload: bytes) -> tuple[int, float]:
    """Counter and temperature of a reading."""
    reading = decode_message(payload)
    assert isinstance(reading, Reading)
    assert reading.identity is not None
    return reading.identity.counter, reading.actual_t


def test_no_forged_or_malformed_message_makes_a_gateway_forget_its_reading(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(outbox, "FIRST_DEADLINE_MS", 600_000)  # nothing is published again until we say so
    link = tmp_path / "receiver"
    with Mosquitto(tmp_path / "broker") as broker, pty_port(link) as far:
        values = station.configured(
            tmp_path / "data", broker.port, "honest", link,
            DATABASE=str(tmp_path / "aoii.db"), SERVER_STATUS_PORT="0", INSERT_BASE_DELAY="0.01",
        )  # fmt: skip
        with station.running(values) as gateway:
            station.wait_connected(gateway)
            node = OwnNode(far)
            for counter, temperature in REAL.items():
                node.send(counter, counter, round(100 * temperature))  # no server hears it
            rows, _, _ = gateway._outbox_file.submit(lambda tx: tx.fetch(outbox.Fetch(0, 9))).result()
            until(lambda: not gateway.publisher._outbox.take_due(0), what="everything is published")
            fields = {row.identity.counter: json.loads(row.payload) for row in rows}
            forged = [
                json.dumps(fields[1] | {"actual_t": 99.0}).encode(),  # another content
                json.dumps(fields[2] | {"actual_t": "warm"}).encode(),  # no reading
                json.dumps(fields[3] | {"event_unix_ms": 1_700_000_000_000}).encode(),  # the same at another time
            ]
            counts = Counts()
            intruder = Client(values.mqtt, "intruder")
            intruder.start()
            assert intruder.wait_ready(10)
            with doubles.running(values):
                for payload in forged:
                    assert intruder.publish(READINGS_TOPIC, payload, 1)
                until(lambda: counts.since("commit_acks_mismatched") == {"": 3})
                assert gateway._outbox_file.events == 3

                monkeypatch.setattr(outbox, "FIRST_DEADLINE_MS", 100)
                gateway.publisher.client.reconnect()
                until(lambda: gateway._outbox_file.events == 0)
            intruder.stop()

    database = open_database(values.database)
    letters = DeadLetters(values.server.dead_letter_path, 1)
    stored = {(row.counter, row.actual_temp) for row in database.recent(9)}
    parked = {letter.reason: letter for letter in letters.letters(9)}
    database.close()
    letters.close()
    assert stored == {(1, 99.0), (2, 22.5), (3, 23.5)}  # the first word has the row, and a person can see the other
    assert set(parked) == {"mismatch", "malformed"}
    assert said(parked["mismatch"].payload) == (1, 21.5)
    assert parked["malformed"].payload == forged[1]
    assert Identity(str(NODE), EPOCH, 2) == Identity(
        str(parked["malformed"].node), int(parked["malformed"].epoch or 0), int(parked["malformed"].counter or 0)
    )
