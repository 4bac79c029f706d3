"""A gateway at a real broker gives back what the database has lost, asks its nodes for the rest, and reports both."""

import contextlib
import logging
import queue
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aoii.broker.client import Client, Message, Subscription
from aoii.broker.messages import READINGS_TOPIC, Committed, Identity, ack_topic, decode_message, encode_commit_ack
from aoii.broker.node_liveness import UNKNOWN
from aoii.broker.repair_messages import (
    Ask,
    Finding,
    Holding,
    Hole,
    Report,
    ask_topic,
    decode_report,
    encode_ask,
    holds_topic,
)
from aoii.core.frames import BACKFILL, HEARTBEAT
from aoii.gateway.gateway import Gateway
from aoii.settings import Settings
from gateway.station import EPOCH, NODE, Counts, OwnNode, configured, is_connected, running, say, wait_connected
from secure_broker import SecureBroker
from servers import until

NAME = str(NODE)
HUGE = 2**63 - 1


class Server:
    """The server's part at the broker: hears readings and reports of one gateway, acknowledges and asks."""

    def __init__(self, values: Settings) -> None:
        self._gateway = values.gateway.gateway_id
        self._readings: queue.Queue[bytes] = queue.Queue()
        self._reports: queue.Queue[Report] = queue.Queue()
        self._questions = 0
        topics = (READINGS_TOPIC, holds_topic(self._gateway))
        self.client = Client(
            values.mqtt,
            f"server-{self._gateway}",
            subscriptions=[Subscription(topic, 1) for topic in topics],
            on_message=self._receive,
        )

    def _receive(self, message: Message) -> None:
        if message.topic != READINGS_TOPIC:
            self._reports.put(decode_report(message.payload))
        elif b'"event":"RX"' in message.payload and f'"gateway":"{self._gateway}"'.encode() in message.payload:
            self._readings.put(message.payload)

    def reading(self, timeout_s: float = 30) -> bytes:
        """The next reading."""
        return self._readings.get(timeout=timeout_s)

    def is_silent_for(self, seconds: float) -> bool:
        """Whether no reading comes for so long."""
        with contextlib.suppress(queue.Empty):
            self.reading(seconds)
            return False
        return True

    def commit(self, *payloads: bytes) -> None:
        """Say that the database has these readings."""
        self.acknowledge(*(identity(payload) for payload in payloads))

    def acknowledge(self, *identities: Identity) -> None:
        items = [Committed(one, "stored") for one in identities]
        assert self.client.publish(ack_topic(self._gateway), encode_commit_ack(items), 1)

    def ask(self, *holes: Hole, restored: bool = False) -> int:
        """Ask, and return the question's number."""
        self._questions += 1
        for payload in encode_ask(Ask(self._questions, restored, holes)):
            assert self.client.publish(ask_topic(self._gateway), payload, 1)
        return self._questions

    def report(self, asked: int = 0) -> Report:
        """The next report that knows of this question."""
        while True:
            report = self._reports.get(timeout=30)
            if report.asked >= asked:
                return report

    def findings(self, node: str = NAME) -> tuple[Finding, ...]:
        """The findings of the next report that has any."""
        while True:
            for holding in self._reports.get(timeout=30).holdings:
                if holding.node == node and holding.findings:
                    return holding.findings


@pytest.fixture
def server(values: Settings) -> Iterator[Server]:
    server = Server(values)
    server.client.start()
    assert server.client.wait_ready(30)
    yield server
    server.client.stop()


@pytest.fixture
def gateway(values: Settings, far: int, server: Server) -> Iterator[Gateway]:
    with running(values) as gateway:
        wait_connected(gateway)
        yield gateway


def said(caplog: pytest.LogCaptureFixture) -> str:
    """What was logged, with the reasons."""
    return " ".join(f"{record.message} {vars(record).get('reason')}" for record in caplog.records)


def identity(payload: bytes) -> Identity:
    found = decode_message(payload).identity  # type: ignore[union-attr]
    assert found is not None
    return found


def hole(first: int, last: int | None = None, is_for_node: bool = False, node: str = NAME) -> Hole:
    return Hole(node, EPOCH, first, first if last is None else last, is_for_node)


def stored(gateway: Gateway, server: Server, far: int, *counters: int) -> dict[int, bytes]:
    """Readings of these numbers, by number, that the database has and the outbox has forgotten."""
    node = OwnNode(far)
    payloads = {}
    for counter in counters:
        node.send(counter, counter)
        payloads[counter] = server.reading()
        server.commit(payloads[counter])
    until(lambda: gateway._outbox_file.events == 0)
    return payloads


# --- from what is kept ----------------------------------------------------------------------------------------------


