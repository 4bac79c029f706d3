"""The size of a PUBLISH, and what is known of a broker's limit."""

import pytest

from aoii.broker.packet_size import LEARNED_FOR_S, PacketLimit, publish_bytes


@pytest.mark.parametrize(
    ("topic", "payload_bytes", "qos", "expected"),
    [
        ("t", 0, 0, 2 + 2 + 1 + 1),  # MQTT 5, 3.3: header and length, topic with its length, no properties
        ("t", 0, 1, 2 + 2 + 1 + 2 + 1),  # and a message id
        ("가", 1, 0, 2 + 2 + 3 + 1 + 1),
        ("t", 121, 1, 2 + 127),
        ("t", 122, 1, 3 + 128),
        ("t", 16_378, 1, 4 + 16_384),
    ],
)
def test_the_size_of_a_publish_is_that_of_the_standard(topic: str, payload_bytes: int, qos: int, expected: int) -> None:
    assert publish_bytes(topic, payload_bytes, qos) == expected


def test_without_an_announcement_there_is_no_limit() -> None:
    limit = PacketLimit()
    limit.announce(None)

    assert limit.bytes(0) is None


def test_each_connection_announces_anew() -> None:
    limit = PacketLimit()
    limit.announce(300)
    assert limit.bytes(0) == 300

    limit.announce(None)

    assert limit.bytes(0) is None


def test_what_the_broker_stumbled_over_is_a_limit_for_some_time() -> None:
    limit = PacketLimit()
    limit.announce(5000)
    limit.learn(500, now_s=0)
    limit.learn(480, now_s=1)

    assert limit.bytes(2) == 479
    assert limit.bytes(1 + LEARNED_FOR_S) == 5000
