"""Two gateways that answer one node: who tells it settings, and how often it speaks. No radio, no files."""

import random
from dataclasses import replace

import pytest

from aoii.core.forecast import HOLD, PROVISIONED, NodeSettings
from aoii.core.frames import EVENT, MAC_BYTES, Ack, Uplink, decode_uplink, encode_ack
from aoii.core.store import RamStore
from aoii.edge.node import Node
from aoii.gateway import node_state
from aoii.gateway.node_state import Accepted, Answer, NodeState, generation_of
from aoii.gateway.readings import Instant
from edge.predictors import Hold

KEY = bytes(range(16))
WANTED = NodeSettings(40, 200, 60, 3600, 600, 1)
OTHER = NodeSettings(20, 200, 60, 3600, 600, 1)
MINUTE_MS = 60_000
DAY_MINUTES = 1440


class Side:
    """A gateway without its machine: the state of one node, and what it answers."""

    def __init__(self, wanted: NodeSettings = WANTED, *, is_witness: bool = False) -> None:
        self.wanted, self.is_witness = wanted, is_witness
        self.state: NodeState | None = None
        self.moved = 0
        self.told = 0

    def answer(self, data: bytes, now_ms: int) -> bytes:
        uplink = decode_uplink(data, lambda _: KEY)
        assert isinstance(uplink, Uplink)
        at = Instant(1_700_000_000_000 + now_ms, True, now_ms, 1)
        found = node_state.accept(self.state, uplink, data[-MAC_BYTES:], 1, self.wanted, at, self.is_witness)
        assert isinstance(found, Accepted)
        self.state = node_state.decode_state(node_state.encode_state(found.state))
        self.moved += found.answer.is_moved
        self.told += found.answer.settings is not None
        seconds = divmod(at.unix_ms, 1000)
        return encode_ack(Ack(7, 1, uplink.frame, *seconds, found.answer.generation, found.answer.settings, 0), KEY)


def day(*sides: Side, joins_at: int = 0, minutes: int = DAY_MINUTES) -> tuple[int, Node]:
    """Packets of a node whose readings do not change; all sides hear each packet, and answer first in turn.

    Only the first side is there before the minute `joins_at`.
    """
    node = Node(7, 1, KEY, PROVISIONED, Hold(), RamStore(), random.Random(4).random)
    sent = 0
    for minute in range(minutes):
        now_ms = minute * MINUTE_MS
        for send in node.sample(now_ms, 20.0, 50.0):
            sent += 1
            there = sides if minute >= joins_at else sides[:1]
            answers = [side.answer(send.data, now_ms) for side in there]
            node.receive(answers[sent % len(answers)], now_ms + 400)
    return sent, node


@pytest.mark.parametrize("joins_at", [0, 1, 300])
def test_two_gateways_with_the_same_settings_cost_no_packet_more_than_one(joins_at: int) -> None:
    one, _ = day(Side())
    sides = Side(), Side()
    two, node = day(*sides, joins_at=joins_at)

    assert two == one
    assert node.settings == WANTED
    assert node.link.generation == generation_of(WANTED)
    assert all(side.told <= 3 and side.moved <= 1 for side in sides)


def test_a_gateway_of_the_first_release_beside_one_of_ours_costs_eleven_bytes_and_no_packet() -> None:
    class FirstRelease(Side):
        """Numbers its settings 1, and tells them to a node that uses another number."""

        def answer(self, data: bytes, now_ms: int) -> bytes:
            uplink = decode_uplink(data, lambda _: KEY)
            assert isinstance(uplink, Uplink)
            settings = None if uplink.generation == 1 else WANTED
            return encode_ack(Ack(7, 1, uplink.frame, 1_700_000_000, 0, 1, settings, 0), KEY)

    one, _ = day(Side())

    two, node = day(FirstRelease(), Side(), joins_at=300)

    assert two == one
    assert node.settings == WANTED


def test_a_node_whose_settings_two_gateways_dispute_is_noticed_by_both() -> None:
    sides = Side(), Side(OTHER)

    sent, _ = day(*sides, joins_at=60)

    assert min(side.moved for side in sides) > 3
    assert sent > day(Side())[0]  # each change begins the node's calm again: the cost of the dispute


def test_a_witness_tells_a_node_nothing_and_leaves_its_generation() -> None:
    first, witness = Side(), Side(OTHER, is_witness=True)

    sent, node = day(first, witness, joins_at=2)

    assert sent == day(Side())[0]
    assert (witness.told, witness.moved, first.moved) == (0, 0, 0)
    assert node.settings == WANTED


def test_a_witness_that_becomes_the_first_takes_the_settings_over_without_a_packet_more() -> None:
    first, witness = Side(), Side(is_witness=True)
    _, node = day(first, witness, minutes=600)
    calm_s = node.link.heartbeat_s

    witness.is_witness = False
    for minute in range(600, 900):
        for send in node.sample(minute * MINUTE_MS, 20.0, 50.0):
            node.receive(witness.answer(send.data, minute * MINUTE_MS), minute * MINUTE_MS + 400)

    assert node.link.heartbeat_s == calm_s == 3600
    assert (node.settings, witness.told) == (WANTED, 1)


def uplink(frame: int, generation: int) -> Uplink:
    return Uplink(7, 1, frame, frame, 0, 2000, 5000, HOLD, EVENT, generation, 0, 0)


def step(state: NodeState | None, frame: Uplink, wanted: NodeSettings) -> tuple[NodeState, Answer]:
    at = Instant(1_700_000_000_000 + frame.frame, True, frame.frame, 1)
    found = node_state.accept(state, frame, b"%d" % frame.frame, 1, wanted, at)
    assert isinstance(found, Accepted)
    return found.state, found.answer


def test_a_number_that_the_node_may_know_with_another_meaning_is_not_used() -> None:
    """The settings are changed and changed back before the node has said which of them it took."""
    numbered: dict[int, NodeSettings] = {}
    beta = 1
    while {1, 2} - numbered.keys():
        numbered.setdefault(generation_of(with_beta(beta)), with_beta(beta))
        beta += 1
    first, second = numbered[1], numbered[2]
    state, _ = step(None, uplink(1, 0), first)
    state, _ = step(state, uplink(2, 1), first)

    state, told = step(state, uplink(3, 1), second)
    _, back = step(state, uplink(4, 1), first)

    assert (told.generation, told.settings) == (2, second)
    assert back.settings == first
    assert back.generation not in (1, 2)


def with_beta(beta_t_c: int) -> NodeSettings:
    return WANTED._replace(beta_t_c=beta_t_c)


def test_a_late_frame_does_not_look_like_another_gateway() -> None:
    number = generation_of(WANTED)
    state, _ = step(None, uplink(10, number % 7 + 1), WANTED)
    state, _ = step(state, uplink(12, number), WANTED)

    late, answer = step(state, uplink(11, number % 7 + 1), WANTED)

    assert not answer.is_moved
    assert replace(late, seen=state.seen) == state
