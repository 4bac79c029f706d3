"""Our connection and the shipped configuration of Mosquitto: who gets in, and what each may do there."""

import queue
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aoii.broker.client import Client, Message, Published, Subscription
from aoii.broker.connection_report import Refusal
from aoii.broker.messages import READINGS_TOPIC, ack_topic
from aoii.broker.node_status import EVERY_NODE, topic_of
from aoii.broker.repair_messages import ask_topic, holds_topic
from aoii.core.errors import InputError
from aoii.security import authority
from aoii.security.tls import Tls
from aoii.settings import Mqtt
from secure_broker import PASSWORD, SecureBroker, expired
from servers import Mosquitto, until

NOT_AUTHORIZED = 135  # MQTT 5


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    with SecureBroker(tmp_path_factory.mktemp("secure")) as server:
        yield server


@dataclass
class Station:
    """A client, and what came of it."""

    client: Client
    received: "queue.Queue[Message]" = field(default_factory=queue.Queue)
    ended: "queue.Queue[Published]" = field(default_factory=queue.Queue)
    refusals: list[Refusal] = field(default_factory=list)

    def publish(self, topic: str, payload: bytes = b"x") -> int | None:
        """Publish at QoS 1; the broker's reason code."""
        assert self.client.publish(topic, payload, 1)
        return self.ended.get(timeout=15).reason


