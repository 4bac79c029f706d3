"""What a gateway says of other gateways in its field."""

import logging

import pytest

from aoii.core.forecast import NodeSettings
from aoii.core.frames import Ack
from aoii.gateway.neighbours import MOVES, Neighbours
from gateway.station import Counts

WANTED = NodeSettings(50, 300, 60, 3600, 600, 1)
FIRST = Ack(7, 2, 100, 1_700_000_000, 5, 3, None, 0)


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.__dict__["event"] for record in caplog.records if record.levelno == logging.ERROR]


def test_a_gateway_that_answers_at_once_says_once_that_another_does_too(caplog: pytest.LogCaptureFixture) -> None:
    neighbours = Neighbours(WANTED, 0)
    counts = Counts()

    for number in range(3):
        neighbours.record(FIRST._replace(frame=number), b"%d" % number, None, 1.0)

    assert events(caplog) == ["two_answer"]
    assert counts.since("gateway_heard_acks") == {"first": 3}


def test_a_witness_and_the_gateway_near_it_have_nothing_to_say(caplog: pytest.LogCaptureFixture) -> None:
    Neighbours(WANTED, 1).record(FIRST, b"first", None, 1.0)
    Neighbours(WANTED, 0).record(FIRST._replace(unix_s=0, unix_ms=0), b"witness", None, 1.0)

    assert events(caplog) == []


@pytest.mark.parametrize("rank", [0, 1])
def test_other_settings_on_the_air_are_said_once(rank: int, caplog: pytest.LogCaptureFixture) -> None:
    neighbours = Neighbours(WANTED, rank)
    counts = Counts()

    neighbours.record(FIRST._replace(settings=WANTED), b"same", None, 1.0)
    for number in range(2):
        neighbours.record(FIRST._replace(settings=WANTED._replace(tau=2)), b"%d" % number, None, 1.0)

    assert events(caplog).count("settings_differ") == 1
    assert counts.since("gateway_settings_conflicts") == {"heard": 2}


def test_a_node_that_was_moved_again_and_again_has_other_settings(caplog: pytest.LogCaptureFixture) -> None:
    neighbours = Neighbours(WANTED, 0)

    for node in (7, 8, 9):
        neighbours.record_moved(node)  # once for each node: a gateway has joined
    assert events(caplog) == []
    for _ in range(MOVES - 1):
        neighbours.record_moved(8)

    assert events(caplog) == ["settings_differ"]
