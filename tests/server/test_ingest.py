"""What the server decides: what a payload is, and what is told to whom."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aoii.broker.embedded import PAYLOAD_LIMIT_BYTES
from aoii.broker.messages import (
    ACK_ITEMS_LIMIT,
    Committed,
    Estimate,
    Identity,
    Reading,
    ack_topic,
    encode_commit_ack,
    encode_reading,
    payload_digest,
)
from aoii.broker.packet_size import publish_bytes
from aoii.server import ingest
from aoii.server.ingest import Answer, Malformed
from server.samples import a_reading

READING = json.loads(encode_reading(a_reading(), 1))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner), max_leaves=5)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_as_something(payload: bytes) -> None:
    assert isinstance(ingest.decode_payload(payload), Reading | Estimate | Malformed)


@given(st.dictionaries(st.sampled_from(sorted(READING)), JSON))
def test_any_change_of_a_message_is_read_as_something(changes: dict[str, object]) -> None:
    payload = json.dumps(READING | changes).encode()

    content = ingest.decode_payload(payload)

    assert isinstance(content, Reading | Malformed)
    if isinstance(content, Reading):  # then it has all that a row needs
        assert ingest.decode_payload(encode_reading(content, 1)) == content


def test_a_malformed_payload_keeps_its_bytes_and_its_reason() -> None:
    assert ingest.decode_payload(b"\xff") == Malformed(b"\xff", "encoding", "payload is not UTF-8")


@pytest.mark.parametrize("change", [{"actual_t": 5000}, {"event": "TX"}, {"timestamp": None}, {"kind": "new"}])
def test_a_malformed_payload_says_who_waits_for_an_answer(change: dict[str, object]) -> None:
    content = ingest.decode_payload(json.dumps(READING | change).encode())

    assert isinstance(content, Malformed)
    assert (content.gateway, content.identity) == ("gateway", Identity("7", 1, 1))


@pytest.mark.parametrize(
    "change",
    [{"gateway": "a/#"}, {"gateway": None}, {"node": "\n"}, {"epoch": -1}, {"counter": 2**63}, {"counter": None}],
)
def test_no_gateway_waits_for_an_answer_when_the_sender_cannot_be_read(change: dict[str, object]) -> None:
    content = ingest.decode_payload(json.dumps(READING | {"actual_t": 5000} | change).encode())

    assert isinstance(content, Malformed)
    assert (content.gateway, content.identity) == (None, None)


def test_a_malformed_payload_is_told_to_its_gateway_as_parked() -> None:
    content = Malformed(b"", "range", "hot", "gateway", Identity("7", 1, 9))

    assert ingest.commit_acks(
        [
            Answer(b"1", a_reading(1), "stored"),
            Answer(b"9", content, "database_away"),
            Answer(b"", Malformed(b"", "json", ""), "database_away"),
        ]
    ) == [
        (
            "gateway",
            [
                Committed(Identity("7", 1, 1), "stored", payload_digest(b"1")),
                Committed(Identity("7", 1, 9), "parked", payload_digest(b"9")),
            ],
        )
    ]


@given(st.integers(1, 40), st.integers(400, 5000))
def test_no_acknowledgement_exceeds_what_the_broker_takes(readings: int, packet_limit: int) -> None:
    answers = [Answer(b"", a_reading(counter, node="7"), "duplicate") for counter in range(readings)]

    acks = ingest.commit_acks(answers, packet_limit)

    assert sum(len(items) for _, items in acks) == readings
    for gateway, items in acks:
        payload = encode_commit_ack(items)
        assert publish_bytes("n" * 64 + "/" + ack_topic(gateway), len(payload), 1) <= packet_limit


def test_each_gateway_is_told_about_its_own_readings() -> None:
    ours, theirs = a_reading(1), a_reading(2, gateway="b")
    nobodys = replace(a_reading(3), identity=None, gateway=None)

    acks = ingest.commit_acks(
        [
            Answer(b"", ours, "stored"),
            Answer(b"", theirs, "duplicate"),
            Answer(b"", nobodys, "stored"),
            Answer(b"", a_reading(4), "mismatch"),
            Answer(b"", a_reading(5), "bad_row"),
            Answer(b"", a_reading(6), "database_away"),
        ]
    )

    told = {gateway: [(item.identity.counter, item.status) for item in items] for gateway, items in acks}
    assert told == {
        "gateway": [(1, "stored"), (4, "parked"), (5, "parked"), (6, "parked")],
        "b": [(2, "duplicate")],
    }


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b"]), st.text("가a\U0001f321", min_size=1, max_size=128)), max_size=700)
)
def test_no_acknowledgement_is_over_the_limits_and_nothing_is_left_out(who: list[tuple[str, str]]) -> None:
    answers = [
        Answer(b"", a_reading(counter, node=node, gateway=gateway), "stored")
        for counter, (gateway, node) in enumerate(who)
    ]

    acks = ingest.commit_acks(answers)

    told: list[tuple[str, Committed]] = [(gateway, item) for gateway, items in acks for item in items]
    for gateway in ("a", "b"):
        counters = [item.identity.counter for told_gateway, item in told if told_gateway == gateway]
        assert counters == [counter for counter, (name, _) in enumerate(who) if name == gateway]
    for _, items in acks:
        assert 1 <= len(items) <= ACK_ITEMS_LIMIT
        assert len(encode_commit_ack(items)) <= PAYLOAD_LIMIT_BYTES
