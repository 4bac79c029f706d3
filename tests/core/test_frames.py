"""The frames between nodes and gateway: round trips, and what is rejected."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aoii.core import frames
from aoii.core.errors import InternalError
from aoii.core.forecast import HOLD, Trend
from aoii.core.frames import Ack, NodeSettings, Rejected, Uplink

KEY = bytes(range(16))
OTHER_KEY = bytes(16)
UPLINK = Uplink(
    node=7,
    epoch=1,
    frame=5,
    counter=4,
    age_s=60,
    temperature_c=-512,
    humidity_c=4520,
    trend=Trend(-3, 12, 4, -9, 1),
    flags=frames.EVENT | frames.LOW_BATTERY,
    generation=3,
    battery=140,
    answers=0,
)
ACK = Ack(node=7, epoch=1, frame=5, unix_s=1451606400, unix_ms=123, generation=3, settings=None, again=0)
SETTINGS = NodeSettings(50, 300, 60, 3600, 0, 1)

U3, U5, U8, U16, U32 = (
    st.integers(0, 7),
    st.integers(0, 31),
    st.integers(0, 0xFF),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFFFFFF),
)
I8 = st.integers(-128, 127)
trends = st.builds(Trend, I8, I8, I8, I8, st.integers(0, 1))


def uplinks_of(
    kind: int, trend: st.SearchStrategy[Trend], answers: st.SearchStrategy[int]
) -> st.SearchStrategy[Uplink]:
    return st.builds(
        Uplink,
        node=U16,
        epoch=U16,
        frame=U32,
        counter=U32,
        age_s=st.integers(0, frames.AGE_LIMIT_S),
        temperature_c=st.integers(-0x8000, 0x7FFF),
        humidity_c=U16,
        trend=trend,
        flags=st.sampled_from((0, 8, 16, 24)).map(lambda rest: kind | rest),
        generation=st.integers(0, 7),
        battery=U8,
        answers=answers,
    )


answers = st.integers(-frames.ANSWER_LIMIT, frames.ANSWER_LIMIT)
uplinks = st.one_of(
    uplinks_of(frames.EVENT, trends, st.just(0)),
    uplinks_of(frames.HEARTBEAT, trends, st.just(0)),
    uplinks_of(frames.BACKFILL, st.builds(HOLD._replace, damping=st.integers(0, 1)), answers),
)
node_settings = st.builds(
    NodeSettings,
    *[st.integers(1, 0xFFFF)] * 3,
    *[st.integers(0, 0xFFFF)] * 2,
    st.integers(1, 0xFF),
)
acks = st.builds(Ack, U16, U16, U32, U32, st.integers(0, 999), U3, st.none() | node_settings, U5)


def key_of(node: int) -> bytes | None:
    return KEY


@given(uplinks)
def test_an_uplink_survives_the_air(uplink: Uplink) -> None:
    data = frames.encode_uplink(uplink, KEY)

    assert len(data) == 32
    assert frames.decode_uplink(data, key_of) == uplink
    assert frames.node_of(data) == uplink.node


@given(acks)
def test_an_acknowledgement_survives_the_air(ack: Ack) -> None:
    data = frames.encode_ack(ack, KEY)

    assert len(data) == (22 if ack.settings is None else 33)
    assert frames.decode_ack(data, ack.node, ack.epoch, KEY) == ack


def test_the_code_is_hmac_sha256_of_direction_and_body() -> None:
    data = frames.encode_uplink(UPLINK, KEY)
    answer = frames.encode_ack(ACK, KEY)

    assert data[26:] == hmac.new(KEY, b"U" + data[:26], hashlib.sha256).digest()[:6]
    assert answer[16:] == hmac.new(KEY, b"D" + answer[:16], hashlib.sha256).digest()[:6]


@given(st.binary(max_size=64))
def test_random_bytes_are_rejected_and_nothing_else_happens(data: bytes) -> None:
    assert isinstance(frames.decode_uplink(data, key_of), Rejected)
    assert isinstance(frames.decode_ack(data, 7, 1, KEY), Rejected)


@given(uplinks, st.integers(0, 32 * 8 - 1))
def test_one_flipped_bit_is_rejected(uplink: Uplink, bit: int) -> None:
    data = bytearray(frames.encode_uplink(uplink, KEY))
    data[bit // 8] ^= 1 << bit % 8

    assert isinstance(frames.decode_uplink(bytes(data), key_of), Rejected)


@given(acks, st.data())
def test_one_flipped_bit_of_an_acknowledgement_is_rejected(ack: Ack, draw: st.DataObject) -> None:
    data = bytearray(frames.encode_ack(ack, KEY))
    bit = draw.draw(st.integers(0, len(data) * 8 - 1))
    data[bit // 8] ^= 1 << bit % 8

    assert isinstance(frames.decode_ack(bytes(data), ack.node, ack.epoch, KEY), Rejected)


def reason(value: object) -> str:
    assert isinstance(value, Rejected)
    assert value.reason in frames.REASONS
    return value.reason


def test_each_rejection_names_its_reason() -> None:
    data = frames.encode_uplink(UPLINK, KEY)
    answer = frames.encode_ack(ACK, KEY)

    assert reason(frames.decode_uplink(data[:-1], key_of)) == "length"
    assert reason(frames.decode_uplink(b"\x20" + data[1:], key_of)) == "version"
    assert reason(frames.decode_uplink(data, lambda node: None)) == "unknown_node"
    assert reason(frames.decode_uplink(data, lambda node: OTHER_KEY)) == "mac"
    assert reason(frames.decode_ack(answer, 8, 1, KEY)) == "node"
    assert reason(frames.decode_ack(answer, 7, 2, KEY)) == "epoch"
    assert reason(frames.decode_ack(answer, 7, 1, OTHER_KEY)) == "mac"
    assert reason(frames.decode_ack(b"\x10" + answer[1:], 7, 1, KEY)) == "version"


def signed(body: bytes, direction: bytes) -> bytes:
    return body + hmac.new(KEY, direction + body, hashlib.sha256).digest()[:6]


def test_an_authentic_frame_of_a_newer_firmware_is_rejected_by_its_fields() -> None:
    body = frames.encode_uplink(UPLINK, KEY)[:26]
    answer = frames.encode_ack(ACK._replace(settings=SETTINGS), KEY)[:27]

    assert reason(frames.decode_uplink(signed(b"\x12" + body[1:], b"U"), key_of)) == "trend"
    assert reason(frames.decode_uplink(signed(body[:24] + b"\x03" + body[25:], b"U"), key_of)) == "flags"
    lowest = body[:20] + b"\0\0\0\x80" + bytes((frames.BACKFILL, 0))
    assert reason(frames.decode_uplink(signed(lowest, b"U"), key_of)) == "range"
    assert reason(frames.decode_ack(signed(answer[:13] + b"\xe8\x03" + answer[15:], b"D"), 7, 1, KEY)) == "range"
    assert reason(frames.decode_ack(signed(answer[:16] + b"\0\0" + answer[18:], b"D"), 7, 1, KEY)) == "range"


def test_an_acknowledgement_never_passes_for_an_uplink() -> None:
    body = frames.encode_uplink(UPLINK, KEY)[:26]

    assert reason(frames.decode_uplink(signed(body, b"D"), key_of)) == "mac"


@pytest.mark.parametrize(
    "wrong",
    [
        {"node": 65536},
        {"age_s": 1 << 24},
        {"temperature_c": 40000},
        {"humidity_c": -1},
        {"trend": HOLD._replace(slope_h=200)},
        {"flags": 3},
        {"flags": 33},
        {"generation": 8},
        {"answers": 1},
        {"flags": frames.BACKFILL},
        {"flags": frames.BACKFILL, "trend": HOLD, "answers": 2**31},
        {"flags": frames.BACKFILL, "trend": HOLD, "answers": -(2**31)},
    ],
)
def test_a_field_that_does_not_fit_is_our_mistake(wrong: dict[str, object]) -> None:
    with pytest.raises(InternalError):
        frames.encode_uplink(UPLINK._replace(**wrong), KEY)


@pytest.mark.parametrize("wrong", [{"generation": 8}, {"again": 32}, {"again": -1}, {"unix_ms": 1000}])
def test_a_field_of_an_acknowledgement_that_does_not_fit_is_our_mistake(wrong: dict[str, object]) -> None:
    with pytest.raises(InternalError):
        frames.encode_ack(ACK._replace(**wrong), KEY)


def test_what_was_asked_for_stands_in_the_bytes_of_the_trend_and_the_question_above_the_generation() -> None:
    answer = UPLINK._replace(flags=frames.BACKFILL, trend=HOLD, answers=-2)

    assert frames.encode_uplink(answer, KEY)[20:24] == b"\xfe\xff\xff\xff"
    assert frames.encode_ack(ACK._replace(generation=3, again=30), KEY)[15] == 3 | 30 << 3


def test_a_key_of_the_wrong_length_is_our_mistake() -> None:
    with pytest.raises(InternalError, match="provision"):
        frames.encode_uplink(UPLINK, KEY[:-1])


def test_a_frame_tells_its_kind() -> None:
    assert UPLINK.kind == "event"
    assert UPLINK._replace(flags=frames.HEARTBEAT | frames.SENSOR_FAULT).kind == "heartbeat"
    assert UPLINK._replace(flags=frames.BACKFILL).kind == "backfill"
