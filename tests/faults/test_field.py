"""The field of the campaign: what its nodes take for acknowledged, what they hold, and when two gateways collide."""

import os
import random
import select
import tty
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from aoii.core.frames import Ack, Uplink, decode_uplink, encode_ack
from aoii.core.stream import DOWNLINK, UPLINK, Frame, Reader, decode_usb_uplink, encode_usb
from faults.field import Field
from faults.field_node import FieldNode
from faults.radio import EPOCH, keys_of
from faults.recorder import Key, Recorder
from servers import until

KEY = keys_of(range(1, 2))[1]


def ack_of(frame: bytes, again: int = 0) -> bytes:
    """What a gateway answers."""
    uplink = decode_uplink(frame, lambda _: KEY.key)
    assert isinstance(uplink, Uplink)
    return encode_ack(Ack(1, EPOCH, uplink.frame, 1_800_000_000, 0, 0, None, again), KEY.key)


def said_by(node: FieldNode) -> bytes:
    """What a node sends after its next sample."""
    sends = node.sample()
    while not sends:
        sends = node.due()
    return bytes(sends[0].data)


@pytest.fixture
def node() -> FieldNode:
    return FieldNode(1, KEY, 4, random.Random(1))


def test_a_node_takes_the_answer_to_what_it_said_for_acknowledged_and_holds_it(node: FieldNode) -> None:
    frame = said_by(node)
    key, content = node.said(frame)

    assert not node.is_idle
    assert node.receive(ack_of(frame)) == (key.counter, [])
    assert node.is_idle
    assert node.held() == {key}
    assert content.temperature_c != 0


def test_a_late_answer_counts_for_what_was_superseded_and_a_later_one_for_nothing(node: FieldNode) -> None:
    frames = [said_by(node) for _ in range(3)]

    assert node.receive(ack_of(frames[0]))[0] is None  # two samples ago: the node has forgotten its frame
    assert node.receive(ack_of(frames[1]))[0] == 2
    assert node.receive(ack_of(frames[2]))[0] == 3


def test_a_power_cut_takes_everything_but_the_flash(node: FieldNode) -> None:
    frames = [said_by(node)]
    node.receive(ack_of(frames[0]))

    node.boot()

    assert node.held() == {Key("1", EPOCH, 1)}
    assert node.said(said_by(node))[0].counter > 1


@pytest.mark.parametrize("is_deaf", [False, True])
def test_a_node_that_is_asked_answers_unless_it_is_deaf_to_questions(node: FieldNode, is_deaf: bool) -> None:
    node.is_deaf_to_questions = is_deaf
    node.receive(ack_of(said_by(node)))
    node.receive(ack_of(said_by(node), again=1))

    answers = [node.said(send.data)[0].counter for send in node.due()]

    assert answers == ([] if is_deaf else [1])


class Gateways:
    """Two gateways' ends of the serial ports, played by the test."""

    def __init__(self, links: list[Path], stack: ExitStack) -> None:
        self.ports = [os.open(link, os.O_RDWR | os.O_NOCTTY) for link in links]
        for port in self.ports:
            stack.callback(os.close, port)
            tty.setraw(port)
        self._readers = [Reader() for _ in links]
        self._heard: list[list[bytes]] = [[] for _ in links]

    def heard(self, number: int) -> list[bytes]:
        """What a gateway has heard so far."""
        if select.select([self.ports[number]], [], [], 0.05)[0]:
            items = self._readers[number].feed(os.read(self.ports[number], 4096))
            frames = [item.content for item in items if isinstance(item, Frame) and item.type == UPLINK]
            self._heard[number] += [decode_usb_uplink(content)[2] for content in frames]
        return self._heard[number]

    def answer(self, number: int, frame: bytes) -> None:
        os.write(self.ports[number], encode_usb(DOWNLINK, ack_of(frame)))


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Field, Gateways, Recorder]]:
    """A field with one node and two gateways."""
    links = [tmp_path / "first", tmp_path / "witness"]
    recorder = Recorder()
    with ExitStack() as stack:
        field = stack.enter_context(Field(links, recorder, 1, 8, random.Random(1)))
        yield field, Gateways(links, stack), recorder


def test_what_one_gateway_answers_is_accepted_and_heard_by_the_other(pair: tuple[Field, Gateways, Recorder]) -> None:
    field, gateways, recorder = pair
    field.load(1)
    until(lambda: gateways.heard(0), what="the first gateway hears the node")
    field.quiet()
    frame = gateways.heard(0)[0]

    gateways.answer(0, frame)

    until(lambda: recorder.accepted == 1, what="the node hears its answer")
    until(lambda: ack_of(frame) in gateways.heard(1), what="the other gateway hears it")
    assert recorder.all_accepted() == field.held() == {Key("1", EPOCH, 1)}
    assert field.collisions == 0


def test_two_answers_at_once_are_heard_by_nobody(pair: tuple[Field, Gateways, Recorder]) -> None:
    field, gateways, recorder = pair
    field.load(1)
    until(lambda: gateways.heard(0), what="the first gateway hears the node")
    field.quiet()
    frame = gateways.heard(0)[0]

    for number in (0, 1):
        gateways.answer(number, frame)

    until(lambda: field.collisions == 1, what="the answers collide")
    until(lambda: len(gateways.heard(0)) > 1, what="the node tries again")
    assert recorder.accepted == 0
