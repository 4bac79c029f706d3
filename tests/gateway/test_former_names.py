"""Former names are found in readings, heard at a real broker, and forgotten with the last of their readings."""

import queue
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aoii.broker.client import Client, Message
from aoii.broker.messages import ack_topic, encode_reading
from aoii.gateway import former_names
from aoii.gateway.former_names import NAMES_LIMIT, FormerNames
from aoii.gateway.readings import Item
from aoii.security.tls import Tls
from aoii.settings import Settings
from server.samples import a_reading
from servers import until


def item(seq: int, gateway: str) -> Item:
    reading = replace(a_reading(seq), gateway=gateway)
    assert reading.identity is not None
    return Item(seq, reading.identity, 1, encode_reading(reading, 1), 0)


class Heard:
    """Former names of the gateway `name`, what they hear, and somebody who speaks to them."""

    def __init__(self, values: Settings, name: str) -> None:
        self.messages: queue.Queue[Message] = queue.Queue()
        self.former = FormerNames(values.mqtt, name, self.messages.put)
        self.speaker = Client(values.mqtt, f"speaker-{name}")

    def names(self) -> list[str]:
        """The names that are heard."""
        return list(self.former.names)

    def receives(self, name: str) -> bool:
        """Whether a message for this name comes; it may be spoken before the subscription."""
        self.speaker.publish(ack_topic(name), name.encode(), 1)
        try:
            return self.messages.get(timeout=0.2).payload == name.encode()
        except queue.Empty:
            return False


@pytest.fixture
def heard(values: Settings, name: str) -> Iterator[Heard]:
    heard = Heard(values, name)
    heard.speaker.start()
    assert heard.speaker.wait_ready(30)
    yield heard
    heard.former.stop()
    heard.speaker.stop()


def test_the_present_name_is_not_a_former_one(heard: Heard, name: str) -> None:
    heard.former.find([item(1, name)])
    heard.former.update(1)

    assert heard.names() == []
    assert heard.former.unheard_s() == 0


def test_names_are_heard_as_they_are_found_until_none_of_their_readings_is_left(heard: Heard, name: str) -> None:
    first, second = f"{name}-1", f"{name}-2"
    heard.former.find([item(1, first), item(2, first)])
    heard.former.update(1)
    until(lambda: heard.receives(first))

    heard.former.find([item(3, second)])
    heard.former.update(2)

    assert heard.names() == [first, second]
    until(lambda: heard.receives(second))
    heard.former.update(3)
    assert heard.names() == [second]
    heard.former.update(4)
    assert heard.names() == []
    heard.former.find([item(9, first)])
    heard.former.update(4)
    assert heard.names() == [first], "one that had not been fetched yet"
    heard.former.update(None)
    assert heard.names() == []


def test_a_payload_that_cannot_be_read_names_nobody(heard: Heard) -> None:
    heard.former.find([replace(item(1, "x"), payload=payload) for payload in (b"", b"\xff", b'{"gateway":"../#"}')])
    heard.former.update(1)

    assert heard.names() == []


def test_no_more_names_are_heard_at_once_than_the_limit(heard: Heard, name: str) -> None:
    heard.former.find([item(seq, f"{name}-{seq}") for seq in range(1, NAMES_LIMIT + 11)])
    heard.former.update(1)

    assert len(heard.former.names) == NAMES_LIMIT
    heard.former.update(11)
    assert heard.former.names[-1] == f"{name}-{NAMES_LIMIT + 10}"


def test_certificates_that_are_missing_for_a_moment_end_nothing_and_are_said_once(
    values: Settings, name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    missing = Tls(tmp_path / "ca.pem", None, None, "MQTT_TLS")
    former = FormerNames(replace(values.mqtt, tls=missing), name, lambda _: None)
    former.find([item(1, f"{name}-1")])

    former.update(1)
    former.update(1)

    assert former.names == ()
    assert [vars(record)["event"] for record in caplog.records] == ["former_name_failed"]


def test_a_name_under_which_nothing_comes_is_subscribed_to_again(
    heard: Heard, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard.former.find([item(1, f"{name}-1")])
    heard.former.update(1)
    client = heard.former._client
    assert client is not None
    assert client.wait_ready(30)

    monkeypatch.setattr(former_names, "AGAIN_S", 0.0)
    heard.former.update(1)

    until(lambda: client.connection_number == 2 and client.is_ready)
