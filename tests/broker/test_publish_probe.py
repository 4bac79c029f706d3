"""A broker is asked for the right to publish, and nobody gets a message."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aoii.broker import probe_packets, publish_probe
from aoii.broker.client import Client, Message, Subscription
from aoii.core.errors import UnavailableError
from secure_broker import SecureBroker
from servers import free_port


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    with SecureBroker(tmp_path_factory.mktemp("secure")) as broker:
        yield broker


@pytest.mark.parametrize(
    ("user", "refused"),
    [
        ("gateway", ["aoii/ack/gateway"]),
        ("server", ["aoii/readings", "aoii/holds/gateway"]),
        ("web", ["aoii/readings", "aoii/holds/gateway", "aoii/ack/gateway"]),
    ],
)
def test_what_the_shipped_acl_refuses_is_named(secure: SecureBroker, user: str, refused: list[str]) -> None:
    topics = ["aoii/readings", "aoii/holds/gateway", "aoii/ack/gateway"]

    assert publish_probe.refused(secure.reached_by(user), topics) == refused
    assert publish_probe.refused(secure.reached_with_password(user), topics) == refused


def test_nobody_gets_the_message(secure: SecureBroker) -> None:
    got: list[Message] = []
    reader = Client(
        secure.reached_by("server"), "reader", subscriptions=[Subscription("aoii/readings", 1)], on_message=got.append
    )
    gateway = Client(secure.reached_by("gateway"), "writer")
    reader.start()
    gateway.start()
    try:
        assert reader.wait_ready(10)
        assert gateway.wait_ready(10)
        publish_probe.refused(secure.reached_by("gateway"), ["aoii/readings"])
        gateway.publish("aoii/readings", b"after", 1)
        while not got:
            assert reader.wait_ready(10)
    finally:
        reader.stop()
        gateway.stop()

    assert [message.payload for message in got] == [b"after"]


def test_a_login_that_is_refused_and_a_broker_that_is_not_there_are_errors(secure: SecureBroker) -> None:
    with pytest.raises(UnavailableError, match="refused the connection"):
        publish_probe.refused(secure.reached_with_password("gateway", "wrong"), ["aoii/readings"])
    secure_elsewhere = secure.reached_with_password("gateway")
    with pytest.raises(UnavailableError, match="does not answer"):
        publish_probe.refused(type(secure_elsewhere)("127.0.0.1", free_port()), ["aoii/readings"])


@given(st.binary(max_size=300))
def test_any_bytes_are_a_packet_an_incomplete_one_or_a_value_error(data: bytes) -> None:
    try:
        packet, rest = probe_packets.split(data)
    except ValueError:
        return
    assert packet is None or data.endswith(rest)


def test_a_packet_is_whole_or_nothing_however_it_was_cut() -> None:
    whole = b"\x50\x04\x00\x01\x87\x00"

    assert [probe_packets.split(whole[:end])[0] for end in range(len(whole))] == [None] * len(whole)
    assert probe_packets.split(whole + b"\x20") == (probe_packets.Packet(5, 0x87), b"\x20")


def test_long_packets_have_their_length_in_two_bytes() -> None:
    assert probe_packets.publish("t" * 200, 1)[:3] == bytes((0x34, 0x80 | (205 & 0x7F), 205 >> 7))
