"""The gateway's estimates at a real broker."""

import threading
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from aoii.broker.messages import Estimate
from aoii.broker.node_liveness import UNKNOWN
from aoii.gateway.estimates import EstimatePublisher
from aoii.runtime.clock import Clock
from aoii.security import node_keys
from gateway.station import (
    KEYS,
    NODE,
    START_S,
    Counts,
    OwnNode,
    SteppedClock,
    configured,
    listening,
    reply,
    running,
    say,
    wait_connected,
)
from servers import Mosquitto, free_port, until


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


def test_a_node_that_is_not_in_the_key_file_any_more_gets_no_estimates(
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
            before = gateway.publisher.client.connection_number
            refuse_once = iter([False])
            publish = gateway.publisher.client.publish
            monkeypatch.setattr(
                gateway.publisher.client,
                "publish",
                lambda *message, **kept: (kept or next(refuse_once, True)) and publish(*message, **kept),
            )
            assert gateway.estimates.publish(b'{"event":"EST","gateway":"estimates"}')
            assert listener.next("EST")["at_qos"] == 0
            assert gateway.publisher.client.connection_number > before
        assert counts.since("gateway_publishes") == {"EST,0,failed,": 1, "EST,0,sent,": 2}


class Connection:
    """A broker connection that takes everything, or nothing."""

    connection_number = 1

    def __init__(self, is_ready: bool) -> None:
        self.is_ready = is_ready
        self.published: list[bytes] = []

    def publish(self, topic: str, payload: bytes, qos: int) -> bool:
        self.published += [payload] * self.is_ready
        return self.is_ready

    def reconnect(self) -> None:
        """Do not come back."""


class TwoNodes:
    """An intake that knows two nodes."""

    def estimates(self, vouched_for: object) -> list[Estimate]:
        return [Estimate("g", node, "2025-10-09 08:53:20", 0.5, 21.5, 40.0, 2, None) for node in ("7", "8")]


def publisher_of(connection: Connection, clock: Clock) -> EstimatePublisher:
    return EstimatePublisher(TwoNodes(), connection, clock, threading.Event(), lambda _: UNKNOWN)  # type: ignore[arg-type]  # doubles


def test_estimates_are_due_each_minute_and_missed_ones_are_not_made_up_for() -> None:
    clock, connection = SteppedClock(), Connection(is_ready=True)
    estimates = publisher_of(connection, clock)
    published, waits_s = [], []

    for seconds in (59, 1, 30, 30, 150, 29, 1):
        clock.go_on(seconds)
        estimates.publish_due()
        published.append(len(connection.published))
        waits_s.append(estimates.wait_s())

    assert published == [0, 2, 2, 4, 6, 6, 8]
    assert waits_s == [1, 60, 30, 60, 30, 1, 60]


def test_without_a_connection_the_first_estimate_waits_and_the_others_fail_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("aoii.gateway.estimates.RECONNECT_WAIT_S", 0)
    clock, counts = SteppedClock(), Counts()
    estimates = publisher_of(Connection(is_ready=False), clock)

    clock.go_on(60)
    estimates.publish_due()

    assert counts.since("gateway_publishes") == {"EST,0,failed,": 2}