def test_a_reading_that_has_left_the_outbox_is_published_again_byte_for_byte_when_it_is_asked_for(
    gateway: Gateway, server: Server, far: int
) -> None:
    counts = Counts()
    before = stored(gateway, server, far, 1, 2, 3)

    server.ask(hole(2))

    again = server.reading()
    assert again == before[2]
    server.commit(again)
    until(lambda: gateway._outbox_file.events == 0)
    assert server.is_silent_for(1)
    assert counts.since("repair_given_back") == {"": 1}
    assert counts.since("repair_questions") == {"taken": 1}


def test_it_can_be_lost_again_and_live_readings_pass_meanwhile(gateway: Gateway, server: Server, far: int) -> None:
    before = stored(gateway, server, far, *range(1, 6))
    for _ in range(3):
        server.ask(hole(1, 5))
        again = [server.reading() for _ in range(5)]
        assert {identity(one).counter: one for one in again} == before
        server.commit(*again)
        until(lambda: gateway._outbox_file.events == 0)

    stored(gateway, server, far, 6)


def test_the_backlog_that_was_given_back_is_published_although_the_file_was_read_to_its_end(
    gateway: Gateway, server: Server, far: int
) -> None:
    stored(gateway, server, far, 1)
    policy = gateway.publisher._outbox
    until(lambda: policy._complete, what="the end of the file")

    server.ask(hole(1))

    assert identity(server.reading()).counter == 1


def test_a_report_says_what_the_gateway_has_accepted_and_what_waits(
    gateway: Gateway, server: Server, far: int, values: Settings
) -> None:
    first = server.report()
    assert (first.seq, first.asked, first.holdings) == (0, 0, ())
    stored(gateway, server, far, 3, 4)
    OwnNode(far).send(9, 9)

    number = server.ask()

    report = server.report(number)
    assert report.holdings == (Holding(NAME, EPOCH, 3, 9, 1),)
    assert (report.file, report.seq) == (first.file, 3)
    gateway.publisher.client.reconnect()
    assert server.report(number).holdings == report.holdings


def test_numbers_that_were_never_here_are_reported(gateway: Gateway, server: Server, far: int) -> None:
    stored(gateway, server, far, 2)

    server.ask(hole(0, HUGE), hole(5, node="nobody"))

    assert server.findings() == (Finding(0, 1, "absent"), Finding(3, HUGE, "absent"))
    server.ask(hole(6, node="nobody"))
    assert server.findings("nobody")[-1] == Finding(6, 6, "absent")


def test_bad_questions_are_counted_and_good_ones_after_them_answered(
    gateway: Gateway, server: Server, far: int, values: Settings
) -> None:
    counts = Counts()
    stored(gateway, server, far, 1)
    topic = ask_topic(values.gateway.gateway_id)
    for payload in (b"", b"\xff", b"{}", b'{"v":1,"number":1,"restored":0,"holes":[]}', b"x" * 200_000):
        assert server.client.publish(topic, payload, 1)
    until(lambda: counts.since("repair_questions") == {"bad": 5})

    server.ask(hole(1))

    assert identity(server.reading()).counter == 1


def test_a_question_that_the_broker_has_retained_is_ignored(gateway: Gateway, server: Server, far: int) -> None:
    counts = Counts()
    stored(gateway, server, far, 1)
    (payload,) = encode_ask(Ask(1, False, (hole(1),)))

    gateway.publisher._on_message(Message(gateway.publisher._ask_topic, payload, 1, 1, 1, is_kept=True))

    assert server.is_silent_for(1)
    assert counts.since("repair_questions") == {"kept": 1}


