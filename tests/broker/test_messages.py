"""Payloads: the older installation's keys, strict reading, and no exception but a `ProtocolError` for any bytes."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aoii.broker import messages
from aoii.broker.messages import Committed, Estimate, Identity, Reading
from aoii.broker.node_liveness import ErrorBound
from aoii.core.errors import ProtocolError

REFERENCE_KEYS = [
    "event", "timestamp", "time_n", "actual_t", "actual_h", "pred_t", "pred_h", "error_t", "error_h", "total_tx",
]  # fmt: skip
OLD_RX: dict[str, Any] = {
    "event": "RX",
    "timestamp": "2026-02-25 12:52:34",
    "time_n": 0.536505,
    "actual_t": 24.23,
    "actual_h": 25.6,
    "pred_t": 24.9,
    "pred_h": 26.1,
    "error_t": 0.67,
    "error_h": 0.5,
    "total_tx": 12,
    "transmission_delay_ms": 832,
}

OLD_EST = OLD_RX | {"event": "EST", "actual_t": None, "actual_h": None, "error_t": None, "error_h": None}

REASONS = {"size", "encoding", "json", "shape", "event", "range"}

json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*REFERENCE_KEYS, "node"]), inner),
)
finite = st.floats(-40, 99, allow_nan=False).map(lambda value: round(value, 2))
identities = st.builds(Identity, st.text("abc/0123", min_size=1), st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1))
readings = st.builds(
    Reading,
    identity=identities,
    gateway=st.just("gw"),
    kind=st.sampled_from(messages.KINDS),
    timestamp=st.just("2026-02-25 12:52:34"),
    time_n=st.floats(0, 1).map(lambda value: round(value, 6)),
    actual_t=finite,
    actual_h=finite,
    pred_t=finite,
    pred_h=finite,
    total_tx=st.integers(0, 2**31),
    transmission_delay_ms=st.none() | st.integers(-600_000, 600_000),
    event_unix_ms=st.integers(2**32, 2**45),
    clock_synced=st.booleans(),
)


def reason(payload: bytes) -> str:
    with pytest.raises(ProtocolError) as caught:
        messages.decode_message(payload)
    return caught.value.reason


@given(readings, st.sampled_from([0, 1]))
def test_a_reading_survives_the_wire(reading: Reading, qos: int) -> None:
    assert messages.decode_message(messages.encode_reading(reading, qos)) == reading


@given(readings)
def test_a_reading_has_the_keys_of_the_older_installation_first(reading: Reading) -> None:
    fields = json.loads(messages.encode_reading(reading, 1))

    assert list(fields)[:10] == REFERENCE_KEYS
    assert fields["error_t"] >= 0
    assert ("transmission_delay_ms" in fields) == (reading.transmission_delay_ms is not None)


def test_an_estimate_has_null_for_what_was_not_measured_and_survives_the_wire() -> None:
    estimate = Estimate("gw", "7", "2026-02-25 12:53:00", 0.5368, 24.2, 25.5, 12, 1_772_000_000_000)

    payload = messages.encode_estimate(estimate)

    assert [json.loads(payload)[key] for key in ("actual_t", "actual_h", "error_t", "error_h")] == [None] * 4
    assert messages.decode_message(payload) == estimate


def test_every_value_says_where_it_comes_from_and_what_it_may_be_wrong_by() -> None:
    plain = Estimate("gw", "7", "2026-02-25 12:53:00", 0.5368, 24.2, 25.5, 12, 1_772_000_000_000)
    vouched = replace(plain, liveness="late", last_heard_ms=1_771_999_000_000, error_bound=ErrorBound(0.5, 3.0))
    old = messages.decode_message(json.dumps(OLD_RX).encode())
    assert isinstance(old, Reading)
    late = replace(old, identity=Identity("7", 2, 9), gateway="gw", kind="backfill", last_heard_ms=2**40)
    said = [json.loads(payload) for payload in (
        messages.encode_estimate(plain), messages.encode_estimate(vouched), messages.encode_reading(late, 1),
        messages.encode_reading(replace(late, kind="heartbeat", last_heard_ms=None), 1),
    )]  # fmt: skip

    names = "source", "error_bound", "last_heard", "liveness", "is_historical"
    assert [tuple(fields.get(name) for name in names) for fields in said] == [
        ("estimated", None, None, None, False),
        ("estimated", {"temperature": 0.5, "humidity": 3.0}, 1_771_999_000_000, "late", False),
        ("measured", {"temperature": 0, "humidity": 0}, 2**40, None, True),
        ("measured", {"temperature": 0, "humidity": 0}, None, None, False),
    ]
    assert messages.decode_message(messages.encode_estimate(vouched)) == vouched
    assert messages.decode_message(messages.encode_reading(late, 1)) == late
    for missing in ({}, dict.fromkeys(names)):
        without = {key: value for key, value in said[0].items() if key not in names} | missing
        assert messages.decode_message(json.dumps(without).encode()) == plain


def test_a_message_of_the_older_gateway_is_read() -> None:
    reading = messages.decode_message(json.dumps(OLD_RX).encode())

    assert isinstance(reading, Reading)
    assert (reading.identity, reading.kind, reading.transmission_delay_ms) == (None, "legacy", 832)


@pytest.mark.parametrize("delay_ms", [1_772_000_000_000, 2**31, -(2**31) - 1, 832.5, float("nan"), "832", True])
def test_an_impossible_delay_of_the_older_gateway_is_unknown_and_the_reading_stays(delay_ms: object) -> None:
    payload = json.dumps(OLD_RX | {"transmission_delay_ms": delay_ms}).encode()

    reading = messages.decode_message(payload)

    assert isinstance(reading, Reading)
    assert (reading.actual_t, reading.transmission_delay_ms, reading.is_delay_impossible) == (24.23, None, True)


def test_a_message_that_names_no_delay_has_no_impossible_one() -> None:
    for change in ({}, {"transmission_delay_ms": None}):
        fields = {key: value for key, value in OLD_RX.items() if key != "transmission_delay_ms"} | change
        reading = messages.decode_message(json.dumps(fields).encode())
        assert isinstance(reading, Reading)
        assert not reading.is_delay_impossible


def test_a_gateway_whose_clock_nobody_has_set_is_in_1970() -> None:
    reading = messages.decode_message(json.dumps(OLD_RX | {"event_unix_ms": 60_000, "clock_synced": False}).encode())

    assert isinstance(reading, Reading)
    assert (reading.event_unix_ms, reading.clock_synced) == (60_000, False)


@pytest.mark.parametrize(("qos", "expected"), [(0, 0), (1, 1), (True, None), (1.0, None), ("1", None), (2, None)])
def test_the_qos_that_a_message_names_is_0_or_1(qos: object, expected: int | None) -> None:
    assert messages.decode_qos(json.dumps(OLD_RX | {"qos": qos}).encode()) == expected


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"x" * 1_000_000, "size"),
        (b"\xff\xfe", "encoding"),
        (b'{"event":', "json"),
        (b"[" * 3000, "json"),
        (b"[1, 2]", "shape"),
        (b"{}", "event"),
        (json.dumps(OLD_RX | {"event": "TX"}).encode(), "event"),
        (json.dumps(OLD_RX | {"actual_t": "warm"}).encode(), "shape"),
        (json.dumps(OLD_RX | {"actual_t": True}).encode(), "shape"),
        (json.dumps(OLD_RX | {"actual_t": None}).encode(), "shape"),
        (json.dumps(OLD_RX | {"actual_t": float("nan")}).encode(), "range"),
        (json.dumps(OLD_RX | {"pred_h": float("inf")}).encode(), "range"),
        (json.dumps(OLD_RX | {"actual_t": 1e9}).encode(), "range"),
        (json.dumps(OLD_RX | {"actual_t": 10**400}).encode(), "range"),
        (json.dumps(OLD_RX | {"total_tx": -1}).encode(), "range"),
        (json.dumps(OLD_RX | {"event_unix_ms": 253_402_300_800_000}).encode(), "range"),
        (
            json.dumps(OLD_RX | {"node": "7", "epoch": 1, "counter": 1, "transmission_delay_ms": 2**31}).encode(),
            "range",
        ),
        (json.dumps(OLD_RX | {"timestamp": "2026\ud800"}).encode(), "shape"),
        (json.dumps(OLD_RX | {"timestamp": "2026,\n"}).encode(), "shape"),
        (json.dumps(OLD_RX | {"gateway": "a/+/b"}).encode(), "shape"),
        (json.dumps(OLD_RX | {"gateway": "g" * 65}).encode(), "shape"),
        (json.dumps(OLD_RX | {"node": "7 ", "epoch": 1, "counter": 1}).encode(), "shape"),
        (json.dumps(OLD_RX | {"node": "7"}).encode(), "shape"),
        (json.dumps(OLD_RX | {"node": "", "epoch": 1, "counter": 1}).encode(), "shape"),
        (json.dumps(OLD_RX | {"node": "7", "epoch": 1, "counter": 2**64}).encode(), "range"),
        (json.dumps(OLD_RX | {"node": "7", "epoch": True, "counter": 1}).encode(), "shape"),
        (json.dumps(OLD_RX | {"node": "7", "epoch": 1, "counter": 1.0}).encode(), "shape"),
        (json.dumps(OLD_RX | {"node": "7", "epoch": 1, "counter": "1"}).encode(), "shape"),
        (json.dumps(OLD_RX | {"node": 7, "epoch": 1, "counter": 1}).encode(), "shape"),
        (json.dumps(OLD_RX | {"kind": "party"}).encode(), "shape"),
        (json.dumps(OLD_RX | {"kind": ["event"]}).encode(), "shape"),
        (json.dumps(OLD_RX | {"clock_synced": "false"}).encode(), "shape"),
        (json.dumps(OLD_RX | {"clock_synced": 1}).encode(), "shape"),
        (json.dumps(OLD_RX | {"clock_synced": None}).encode(), "shape"),
        (json.dumps(OLD_RX | {"clock_synced": True, "event_unix_ms": 1_772_000_000}).encode(), "range"),
        (json.dumps(OLD_RX | {"event_unix_ms": "1772000000000"}).encode(), "shape"),
        (json.dumps(OLD_RX | {"event_unix_ms": 1.772e12}).encode(), "shape"),
        (json.dumps(OLD_EST | {"unix_ms": 1_772_000_000}).encode(), "range"),
        (json.dumps(OLD_RX | {"time_n": 1.01}).encode(), "range"),
        (json.dumps(OLD_RX | {"total_tx": 3.0}).encode(), "shape"),
        (json.dumps(OLD_RX | {"timestamp": "25.02.2026 12:52"}).encode(), "shape"),
        (json.dumps(OLD_RX | {"timestamp": "2026-02-30 12:52:34"}).encode(), "shape"),
        (json.dumps(OLD_RX | {"timestamp": "=HYPERLINK(1)"}).encode(), "shape"),
        (json.dumps(OLD_RX | {"v": 2}).encode(), "shape"),
        (json.dumps(OLD_RX | {"v": True}).encode(), "shape"),
        (b'{"event":"RX",' + json.dumps(OLD_RX).encode()[1:], "shape"),  # the key `event` twice
    ],
)
def test_a_bad_payload_has_one_reason(payload: bytes, expected: str) -> None:
    assert reason(payload) == expected


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_message_or_a_peer_error(payload: bytes) -> None:
    for decode in (messages.decode_message, messages.decode_commit_ack):
        try:
            decode(payload)
        except ProtocolError as error:
            assert error.reason in REASONS  # noqa: PT017 - either outcome is right


def test_the_digest_is_of_the_nodes_content_and_not_of_the_gateway() -> None:
    reading = messages.decode_message(json.dumps(OLD_RX | {"node": "7", "epoch": 1, "counter": 5}).encode())
    other = messages.decode_message(
        json.dumps(
            OLD_RX | {"node": "7", "epoch": 1, "counter": 5, "gateway": "gw2", "pred_t": 1.0, "total_tx": 3}
        ).encode()
    )
    changed = messages.decode_message(
        json.dumps(OLD_RX | {"node": "7", "epoch": 1, "counter": 5, "actual_t": 24.24}).encode()
    )
    assert isinstance(reading, Reading)
    assert isinstance(other, Reading)
    assert isinstance(changed, Reading)

    assert reading.digest() == other.digest()
    assert reading.digest() != changed.digest()


digests = st.none() | st.binary().map(messages.payload_digest)


@given(st.lists(st.builds(Committed, identities, st.sampled_from(messages.ACK_STATUSES), digests), max_size=20))
def test_a_commit_acknowledgement_survives_the_wire(items: list[Committed]) -> None:
    assert messages.decode_commit_ack(messages.encode_commit_ack(items)) == items


def test_the_digests_of_a_commit_acknowledgement_stand_beside_items_that_older_gateways_read() -> None:
    item = Committed(Identity("7", 1, 5), "stored", messages.payload_digest(b"reading"))

    assert messages.encode_commit_ack([item]) == (
        b'{"v":1,"items":[["7",1,5,"stored"]],"digests":["d70afca615203838"]}'  # printf reading | sha256sum
    )


def test_a_server_may_send_no_digests_or_not_all() -> None:
    items = b'"items":[["7",1,5,"stored"],["7",1,6,"parked"]]'

    plain = messages.decode_commit_ack(b'{"v":1,%s}' % items)
    one = messages.decode_commit_ack(b'{"v":1,%s,"digests":[null,"0123456789abcdef"]}' % items)

    assert [item.digest for item in plain] == [None, None]
    assert [item.digest for item in one] == [None, "0123456789abcdef"]


@pytest.mark.parametrize(
    "payload",
    [
        b'{"v":1,"items":[["7",1,2,"stored"]],"digests":[]}',
        b'{"v":1,"items":[["7",1,2,"stored"]],"digests":"0123456789abcdef"}',
        b'{"v":1,"items":[["7",1,2,"stored"]],"digests":[1]}',
        b'{"v":1,"items":[["7",1,2,"stored"]],"digests":["0123456789ABCDEF"]}',
        b'{"v":1,"items":[["7",1,2,"stored"]],"digests":["0123456789abcdef0"]}',
        b'{"v":2,"items":[]}',
        b'{"v":1}',
        b'{"v":1,"items":[["7",1,2,"lost"]]}',
        b'{"v":1,"items":[["7",1]]}',
        b'{"v":1,"items":[["7",1,9223372036854775808,"stored"]]}',
        b'{"v":1,"items":[["7",-1,2,"stored"]]}',
        b'{"v":1,"items":[["7",true,2,"stored"]]}',
        b'{"v":1,"items":[["7",1,2.0,"stored"]]}',
        b'{"v":true,"items":[]}',
        b'{"v":1.0,"items":[]}',
        b'{"v":1,"items":[["7",1,2,"stored"]],"items":[]}',
        b'{"v":1,"items":[["\\ud800",1,2,"stored"]]}',
    ],
)
def test_a_commit_acknowledgement_of_another_shape_is_refused_whole(payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        messages.decode_commit_ack(payload)


def test_a_full_commit_acknowledgement_fits_the_embedded_broker() -> None:
    from aoii.broker.embedded import PAYLOAD_LIMIT_BYTES

    longest = Committed(Identity("7", 65535, 2**32 - 1), "duplicate", messages.payload_digest(b""))

    assert len(messages.encode_commit_ack([longest] * messages.ACK_ITEMS_LIMIT)) < PAYLOAD_LIMIT_BYTES


@pytest.mark.parametrize(
    ("error_t", "error_h", "important"),
    [
        (0.49, 2.99, False),
        (0.5, 0.0, True),
        (-0.5, 0.0, True),
        (24.7 - 24.2, 0.0, True),
        (0.0, 3.0, True),
        (0.0, -2.99, False),
    ],
)
def test_importance_is_decided_in_hundredths(error_t: float, error_h: float, important: bool) -> None:
    assert messages.is_wrong(error_t, error_h, 0.5, 3.0) is important


FORMULAS = ['=HYPERLINK("http://x")', "+1", "-2+3", "@SUM(1)", "＝1", "a;=1", "a, =1", "a|@b", "7;-1"]


@pytest.mark.parametrize("name", FORMULAS)
def test_a_name_that_a_spreadsheet_takes_for_a_formula_is_rejected(name: str) -> None:
    with pytest.raises(ProtocolError, match="spreadsheet") as caught:
        messages.decode_message(json.dumps(OLD_RX | {"node": name, "epoch": 1, "counter": 1}).encode())

    assert caught.value.reason == "shape"


@pytest.mark.parametrize("name", ["7", "gateway/ttyUSB0", "거실-2", "attic; left", "a=b", "x@y", "#1", "room, 2"])
def test_other_names_are_accepted_as_they_are(name: str) -> None:
    reading = messages.decode_message(json.dumps(OLD_RX | {"node": name, "epoch": 1, "counter": 1}).encode())

    assert isinstance(reading, Reading)
    assert reading.identity == Identity(name, 1, 1)


@pytest.mark.parametrize(
    "text", ["=HYPERLINK(1)", "2026-02-25T12:52:34", "2026-02-25 12:52:34 ", "２０２６-02-25 12:52:34", "", "now"]
)
def test_a_timestamp_has_the_older_installations_form(text: str) -> None:
    with pytest.raises(ProtocolError, match="timestamp is not a time"):
        messages.decode_message(json.dumps(OLD_RX | {"timestamp": text}).encode())


def test_an_estimate_carries_the_identity_of_its_reading_and_may_lack_it() -> None:
    plain = Estimate("attic", "7", "2026-05-04 03:02:01", 0.1, 20.0, 40.0, 1, None)
    named = Estimate("attic", "7", "2026-05-04 03:02:01", 0.1, 20.0, 40.0, 1, None, 2, 11)

    assert messages.decode_message(messages.encode_estimate(named)) == named
    assert messages.decode_message(messages.encode_estimate(plain)) == plain
    assert b"counter" not in messages.encode_estimate(plain)
    assert plain.follows_from < named.follows_from
