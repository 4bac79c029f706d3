"""Right or dead: what a gateway concludes from silence, and how often it is wrong about nodes that live."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aoii.core import frames
from aoii.core.forecast import HOLD, NodeSettings
from aoii.core.frames import Ack, Uplink
from aoii.core.link import Link
from aoii.core.link_timing import TIMING
from aoii.core.store import RamStore
from aoii.gateway.liveness import (
    LATE_MS,
    MEASURED_FACTOR,
    SILENCES_LEAST,
    UNPROMISED_LEAST_MS,
    UNPROMISED_MOST_MS,
    ListeningClock,
    NodesLiveness,
    promise,
)

KEY = bytes(range(16))
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
RECEIVER = "/dev/receiver"


def listening(now_ms: int = 0) -> NodesLiveness:
    nodes = NodesLiveness({}, {})
    nodes.set_listening(RECEIVER, True, now_ms)
    return nodes


def word(nodes: NodesLiveness, now_ms: int, node: str = "7") -> str | None:
    found = nodes.judge(node, now_ms)
    return None if found is None else found.liveness


def test_a_node_is_ok_until_its_heartbeat_is_late_and_dead_after_two() -> None:
    nodes = listening()
    assert nodes.judge("7", 0) is None
    nodes.record("7", RECEIVER, 3600, 1000)

    assert word(nodes, 1000 + HOUR_MS + LATE_MS - 1) == "ok"
    assert word(nodes, 1000 + HOUR_MS + LATE_MS) == "late"
    assert word(nodes, 1000 + 2 * HOUR_MS - 1) == "late"
    assert word(nodes, 1000 + 2 * HOUR_MS) == "dead"
    nodes.record("7", RECEIVER, 3600, 3 * HOUR_MS)
    assert word(nodes, 3 * HOUR_MS) == "ok"


def test_time_in_which_nobody_listened_does_not_count() -> None:
    nodes = listening()
    nodes.record("7", RECEIVER, 3600, 0)
    nodes.set_listening(RECEIVER, False, HOUR_MS)

    assert word(nodes, 30 * HOUR_MS) == "unknown"
    nodes.set_listening(RECEIVER, True, 30 * HOUR_MS)
    assert word(nodes, 30 * HOUR_MS) == "ok"
    assert word(nodes, 31 * HOUR_MS) == "dead"


def test_who_was_dead_before_the_receiver_went_stays_dead() -> None:
    nodes = listening()
    nodes.record("7", RECEIVER, 3600, 0)
    nodes.set_listening(RECEIVER, False, 3 * HOUR_MS)

    assert word(nodes, 4 * HOUR_MS) == "dead"


def test_a_node_belongs_to_the_receiver_that_heard_it_last() -> None:
    nodes = listening()
    nodes.record("7", RECEIVER, 3600, 0)
    nodes.set_listening("/dev/other", True, HOUR_MS)
    nodes.record("7", "/dev/other", 3600, HOUR_MS)
    nodes.set_listening(RECEIVER, False, HOUR_MS)

    assert word(nodes, 2 * HOUR_MS) == "ok"


def test_a_restart_keeps_the_silence_and_leaves_out_the_pause() -> None:
    before = listening()
    before.record("7", RECEIVER, 3600, 500)

    after = NodesLiveness(before.listened_ms(500 + HOUR_MS), before.heard)
    assert word(after, 10) == "unknown"
    after.set_listening(RECEIVER, True, 10)

    found = after.judge("7", 10)
    assert found is not None
    assert (found.liveness, found.silent_ms) == ("ok", HOUR_MS)
    assert word(after, 10 + HOUR_MS) == "dead"


def test_after_a_crash_only_the_dead_stay_dead() -> None:
    before = listening()
    before.record("dead", RECEIVER, 3600, 0)
    before.record("7", RECEIVER, 3600, HOUR_MS)
    after = NodesLiveness(before.listened_ms(2 * HOUR_MS), before.heard)

    after.pardon()
    after.set_listening(RECEIVER, True, 0)

    assert word(after, 0, "dead") == "dead"
    assert word(after, 2 * HOUR_MS - 1) == "late"
    assert word(after, 2 * HOUR_MS) == "dead"


def test_without_a_promise_the_deadline_follows_from_the_longest_silence() -> None:
    nodes = listening()
    now_ms = 0
    for number in range(SILENCES_LEAST + 1):
        now_ms += HOUR_MS if number % 2 else HOUR_MS // 2
        nodes.record("7", RECEIVER, 0, now_ms)

    assert word(nodes, now_ms + MEASURED_FACTOR * HOUR_MS - 1) == "late"
    assert word(nodes, now_ms + MEASURED_FACTOR * HOUR_MS) == "dead"


def test_without_a_promise_few_silences_say_little_and_short_ones_no_less_than_an_hour() -> None:
    nodes = listening()
    nodes.record("7", RECEIVER, 0, 0)
    assert word(nodes, UNPROMISED_MOST_MS // 2 - 1) == "ok"
    assert word(nodes, UNPROMISED_MOST_MS) == "dead"

    for second in range(SILENCES_LEAST + 1):
        nodes.record("8", RECEIVER, 0, 1000 * second)
    assert word(nodes, 1000 * SILENCES_LEAST + UNPROMISED_LEAST_MS - 1, "8") == "late"
    assert word(nodes, 1000 * SILENCES_LEAST + UNPROMISED_LEAST_MS, "8") == "dead"


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, DAY_MS))),
    st.integers(0, DAY_MS),
)
def test_a_listening_clock_never_falls_and_stands_while_nobody_listens(
    changes: list[tuple[bool, int]], earlier_ms: int
) -> None:
    clock = ListeningClock(earlier_ms)
    now_ms, expected_ms, is_listening = 0, earlier_ms, False
    for listens, pause_ms in changes:
        now_ms += pause_ms
        expected_ms += pause_ms if is_listening else 0
        clock.set_listening(listens, now_ms)
        is_listening = listens
        assert clock.is_listening == listens
        assert clock.read(now_ms) == expected_ms


@pytest.mark.parametrize("heartbeat_s", [3600, 600])
def test_nodes_that_live_are_not_called_dead_though_one_packet_in_five_is_lost_each_way(heartbeat_s: int) -> None:
    longest_ms = max(longest_silence_ms(heartbeat_s, seed, days=10) for seed in range(5))

    assert promise(heartbeat_s).late_ms / 4 < longest_ms < promise(heartbeat_s).dead_ms


def longest_silence_ms(heartbeat_s: int, seed: int, days: int, loss: float = 0.2) -> int:
    """The longest time between two packets that a gateway hears of a node which sends nothing but heartbeats, ms."""
    rng = random.Random(seed)
    settings = NodeSettings(50, 300, 60, heartbeat_s, 600, 1)
    link = Link(7, 1, KEY, settings, RamStore(), rng.random, TIMING)
    heard_ms = longest_ms = now_ms = 0
    while now_ms < days * DAY_MS:
        link.submit(frames.HEARTBEAT, 2000, 5000, HOLD, 0, 0, now_ms, now_ms)
        while (deadline_ms := link.deadline_ms()) is not None:
            now_ms = max(now_ms, deadline_ms)
            for send in link.due(now_ms):
                if rng.random() < loss:
                    continue
                longest_ms, heard_ms = max(longest_ms, now_ms - heard_ms), now_ms
                if rng.random() >= loss:
                    uplink = frames.decode_uplink(send.data, lambda _: KEY)
                    assert isinstance(uplink, Uplink)
                    link.receive(frames.encode_ack(Ack(7, 1, uplink.frame, 0, 0, 0, None, 0), KEY), now_ms + 500)
        now_ms = (link.last_ack_ms or now_ms) + 1000 * link.heartbeat_s
    return longest_ms