def test_a_broker_that_does_not_know_the_new_topics_takes_readings_as_before_and_the_log_says_what_to_do(
    far: int, link: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    counts = Counts()
    broker = SecureBroker(tmp_path / "broker")
    acl = broker.acl.read_text().splitlines(keepends=True)
    broker.acl.write_text("".join(line for line in acl if "holds" not in line and "ask" not in line))
    with broker:
        tls = {
            "MQTT_TLS_CA": str(broker.certs / "ca.crt"), "MQTT_TLS_CERT": str(broker.certs / "gateway.crt"),
            "MQTT_TLS_KEY": str(broker.certs / "gateway.key"),
        }  # fmt: skip
        values = configured(tmp_path / "data", broker.port, "gateway", link, **tls)
        with running(values) as gateway:
            wait_connected(gateway)
            until(lambda: "let this gateway's user write aoii/holds/gateway" in said(caplog))
            OwnNode(far).send(1, 1)
            until(lambda: counts.since("gateway_publishes") != {})

    assert counts.since("repair_reports")["refused"] >= 1


def test_a_flood_of_huge_questions_does_not_keep_a_reading_from_its_acknowledgement(
    gateway: Gateway, server: Server, far: int
) -> None:
    stored(gateway, server, far, *range(1, 21))
    node = OwnNode(far)
    counts = Counts()
    for number in range(150):
        server.ask(*(hole(0, HUGE, node=NAME if one == 0 else f"forged {number} {one}") for one in range(300)))

    waits_s = []
    for counter in range(21, 31):
        begun_s = time.monotonic()
        node.send(counter, counter)
        waits_s.append(time.monotonic() - begun_s)

    assert max(waits_s) < 5  # an idle gateway takes 0.05 s; a busy machine is given time
    until(lambda: sum(counts.since("repair_questions").values()) >= 100)
    assert gateway.publisher.repair._repair.outstanding <= 500


# --- over the air ---------------------------------------------------------------------------------------------------


def test_a_number_that_is_not_here_is_asked_of_the_node_and_published(
    gateway: Gateway, server: Server, far: int
) -> None:
    counts = Counts()
    stored(gateway, server, far, 1, 6)
    asked = server.ask(hole(4, is_for_node=True))
    server.report(asked)
    until(lambda: gateway.publisher.repair._air.wanted((NAME, EPOCH), 0, HUGE))  # type: ignore[arg-type]
    node = OwnNode(far)

    ack = node.send(7, 7)
    assert ack.again == 3
    assert identity(server.reading()).counter == 7
    ack = node.send(8, 4, 2222, flags=BACKFILL, answers=4)

    assert ack.again == 0
    assert identity(server.reading()).counter == 4
    assert counts.since("repair_air_asks") == {"asked": 1, "answered": 1, "recovered": 1}


def test_a_finding_of_a_node_is_reported(gateway: Gateway, server: Server, far: int) -> None:
    stored(gateway, server, far, 1, 6)
    server.report(server.ask(hole(2, 5, is_for_node=True)))
    until(lambda: gateway.publisher.repair._air.wanted((NAME, EPOCH), 0, HUGE))  # type: ignore[arg-type]
    node = OwnNode(far)
    assert node.send(7, 7).again == 2

    assert node.send(8, 4, flags=BACKFILL, answers=5).again == 1
    assert server.findings() == (Finding(5, 5, "void"),)
    assert node.send(9, 1, flags=BACKFILL, answers=-3).again == 0
    assert server.findings() == (Finding(2, 3, "unknown"),)


def test_a_node_with_old_firmware_is_silent_after_three_questions(gateway: Gateway, server: Server, far: int) -> None:
    stored(gateway, server, far, 1, 6)
    server.report(server.ask(hole(2, 5, is_for_node=True)))
    until(lambda: gateway.publisher.repair._air.wanted((NAME, EPOCH), 0, HUGE))  # type: ignore[arg-type]
    node = OwnNode(far)

    distances = [node.send(counter, counter, flags=HEARTBEAT).again for counter in range(7, 11)]

    assert distances == [2, 3, 4, 0]
    assert server.findings() == (Finding(2, 5, "silent"),)


def test_readings_of_nodes_that_cannot_be_asked_are_absent(gateway: Gateway, server: Server) -> None:
    for node, epoch in (("9", EPOCH), (NAME, EPOCH + 1), ("g/tty", 70_000), ("07", EPOCH)):
        server.ask(Hole(node, epoch, 2, 5, True))

        assert server.findings(node)[-1] == Finding(2, 5, "absent")


def test_a_reading_that_only_the_forecast_remembers_is_published_again_when_the_node_sends_it(
    values: Settings, server: Server, far: int
) -> None:
    without_kept = configured(values.gateway.outbox_path.parent, values.mqtt.port, values.gateway.gateway_id,
                              *map(Path, values.gateway.serial_ports), KEEP_MB="0")  # fmt: skip
    with running(without_kept) as gateway:
        wait_connected(gateway)
        stored(gateway, server, far, 1, 2)
        server.report(server.ask(hole(2, is_for_node=True)))
        node = OwnNode(far)
        until(lambda: node.send(int(time.monotonic() * 1000) % 2**31, 3).again == 1)

        assert identity(server.reading()).counter == 3
        node.send(2**31, 2, flags=BACKFILL, answers=2)

        assert identity(server.reading()).counter == 2


# --- a file that was put back ---------------------------------------------------------------------------------------


def test_a_gateway_whose_file_is_an_older_copy_forgets_its_forecasts(
    gateway: Gateway, server: Server, far: int, caplog: pytest.LogCaptureFixture
) -> None:
    stored(gateway, server, far, 1)
    say(far, "21.5,40.0")
    old = identity(server.reading())
    assert len(list(gateway.intake.estimates(lambda _: UNKNOWN))) == 2

    with caplog.at_level(logging.WARNING):
        server.ask(restored=True)
        server.ask(restored=True)
        until(lambda: "older copy" in caplog.text)

    assert list(gateway.intake.estimates(lambda _: UNKNOWN)) == []
    say(far, "21.5,40.0")
    new = identity(server.reading())
    assert (new.node, new.counter) == (old.node, 0)
    assert new.epoch != old.epoch
    assert is_connected(gateway)
    assert caplog.text.count("older copy") == 1