Connect = Callable[..., Station]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Start clients; they are stopped at the end."""
    started: list[Client] = []

    def connect(mqtt: Mqtt, *topics: str, ready: bool = True) -> Station:
        received: queue.Queue[Message] = queue.Queue()
        ended: queue.Queue[Published] = queue.Queue()
        refusals: list[Refusal] = []
        client = Client(
            mqtt,
            f"test-{len(started)}",
            subscriptions=[Subscription(topic, 1, wants_kept=topic.startswith("$SYS/")) for topic in topics],
            on_message=received.put,
            on_published=ended.put,
            on_refusal=refusals.append,
        )
        started.append(client)
        client.start()
        if ready:
            assert client.wait_ready(20), (client.refusal, client.trouble)
        return Station(client, received, ended, refusals)

    yield connect
    for client in started:
        client.stop()


def refused(station: Station, kind: Refusal, *words: str) -> None:
    """The station is kept out for this reason, which it says and counts."""
    until(lambda: station.refusals, what="a refusal")
    assert set(station.refusals) == {kind}
    assert not station.client.is_ready
    for word in words:
        assert word in str(station.client.refusal)


# --- what is allowed ------------------------------------------------------------------------------------------------


def test_a_reading_and_its_commit_acknowledgement_pass_between_certificates(
    broker: SecureBroker, connect: Connect
) -> None:
    server = connect(broker.reached_by("server"), READINGS_TOPIC)
    gateway = connect(broker.reached_by("gateway", host="localhost"), ack_topic("gateway"))

    assert gateway.publish(READINGS_TOPIC, b"reading") == 0
    assert server.received.get(timeout=15).payload == b"reading"
    assert server.publish(ack_topic("gateway"), b"stored") == 0
    assert gateway.received.get(timeout=15).payload == b"stored"


def test_the_same_passes_with_passwords(broker: SecureBroker, connect: Connect) -> None:
    server = connect(broker.reached_with_password("server"), READINGS_TOPIC)
    gateway = connect(broker.reached_with_password("gateway"), ack_topic("gateway"))

    assert gateway.publish(READINGS_TOPIC, b"reading") == 0
    assert server.received.get(timeout=15).payload == b"reading"
    assert server.publish(ack_topic("gateway"), b"stored") == 0
    assert gateway.received.get(timeout=15).payload == b"stored"


def test_a_report_and_a_question_pass_between_gateway_and_server(broker: SecureBroker, connect: Connect) -> None:
    server = connect(broker.reached_by("server"), holds_topic("+"))
    gateway = connect(broker.reached_by("gateway"), ask_topic("gateway"))

    assert gateway.publish(holds_topic("gateway"), b"report") == 0
    assert server.received.get(timeout=15).payload == b"report"
    assert server.publish(ask_topic("gateway"), b"question") == 0
    assert gateway.received.get(timeout=15).payload == b"question"


def test_what_a_gateway_says_of_a_node_reaches_the_page(broker: SecureBroker, connect: Connect) -> None:
    page = connect(broker.reached_by("web"), EVERY_NODE)

    for node in ("7", "gateway/dev/ttyUSB0"):
        assert connect(broker.reached_by("gateway")).publish(topic_of("gateway", node), node.encode()) == 0
        assert page.received.get(timeout=15).payload == node.encode()


@pytest.mark.parametrize("user", ["web", "csv"])
def test_readers_get_readings(broker: SecureBroker, connect: Connect, user: str) -> None:
    reader = connect(broker.reached_by(user), READINGS_TOPIC)

    assert connect(broker.reached_by("gateway")).publish(READINGS_TOPIC, user.encode()) == 0
    assert reader.received.get(timeout=15).payload == user.encode()


def test_the_server_gets_the_state_of_the_broker(broker: SecureBroker, connect: Connect) -> None:
    server = connect(broker.reached_by("server"), "$SYS/broker/version")

    assert server.received.get(timeout=15).payload.startswith(b"mosquitto")


def test_the_connection_knows_when_the_brokers_certificate_ends(broker: SecureBroker, connect: Connect) -> None:
    (shown,) = authority.describe(broker.certs / "broker.crt")

    assert connect(broker.reached_by("gateway")).client.certificate_expires == shown.expires


# --- what is refused once inside --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "topic"),
    [
        ("gateway", ack_topic("gateway")),
        ("gateway", ack_topic("other")),
        ("gateway", ask_topic("gateway")),
        ("gateway", holds_topic("other")),
        ("gateway", topic_of("other", "7")),
        ("gateway", topic_of("gateway", "7") + "/more"),
        ("gateway", "aoii/anything"),
        ("gateway", "$SYS/broker/version"),
        ("server", READINGS_TOPIC),
        ("server", holds_topic("gateway")),
        ("server", topic_of("server", "7")),
        ("server", "aoii/anything"),
        ("web", READINGS_TOPIC),
        ("web", ack_topic("gateway")),
        ("web", ask_topic("gateway")),
        ("web", holds_topic("gateway")),
        ("web", holds_topic("web")),
        ("web", topic_of("gateway", "7")),
        ("web", topic_of("web", "7")),
        ("csv", READINGS_TOPIC),
        ("csv", holds_topic("csv")),
        ("csv", ack_topic("gateway")),
    ],
)
def test_a_forbidden_publish_is_refused_with_its_reason(
    broker: SecureBroker, connect: Connect, user: str, topic: str
) -> None:
    assert connect(broker.reached_by(user)).publish(topic) == NOT_AUTHORIZED


@pytest.mark.parametrize(
    ("user", "wanted"),
    [
        ("gateway", READINGS_TOPIC),
        ("gateway", ack_topic("other")),
        ("gateway", ack_topic("+")),
        ("gateway", ask_topic("other")),
        ("gateway", ask_topic("+")),
        ("gateway", holds_topic("gateway")),
        ("gateway", "#"),
        ("gateway", "$SYS/#"),
        ("server", ack_topic("gateway")),
        ("web", ack_topic("gateway")),
        ("web", ask_topic("gateway")),
        ("web", holds_topic("+")),
        ("web", "$SYS/#"),
        ("csv", "#"),
    ],
)
def test_nothing_is_delivered_of_a_topic_that_is_forbidden(
    broker: SecureBroker, connect: Connect, user: str, wanted: str
) -> None:
    # Mosquitto grants any subscription and asks its ACL at each delivery: what counts is that nothing comes. That the
    # forbidden message was there to be delivered is shown by those who may read it.
    curious = connect(broker.reached_by(user), wanted)
    server = connect(broker.reached_by("server"), READINGS_TOPIC)
    asked = connect(broker.reached_by("gateway"), ask_topic("gateway"))
    reported = connect(broker.reached_by("server"), holds_topic("+"))
    gateway = connect(broker.reached_by("gateway"), ack_topic("gateway"))

    assert gateway.publish(holds_topic("gateway"), b"secret") == 0
    assert reported.received.get(timeout=15).payload == b"secret"
    assert server.publish(ask_topic("other"), b"secret") in (0, 16)  # 16: without a subscriber
    assert server.publish(ask_topic("gateway"), b"secret") == 0
    assert asked.received.get(timeout=15).payload == b"secret"
    assert gateway.publish(READINGS_TOPIC, b"secret") == 0
    assert server.publish(ack_topic("other"), b"secret") in (0, 16)
    assert server.publish(ack_topic("gateway"), b"secret") == 0
    assert server.received.get(timeout=15).payload == gateway.received.get(timeout=15).payload == b"secret"
    # What a user may read overtakes nothing: once its own acknowledgement came, a forbidden message would have, too.
    assert server.publish(ack_topic(user), b"own") in (0, 16)
    marker = connect(broker.reached_by("server"), "$SYS/broker/version")
    assert marker.received.get(timeout=15)

    allowed = {(ack_topic(user), b"own"), (READINGS_TOPIC, b"secret")} if user != "gateway" else {
        (ack_topic("gateway"), b"secret"), (ack_topic("gateway"), b"own"), (ask_topic("gateway"), b"secret")
    }  # fmt: skip
    delivered = [(message.topic, message.payload) for message in list(curious.received.queue)]
    assert [one for one in delivered if one not in allowed] == []


def test_what_a_server_missed_waits_for_it_also_over_a_restart_of_the_broker(tmp_path: Path, connect: Connect) -> None:
    received: queue.Queue[Message] = queue.Queue()

    def serve(broker: SecureBroker) -> Client:
        client = Client(
            broker.reached_by("server"), "durable", subscriptions=[Subscription(READINGS_TOPIC, 1)],
            on_message=received.put, session_expiry_s=3600,
        )  # fmt: skip
        client.start()
        assert client.wait_ready(30)
        return client

    with SecureBroker(tmp_path / "broker") as broker:
        serve(broker).stop()
        assert broker.process is not None
        broker.signal(signal.SIGTERM)
        broker.process.wait()
        broker.start()
        gateway = connect(broker.reached_by("gateway"))
        for number in range(1500):  # the default keeps 1,000 and drops what comes after
            assert gateway.client.publish(READINGS_TOPIC, b"%d" % number, 1)
        assert {gateway.ended.get(timeout=30).reason for _ in range(1500)} == {0}

        server = serve(broker)

        assert [received.get(timeout=30).payload for _ in range(1500)] == [b"%d" % number for number in range(1500)]
        server.stop()


# --- who is not let in ------------------------------------------------------------------------------------------------


def test_nobody_is_anonymous(broker: SecureBroker, connect: Connect) -> None:
    refused(connect(broker.reached_with_password(None), ready=False), "login", "Not authorized")


def test_a_wrong_password_is_refused(broker: SecureBroker, connect: Connect) -> None:
    refused(connect(broker.reached_with_password("gateway", PASSWORD + "r"), ready=False), "login", "Not authorized")


def test_an_unknown_user_is_refused(broker: SecureBroker, connect: Connect) -> None:
    refused(connect(broker.reached_with_password("stranger"), ready=False), "login", "Not authorized")


def test_without_a_certificate_nobody_enters_the_port_for_certificates(broker: SecureBroker, connect: Connect) -> None:
    refused(connect(broker.reached_by(None), ready=False), "tls", "requires a certificate", "MQTT_TLS_CERT")


def test_an_expired_certificate_of_ours_is_refused(broker: SecureBroker, connect: Connect) -> None:
    expired(broker.certs, "late")

    refused(connect(broker.reached_by("late"), ready=False), "tls", "our certificate has expired", "MQTT_TLS_CERT")


def test_a_certificate_of_another_authority_is_refused(broker: SecureBroker, connect: Connect, tmp_path: Path) -> None:
    authority.make_authority(tmp_path)
    authority.make_client(tmp_path, "gateway")
    reached = broker.reached_by("gateway")
    assert reached.tls is not None
    forged = replace(reached.tls, cert=tmp_path / "gateway.crt", key=tmp_path / "gateway.key")

    refused(connect(replace(reached, tls=forged), ready=False), "tls", "does not know the CA of our")


def test_the_certificate_of_a_server_is_none_of_a_station(broker: SecureBroker, connect: Connect) -> None:
    refused(connect(broker.reached_by("broker"), ready=False), "tls", "certificate")


def test_plain_tcp_on_the_port_of_tls_gets_no_word(broker: SecureBroker, connect: Connect) -> None:
    station = connect(Mqtt("127.0.0.1", broker.port, None, None), ready=False)

    until(lambda: "MQTT_TLS_CA" in str(station.client.trouble), what="an explanation")
    assert not station.client.is_ready


# --- brokers that we reject -----------------------------------------------------------------------------------------


def test_a_broker_of_an_unknown_authority_is_rejected(broker: SecureBroker, connect: Connect, tmp_path: Path) -> None:
    other = authority.make_authority(tmp_path).certificate

    station = connect(broker.reached_by("gateway", authority=other), ready=False)

    refused(station, "tls", "unknown CA", "MQTT_TLS_CA")


def test_the_authorities_that_a_machine_trusts_do_not_vouch_for_ours(broker: SecureBroker, connect: Connect) -> None:
    mqtt = replace(broker.reached_by("gateway"), tls=Tls(None, None, None, "MQTT_TLS"))

    refused(connect(mqtt, ready=False), "tls", "unknown CA")


def test_an_expired_broker_is_rejected(tmp_path: Path, connect: Connect) -> None:
    server = without_certificate(SecureBroker(tmp_path / "broker"))
    expired(server.certs, "broker", "127.0.0.1")

    with server:
        refused(connect(server.reached_by("gateway"), ready=False), "tls", "has expired", "renew it there")


def test_a_broker_whose_certificate_begins_tomorrow_is_rejected(tmp_path: Path, connect: Connect) -> None:
    server = without_certificate(SecureBroker(tmp_path / "broker"))
    authority.make_server(server.certs, "broker", ["127.0.0.1"], now=datetime.now(UTC) + timedelta(days=2))

    with server:
        refused(connect(server.reached_by("gateway"), ready=False), "tls", "not valid yet", "clocks")


def test_a_renewed_certificate_of_the_broker_is_shown_after_a_reload(tmp_path: Path, connect: Connect) -> None:
    with SecureBroker(tmp_path / "broker") as server:
        station = connect(server.reached_by("gateway"))
        without_certificate(server)
        renewed = authority.make_server(server.certs, "broker", ["127.0.0.1"], days=99)

        server.signal(signal.SIGHUP)

        def shows_the_new_one() -> bool:
            if station.client.is_ready and station.client.certificate_expires != renewed.expires:
                station.client.reconnect()
            return station.client.certificate_expires == renewed.expires

        until(shows_the_new_one, what="the new certificate")


def test_a_user_that_is_struck_from_the_acl_writes_no_more_after_a_restart(tmp_path: Path, connect: Connect) -> None:
    with SecureBroker(tmp_path / "broker") as server:
        assert connect(server.reached_by("gateway")).publish(READINGS_TOPIC) in (0, 16)

        text = server.acl.read_text()
        lines = "user gateway\ntopic write aoii/readings\ntopic write aoii/holds/gateway\n"
        lines += "topic write aoii/nodes/gateway/+\n"
        assert lines in text
        server.allow(text.replace(lines, ""))

        assert connect(server.reached_by("gateway")).publish(READINGS_TOPIC) == NOT_AUTHORIZED


def test_a_broker_under_another_name_is_rejected(tmp_path: Path, connect: Connect) -> None:
    server = without_certificate(SecureBroker(tmp_path / "broker"))
    authority.make_server(server.certs, "broker", ["elsewhere.example", "10.0.0.5"])

    with server:
        refused(connect(server.reached_by("gateway"), ready=False), "tls", "is for another name")
        refused(connect(server.reached_by("gateway", host="localhost"), ready=False), "tls", "is for another name")


def without_certificate(server: SecureBroker) -> SecureBroker:
    for file in ("broker.crt", "broker.key"):
        (server.certs / file).unlink()
    return server


def test_a_broker_without_tls_is_rejected(mosquitto: Mosquitto, broker: SecureBroker, connect: Connect) -> None:
    mqtt = replace(broker.reached_by("gateway"), port=mosquitto.port)

    station = connect(mqtt, ready=False)

    until(lambda: "make sure that this port speaks TLS" in str(station.client.trouble), what="an explanation")
    assert not station.client.is_ready


def test_nothing_older_than_tls_1_2_is_spoken(broker: SecureBroker) -> None:
    outcome = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{broker.port}", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
        input=b"", capture_output=True, check=False, timeout=60,
    )  # fmt: skip

    assert outcome.returncode != 0
    assert b"Cipher is (NONE)" in outcome.stdout or b"alert" in outcome.stderr


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "words"),
    [("ca", "MQTT_TLS_CA"), ("cert", "not a certificate and its key"), ("key", "not a certificate and its key")],
)
def test_a_file_that_is_not_a_certificate_is_reported_before_anything_is_started(
    broker: SecureBroker, tmp_path: Path, part: str, words: str
) -> None:
    (tmp_path / "file").write_text("nothing\n")
    reached = broker.reached_by("gateway")
    assert reached.tls is not None

    with pytest.raises(InputError, match=words):
        Client(replace(reached, tls=Tls(**vars(reached.tls) | {part: tmp_path / "file"})), "test")


def test_the_key_of_another_certificate_is_reported_before_anything_is_started(broker: SecureBroker) -> None:
    reached = broker.reached_by("gateway")
    assert reached.tls is not None
    crossed = replace(reached.tls, key=broker.certs / "server.key")

    with pytest.raises(InputError, match="belong together"):
        Client(replace(reached, tls=crossed), "test")


def test_a_renewed_certificate_is_used_from_the_next_connection_on(
    broker: SecureBroker, connect: Connect, tmp_path: Path
) -> None:
    expired(broker.certs, "renewed")
    old, new = broker.certs / "renewed.crt", broker.certs / "renewed.key"
    station = connect(broker.reached_by("renewed"), ready=False)
    refused(station, "tls", "our certificate has expired")

    old.unlink()
    new.unlink()
    authority.make_client(broker.certs, "renewed")

    assert station.client.wait_ready(20)
    assert station.client.refusal is None
