"""Reports and questions survive the wire in messages of bounded size; anything else is a `ProtocolError`."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aoii.broker import repair_messages
from aoii.broker.repair_messages import HOLES_LIMIT, MESSAGE_BYTES, NUMBER_LIMIT, Ask, Finding, Holding, Hole, Report
from aoii.core.errors import ProtocolError

FILE = "0123456789abcdef"
numbers = st.integers(0, NUMBER_LIMIT)
ranges = st.tuples(numbers, numbers).map(sorted).map(tuple)
names = st.text("abc/0123", min_size=1, max_size=5)
findings = st.builds(
    lambda numbers, kind: Finding(numbers[0], numbers[1], kind), ranges, st.sampled_from(repair_messages.KINDS)
)
holdings = st.builds(
    lambda node, epoch, numbers, waiting, found: Holding(node, epoch, numbers[0], numbers[1], waiting, tuple(found)),
    names, numbers, ranges, numbers, st.lists(findings, max_size=4),
)  # fmt: skip
reports = st.builds(Report, st.just(FILE), numbers, numbers, st.lists(holdings, max_size=4).map(tuple))
holes = st.builds(
    lambda node, epoch, numbers, is_for_node: Hole(node, epoch, numbers[0], numbers[1], is_for_node),
    names, numbers, ranges, st.booleans(),
)  # fmt: skip
asks = st.builds(Ask, numbers, st.booleans(), st.lists(holes, max_size=4).map(tuple))


@given(reports)
def test_a_report_survives_the_wire(report: Report) -> None:
    (payload,) = repair_messages.encode_report(report)

    assert repair_messages.decode_report(payload) == report


@given(asks)
def test_a_question_survives_the_wire(ask: Ask) -> None:
    (payload,) = repair_messages.encode_ask(ask)

    assert repair_messages.decode_ask(payload) == ask


def test_what_is_long_becomes_several_messages_that_lose_nothing() -> None:
    found = tuple(Finding(10 * n, 10 * n + 5, "forgotten") for n in range(2 * HOLES_LIMIT + 1))
    nodes = tuple(Holding(f"{n:0128}", 2**53, 1, 2**62, 3, found if n == 7 else ()) for n in range(1000))

    parts = repair_messages.encode_report(Report(FILE, 1, 2, nodes))
    decoded = [repair_messages.decode_report(part) for part in parts]

    assert max(map(len, parts)) < MESSAGE_BYTES + 100
    assert [one.node for part in decoded for one in part.holdings if one.node != nodes[7].node] == [
        one.node for one in nodes if one.node != nodes[7].node
    ]
    assert tuple(each for part in decoded for one in part.holdings for each in one.findings) == found
    assert {(part.file, part.seq, part.asked) for part in decoded} == {(FILE, 1, 2)}


def test_many_holes_become_several_questions_of_one_number() -> None:
    holes = tuple(Hole("7", 1, 3 * n, 3 * n + 1, False) for n in range(2 * HOLES_LIMIT + 1))

    decoded = [repair_messages.decode_ask(part) for part in repair_messages.encode_ask(Ask(5, True, holes))]

    assert tuple(hole for part in decoded for hole in part.holes) == holes
    assert {(part.number, part.is_restored) for part in decoded} == {(5, True)}
    assert max(len(part.holes) for part in decoded) <= HOLES_LIMIT


def reason(payload: bytes | dict[str, Any], *, report: bool) -> str:
    encoded = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    with pytest.raises(ProtocolError) as caught:
        (repair_messages.decode_report if report else repair_messages.decode_ask)(encoded)
    return caught.value.reason


GOOD_REPORT: dict[str, Any] = {
    "v": 1,
    "file": FILE,
    "seq": 1,
    "asked": 0,
    "nodes": [["7", 1, 1, 2, 0, [[1, 2, "void"]]]],
}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"v": 2}, "shape"), ({"v": True}, "shape"), ({"file": "x"}, "shape"), ({"file": 7}, "shape"),
        ({"seq": -1}, "range"), ({"asked": 1.0}, "shape"), ({"nodes": {}}, "shape"), ({"nodes": [[]]}, "shape"),
        ({"nodes": [["=7", 1, 1, 2, 0, []]]}, "shape"), ({"nodes": [["7", 1, 2, 1, 0, []]]}, "range"),
        ({"nodes": [["7", True, 1, 2, 0, []]]}, "shape"), ({"nodes": [["7", 2**63, 1, 2, 0, []]]}, "range"),
        ({"nodes": [["7", 1, 1, 2, 0, [[1, 2, "lost"]]]]}, "shape"),
        ({"nodes": [["7", 1, 1, 2, 0, [[2, 1, "void"]]]]}, "range"),
        ({"nodes": [["7", 1, 1, 2, 0, [[1, "void"]]]]}, "shape"),
    ],
)  # fmt: skip
def test_a_bad_report_is_rejected(changes: dict[str, Any], why: str) -> None:
    repair_messages.decode_report(json.dumps(GOOD_REPORT).encode())

    assert reason(GOOD_REPORT | changes, report=True) == why


GOOD_ASK: dict[str, Any] = {"v": 1, "number": 4, "restored": False, "holes": [["7", 1, 1, 2, False]]}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"v": None}, "shape"), ({"number": "4"}, "shape"), ({"restored": 1}, "shape"), ({"holes": None}, "shape"),
        ({"holes": [["7", 1, 1, 2, False]] * (HOLES_LIMIT + 1)}, "shape"), ({"holes": [["7", 1, 1, 2]]}, "shape"),
        ({"holes": [["7", 1, 1, 2, 0]]}, "shape"), ({"holes": [["7", 1, 2, 1, False]]}, "range"),
        ({"holes": [["", 1, 1, 2, False]]}, "shape"), ({"holes": [["7", -1, 1, 2, False]]}, "range"),
    ],
)  # fmt: skip
def test_a_bad_question_is_rejected(changes: dict[str, Any], why: str) -> None:
    repair_messages.decode_ask(json.dumps(GOOD_ASK).encode())

    assert reason(GOOD_ASK | changes, report=False) == why


@given(st.binary(max_size=200))
def test_any_other_bytes_are_rejected(payload: bytes) -> None:
    assert reason(payload, report=True) in {"size", "encoding", "json", "shape"}
    assert reason(payload, report=False) in {"size", "encoding", "json", "shape"}


def test_what_is_too_long_is_rejected() -> None:
    assert reason(b"[" * (repair_messages.LIMIT_BYTES + 1), report=False) == "size"


def test_topics_name_their_gateway() -> None:
    assert repair_messages.gateway_of_holds(repair_messages.holds_topic("attic.2")) == "attic.2"
    assert repair_messages.gateway_of_holds("aoii/holds/a/b") is None
    assert repair_messages.gateway_of_holds("aoii/ack/attic") is None
    assert repair_messages.ask_topic("attic") == "aoii/ask/attic"
