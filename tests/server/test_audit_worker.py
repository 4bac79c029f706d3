"""The audit's thread at a real broker and database: it asks, records, survives every failure, and stops."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aoii.broker.client import Client, Message, Subscription
from aoii.broker.messages import Identity, Reading
from aoii.broker.repair_messages import (
    Finding,
    Holding,
    Report,
    ask_topic,
    decode_ask,
    encode_report,
    holds_topic,
)
from aoii.core.errors import UnavailableError
from aoii.runtime import metrics
from aoii.server import audit_worker
from aoii.server.audit_worker import AuditWorker
from aoii.server.audits import Audits
from aoii.server.database_watch import DatabaseWatch
from aoii.server.db import Database
from aoii.server.gaps import Gaps
from aoii.server.gateway_reports import GatewayReports
from aoii.settings import Mqtt
from server.samples import BASE
from servers import Mosquitto, until

NAME = "attic"
FILE = "0123456789abcdef"


class Gateway:
    """Answers every question with a report that names it, and with what it finds."""

    def __init__(self, mqtt: Mqtt, holding: Holding) -> None:
        self.asked: list[tuple[int, int]] = []
        self._holding = holding
        self.client = Client(mqtt, "test-attic", subscriptions=[Subscription(ask_topic(NAME), 1)], on_message=self._on)

    def _on(self, message: Message) -> None:
        ask = decode_ask(message.payload)
        self.asked += [(hole.first, hole.last) for hole in ask.holes]
        one = self._holding
        found = tuple(Finding(hole.first, hole.last, "absent") for hole in ask.holes)
        self.report(Report(FILE, 5, ask.number, (Holding(one.node, one.epoch, one.low, one.high, 0, found),)))

    def report(self, report: Report) -> None:
        for payload in encode_report(report):
            self.client.publish(holds_topic(NAME), payload, 1)


@pytest.fixture
def mqtt(mosquitto: Mosquitto, request: pytest.FixtureRequest) -> Mqtt:
    name = request.node.name.encode().hex()[-40:]
    return Mqtt("127.0.0.1", mosquitto.port, None, None, namespace=name)


@pytest.fixture
def gateway(mqtt: Mqtt) -> Iterator[Gateway]:
    gateway = Gateway(mqtt, Holding("7", 70_000, 0, 9, 0))
    gateway.client.start()
    assert gateway.client.wait_ready(30)
    yield gateway
    gateway.client.stop()


@pytest.fixture
def start(database: Database, mqtt: Mqtt, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., AuditWorker]]:
    """Starts an audit with quick retries."""
    monkeypatch.setattr(audit_worker, "AGAIN_S", 0.1)
    watch = DatabaseWatch(database, 0.1)
    started: list[AuditWorker] = []

    def start(letters: Callable[[], list[Identity]] = list) -> AuditWorker:
        worker = AuditWorker(database.pool, watch, letters, lambda: [NAME, "no topic/+"], mqtt, "test-audit")
        started.append(worker)
        watch.start()
        worker.start()
        return worker

    yield start
    watch.stop()
    for worker in started:
        worker.stop(10)
        assert not worker.thread.is_alive()


def old(counter: int) -> Identity:
    return Identity("7", 70_000, counter)


def row(counter: int) -> Reading:
    return replace(BASE, identity=old(counter), gateway=NAME)


def test_a_gateway_is_asked_and_what_it_lacks_is_recorded(
    start: Callable[..., AuditWorker], gateway: Gateway, database: Database
) -> None:
    database.insert_readings([row(number) for number in (0, 1, 2, 4, 9)])
    audits = Audits(database.pool)
    id_ = audits.request(True)

    start()
    until(lambda: (found := audits.find(id_)) is not None and found.finished_at, 60, "the end of the audit")

    found = audits.find(id_)
    assert found is not None
    assert {name: count for name, count in found.counts.items() if count} == {
        "rows": 5, "missing": 5, "unknown": 5, "answered": 1,
    }  # fmt: skip
    assert gateway.asked == [(3, 3), (5, 8)]
    assert [(gap.first, gap.last, gap.state) for gap in Gaps(database.pool).all()] == [
        (3, 3, "unknown"), (5, 8, "unknown"),
    ]  # fmt: skip
    assert [one.gateway for one in GatewayReports(database.pool).files()] == [NAME]
    until(lambda: metrics.AUDIT_ROUND_TRIP_S.labels(NAME)._value.get() > time.time() - 600)


def test_dead_letters_account_for_numbers(
    start: Callable[..., AuditWorker], gateway: Gateway, database: Database
) -> None:
    database.insert_readings([row(number) for number in range(10) if number != 3])
    audits = Audits(database.pool)
    id_ = audits.request(True)

    start(lambda: [old(3)])
    until(lambda: (found := audits.find(id_)) is not None and found.finished_at, 60, "the end of the audit")

    assert gateway.asked == []


def test_after_a_look_it_rests_so_that_ingest_has_the_machine(
    start: Callable[..., AuditWorker], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_worker, "REST", 1e6)
    monkeypatch.setattr(audit_worker, "REST_LIMIT_S", 4.0)
    looks_s: list[float] = []

    def letters() -> list[Identity]:
        looks_s.append(time.monotonic())
        return []

    start(letters)
    until(lambda: looks_s, 30, "the first look")
    Audits(database.pool).request(True)  # looked for every second, and begun at once
    until(lambda: len(looks_s) == 2, 30, "the next look")

    assert looks_s[1] - looks_s[0] >= 4


def test_what_fails_is_tried_again_and_counted_and_ends_nothing(
    start: Callable[..., AuditWorker], gateway: Gateway, database: Database
) -> None:
    failures = [UnavailableError("no letters"), ZeroDivisionError("a mistake")]
    before = metrics.AUDIT_FAILURES._value.get()

    def letters() -> list[Identity]:
        if failures:
            raise failures.pop()
        return []

    audits = Audits(database.pool)
    id_ = audits.request(False)
    worker = start(letters)

    until(lambda: (found := audits.find(id_)) is not None and found.finished_at, 90, "the end of the audit")
    assert worker.thread.is_alive()
    assert metrics.AUDIT_FAILURES._value.get() - before >= 2


def test_bad_reports_are_counted_and_kept_ones_ignored(
    start: Callable[..., AuditWorker], gateway: Gateway, database: Database
) -> None:
    def count(result: str) -> float:
        return float(metrics.AUDIT_REPORTS.labels(result=result)._value.get())

    bad, kept = count("bad"), count("kept")
    assert gateway.client._library is not None
    retained = encode_report(Report("f" * 16, 1, 0, ()))[0]
    gateway.client._library.publish(gateway.client._prefix + holds_topic("shed"), retained, 1, retain=True)
    worker = start()
    until(lambda: worker.client.is_ready)

    gateway.client.publish(holds_topic(NAME), b"{}", 1)
    gateway.client.publish("aoii/holds/+/x".replace("+", "-"), b"{}", 1)

    until(lambda: count("bad") - bad >= 1, what="bad report")
    assert worker.thread.is_alive()
    assert count("kept") == kept  # we ask the broker to send none; brokers may do so nevertheless
    assert "shed" not in {one.gateway for one in GatewayReports(database.pool).files()}


def test_it_stops_without_broker_and_database(database: Database, tmp_path: Path) -> None:
    watch = DatabaseWatch(database, 0.1)
    worker = AuditWorker(database.pool, watch, list, list, Mqtt("127.0.0.1", 1, None, None), "test-audit")
    worker.start()

    worker.stop(10)

    assert not worker.thread.is_alive()
