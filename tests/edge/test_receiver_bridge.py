"""The receiver between radio and USB port: frames pass in binary, old nodes get their lines and replies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aoii.core.stream import DOWNLINK, Damaged, Frame, Line, Reader, encode_usb, heard
from aoii.edge.receiver_bridge import KEEP_MS, RADIO_LIMIT, REPLY_WINDOW_MS, WAITING_LIMIT, ReceiverBridge
from aoii.gateway.legacy import old_node

FRAME = b"\x11\x07\x00" + bytes(range(29))


def test_a_frame_from_the_radio_goes_up_as_it_is() -> None:
    said = ReceiverBridge().heard(FRAME, -97, -3, 0)

    (found,) = Reader().feed(said)
    assert isinstance(found, Frame)
    assert heard(found.content) == (-97, -3, FRAME)


def test_a_frame_from_the_gateway_goes_on_the_air_as_it_is() -> None:
    relay = ReceiverBridge()

    relay.fed(encode_usb(DOWNLINK, FRAME), 0)

    assert relay.next(0) == FRAME
    assert relay.sent() == b""
    assert relay.next(0) == b""


def test_an_old_node_is_a_line_that_the_gateway_reads_and_its_reply_goes_back() -> None:
    relay = ReceiverBridge()

    said = relay.heard(b"123456,21.50,48.00", -60, 9, 5000)
    (line,) = Reader().feed(said)
    relay.fed(b"1451606400\n", 5900)

    assert isinstance(line, Line)
    assert isinstance(old_node.decode_line(line.text), old_node.Payload)
    assert relay.next(5900) == b"1451606400\n"
    assert relay.sent().startswith(b"Sync sent: 1451606400\r\n-----")


@pytest.mark.parametrize("late_ms", [REPLY_WINDOW_MS + 1, 100_000])
def test_a_late_reply_is_dropped_because_it_would_answer_the_next_packet(late_ms: int) -> None:
    relay = ReceiverBridge()
    relay.heard(b"1,21.50,48.00", -60, 9, 0)

    relay.fed(b"1451606400\n", late_ms)

    assert relay.next(late_ms) == b""
    assert relay.dropped == 1


def test_a_packet_gets_one_reply() -> None:
    relay = ReceiverBridge()
    relay.heard(b"1,21.50,48.00", -60, 9, 0)

    relay.fed(b"1451606400\n1451606401\n", 10)

    relay.next(10)
    relay.sent()
    assert relay.next(10) == b""


def test_a_line_that_is_no_reply_is_not_sent() -> None:
    relay = ReceiverBridge()
    relay.heard(b"1,21.50,48.00", -60, 9, 0)

    relay.fed(b"hello\n", 10)

    assert relay.next(10) == b""


def test_an_answer_that_nobody_listens_for_any_more_is_not_sent() -> None:
    relay = ReceiverBridge()
    relay.fed(encode_usb(DOWNLINK, FRAME), 0)

    assert relay.next(KEEP_MS) == FRAME
    assert relay.next(KEEP_MS + 1) == b""
    assert relay.dropped == 1


def test_what_waits_is_bounded_and_the_one_on_the_air_stays() -> None:
    relay = ReceiverBridge()
    frames = [bytes((0x11, number)) for number in range(WAITING_LIMIT + 3)]

    for frame in frames:
        relay.fed(encode_usb(DOWNLINK, frame), 0)

    sent = []
    while data := relay.next(0):
        sent.append(data)
        relay.sent()
    assert sent == frames[:1] + frames[4:]


@given(st.lists(st.binary(max_size=60)))
def test_whatever_comes_from_the_port_is_taken(chunks: list[bytes]) -> None:
    relay = ReceiverBridge()

    for chunk in chunks:
        relay.fed(chunk, 0)

    assert len(relay.next(0)) <= RADIO_LIMIT


@given(st.binary(max_size=300), st.integers(-200, 0), st.integers(-40, 30))
def test_whatever_comes_from_the_radio_is_one_whole_line_or_frame_or_nothing(data: bytes, rssi: int, snr: int) -> None:
    relay = ReceiverBridge()

    found = Reader().feed(relay.heard(data, rssi, snr, 0))

    assert len(found) + relay.dropped == 1
    assert not [item for item in found if isinstance(item, Damaged)]
