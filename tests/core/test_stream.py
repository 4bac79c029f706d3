"""Lines and frames out of one stream of bytes, whatever the cable does to it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aoii.core import stream
from aoii.core.errors import InternalError
from aoii.core.stream import Damaged, Frame, Line, Reader

RADIO = bytes(range(0x10, 0x30))
FRAMED = stream.encode_usb_uplink(-80, 7, RADIO)
FRAME = Frame(stream.UPLINK, b"\xb0\x07" + RADIO)

# what goes over the port, and what noise makes of it
pieces = st.one_of(
    st.sampled_from(
        (b"Received: 21.50,40.00\r\n", b"\n", b"\r\n", FRAMED, b"\0", b"\xff\xfe\n", b"x" * 300, b"-" * 20)
    ),
    st.binary(max_size=120),
    st.builds(stream.encode_usb_uplink, st.integers(-200, 0), st.integers(-200, 200), st.binary(max_size=40)),
)
streams = st.lists(pieces, max_size=12).map(b"".join)


def read(data: bytes) -> list[Line | Frame | Damaged]:
    return Reader().feed(data)


@given(streams, st.data())
def test_cutting_the_stream_into_chunks_changes_nothing(data: bytes, draw: st.DataObject) -> None:
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=6)))
    reader, bytewise = Reader(), Reader()

    chunked = [note for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) for note in reader.feed(data[a:b])]
    single = [note for byte in data for note in bytewise.feed(bytes((byte,)))]

    assert chunked == single == read(data)


@given(streams)
def test_noise_is_damage_with_a_known_reason_and_never_an_exception(data: bytes) -> None:
    for note in read(data):
        assert not isinstance(note, Damaged) or note.reason in stream.REASONS


@given(streams)
def test_after_any_noise_a_frame_that_is_sent_twice_is_read(data: bytes) -> None:
    assert FRAME in read(data + FRAMED + FRAMED)


@given(st.binary(max_size=400).map(lambda noise: noise.replace(b"\0", b"")))
def test_after_noise_without_zeros_the_second_line_is_read(noise: bytes) -> None:
    assert read(noise + b"\nReceived: 1,2\n")[-1] == Line("Received: 1,2")


@given(st.integers(-200, 50), st.integers(-200, 200), st.binary(max_size=86))
def test_a_received_packet_arrives_whole_with_text_around_it(rssi_dbm: int, snr_db: int, data: bytes) -> None:
    sent = stream.encode_usb_uplink(rssi_dbm, snr_db, data)

    first, frame, last = read(b"Received: 1,2\n" + sent + b"Received: 3,4\r\n")

    assert (first, last) == (Line("Received: 1,2"), Line("Received: 3,4"))
    assert isinstance(frame, Frame)
    assert stream.decode_usb_uplink(frame.content) == (max(-128, min(-1, rssi_dbm)), max(-128, min(127, snr_db)), data)
    assert sent.count(0) == 2


def test_cobs_agrees_with_the_published_examples() -> None:
    # from the paper's encoding rule, for data shorter than one block
    assert stream._stuff(b"\x00") == b"\x01\x01"
    assert stream._stuff(b"\x00\x00") == b"\x01\x01\x01"
    assert stream._stuff(b"\x11\x22\x00\x33") == b"\x03\x11\x22\x02\x33"
    assert stream._stuff(b"\x11\x00\x00\x00") == b"\x02\x11\x01\x01\x01"


def test_a_tail_waits_for_its_end() -> None:
    reader = Reader()

    assert reader.feed(FRAMED[:-1]) == []
    assert reader.feed(FRAMED[-1:] + b"Receiv") == [FRAME]
    assert reader.feed(b"ed: 1,2\n") == [Line("Received: 1,2")]


def test_a_flipped_bit_is_one_damage_and_the_next_frame_is_read() -> None:
    broken = bytearray(FRAMED)
    broken[10] ^= 4

    assert read(bytes(broken) + FRAMED) == [Damaged("crc"), FRAME]


def test_a_frame_that_lost_its_opening_zero_is_still_read() -> None:
    assert read(FRAMED[1:] + FRAMED) == [FRAME, FRAME]


def test_a_frame_that_lost_its_closing_zero_is_still_read() -> None:
    assert read(FRAMED[:-1] + FRAMED) == [FRAME, FRAME]


def test_a_stray_zero_costs_no_line() -> None:
    assert read(b"\0Received: 1,2\nReceived: 3,4\n") == [Line("Received: 1,2"), Line("Received: 3,4")]


@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\n\n", b"\n\n\n"])
def test_a_zero_before_empty_lines_costs_no_line(ends: bytes) -> None:
    assert read(b"\0" + ends + b"Received: 1,2\nReceived: 3,4\n") == [Line("Received: 1,2"), Line("Received: 3,4")]


def test_a_line_that_a_zero_cut_is_one_damage() -> None:
    assert read(b"Receiv\0" + b"Received: 1,2\n") == [Damaged("cut"), Line("Received: 1,2")]


@pytest.mark.parametrize("before", [b"", b"Received: 3,4\n", FRAMED])
def test_a_line_that_is_not_utf8_is_one_damage(before: bytes) -> None:
    assert read(before + b"Re\xffceived\nReceived: 1,2\n")[-2:] == [Damaged("encoding"), Line("Received: 1,2")]


@pytest.mark.parametrize("size", [257, 1_000_000])
def test_an_endless_line_is_one_damage(size: int) -> None:
    assert read(b"x" * size + b"\nReceived: 1,2\n") == [Damaged("long"), Line("Received: 1,2")]


def test_an_endless_frame_is_one_damage() -> None:
    assert read(b"\0" + b"\xff" * 500 + FRAMED) == [Damaged("long"), FRAME]


def test_a_newline_may_stand_in_a_frame_even_as_its_first_byte() -> None:
    content = b"\x11" + b"\n" * 7 + b"\0"
    sent = stream.encode_usb(stream.DOWNLINK, content)

    assert sent[1:2] == b"\n"  # the first run has nine bytes, so its COBS length is 10
    assert read(sent) == [Frame(stream.DOWNLINK, content)]


def test_a_frame_that_is_too_long_is_our_mistake() -> None:
    with pytest.raises(InternalError):
        stream.encode_usb(stream.DOWNLINK, bytes(90))


def test_content_too_short_for_an_uplink_is_empty() -> None:
    assert stream.decode_usb_uplink(b"\x01") == (0, 0, b"")
