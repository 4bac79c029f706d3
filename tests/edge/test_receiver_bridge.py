"""The receiver between radio and USB port: frames pass in binary, old nodes get their lines and replies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aoii.core.stream import DOWNLINK, Damaged, Frame, Line, Reader, decode_usb_uplink, encode_usb
from aoii.edge.receiver_bridge import KEEP_MS, RADIO_LIMIT, REPLY_WINDOW_MS, WAITING_LIMIT, ReceiverBridge
from aoii.gateway.legacy import old_node

FRAME = b"\x11\x07\x00" + bytes(range(29))


def test_a_frame_from_the_radio_goes_up_as_it_is() -> None:
    said = ReceiverBridge().accept_radio_packet(FRAME, -97, -3, 0)

    (found,) = Reader().feed(said)
    assert isinstance(found, Frame)
    assert decode_usb_uplink(found.content) == (-97, -3, FRAME)


def test_a_frame_from_the_gateway_goes_on_the_air_as_it_is() -> None:
    bridge = ReceiverBridge()

    bridge.accept_usb_bytes(encode_usb(DOWNLINK, FRAME), 0)

    assert bridge.next_packet(0) == FRAME
    assert bridge.confirm_sent() == b""
    assert bridge.next_packet(0) == b""


def test_an_old_node_is_a_line_that_the_gateway_reads_and_its_reply_goes_back() -> None:
    bridge = ReceiverBridge()

    said = bridge.accept_radio_packet(b"123456,21.50,48.00", -60, 9, 5000)
    (line,) = Reader().feed(said)
    bridge.accept_usb_bytes(b"1451606400\n", 5900)

    assert isinstance(line, Line)
    assert isinstance(old_node.decode_line(line.text), old_node.Payload)
    assert bridge.next_packet(5900) == b"1451606400\n"
    assert bridge.confirm_sent().startswith(b"Sync sent: 1451606400\r\n-----")


@pytest.mark.parametrize("late_ms", [REPLY_WINDOW_MS + 1, 100_000])
def test_a_late_reply_is_dropped_because_it_would_answer_the_next_packet(late_ms: int) -> None:
    bridge = ReceiverBridge()
    bridge.accept_radio_packet(b"1,21.50,48.00", -60, 9, 0)

    bridge.accept_usb_bytes(b"1451606400\n", late_ms)

    assert bridge.next_packet(late_ms) == b""
    assert bridge.dropped == 1


def test_a_packet_gets_one_reply() -> None:
    bridge = ReceiverBridge()
    bridge.accept_radio_packet(b"1,21.50,48.00", -60, 9, 0)

    bridge.accept_usb_bytes(b"1451606400\n1451606401\n", 10)

    bridge.next_packet(10)
    bridge.confirm_sent()
    assert bridge.next_packet(10) == b""


def test_a_line_that_is_no_reply_is_not_sent() -> None:
    bridge = ReceiverBridge()
    bridge.accept_radio_packet(b"1,21.50,48.00", -60, 9, 0)

    bridge.accept_usb_bytes(b"hello\n", 10)

    assert bridge.next_packet(10) == b""


def test_an_answer_that_comes_too_late_for_its_node_is_not_sent() -> None:
    bridge = ReceiverBridge()
    bridge.accept_usb_bytes(encode_usb(DOWNLINK, FRAME), 0)

    assert bridge.next_packet(KEEP_MS) == FRAME
    assert bridge.next_packet(KEEP_MS + 1) == b""
    assert bridge.dropped == 1


def test_what_waits_is_bounded_and_the_one_on_the_air_stays() -> None:
    bridge = ReceiverBridge()
    frames = [bytes((0x11, number)) for number in range(WAITING_LIMIT + 3)]

    for frame in frames:
        bridge.accept_usb_bytes(encode_usb(DOWNLINK, frame), 0)

    sent = []
    while data := bridge.next_packet(0):
        sent.append(data)
        bridge.confirm_sent()
    assert sent == frames[:1] + frames[4:]


@given(st.lists(st.binary(max_size=60)))
def test_whatever_comes_from_the_port_is_taken(chunks: list[bytes]) -> None:
    bridge = ReceiverBridge()

    for chunk in chunks:
        bridge.accept_usb_bytes(chunk, 0)

    assert len(bridge.next_packet(0)) <= RADIO_LIMIT


@given(st.binary(max_size=300), st.integers(-200, 0), st.integers(-40, 30))
def test_whatever_comes_from_the_radio_is_one_whole_line_or_frame_or_nothing(data: bytes, rssi: int, snr: int) -> None:
    bridge = ReceiverBridge()

    found = Reader().feed(bridge.accept_radio_packet(data, rssi, snr, 0))

    assert len(found) + bridge.dropped == 1
    assert not [item for item in found if isinstance(item, Damaged)]
