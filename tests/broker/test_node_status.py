"""Messages on the topic of each node: their form, and names that a topic could not carry."""

import json
import re
from dataclasses import replace
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aoii.broker.messages import is_node_name
from aoii.broker.node_liveness import ErrorBound, Vouched
from aoii.broker.node_status import Label, NodeStatus, decode, encode, is_topic, topic_of
from aoii.core.errors import ProtocolError

STATUS = NodeStatus(
    "7", "attic", Vouched("late", 1_772_000_000_000, ErrorBound(0.5, 3.0)), 3800.5, 7200.0, 1_772_000_003_800, 300,
    Label("온실", "왼쪽 줄"),
)  # fmt: skip
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=128).filter(is_node_name)


@given(NAMES)
def test_any_name_of_a_node_is_one_level_of_a_topic_and_survives_the_wire(name: str) -> None:
    status = replace(STATUS, node=name)
    topic = topic_of("attic", name)

    assert re.fullmatch(r"aoii/nodes/attic/[A-Za-z0-9._~%-]+", topic)
    assert unquote(topic.rpartition("/")[2]) == name
    assert is_topic(topic)
    assert decode(topic, encode(status)) == status
    assert len(encode(status)) < 4096


def test_the_topics_of_names_with_the_signs_of_filters() -> None:
    assert topic_of("attic", "7") == "aoii/nodes/attic/7"
    assert topic_of("attic", "attic/dev/ttyUSB0") == "aoii/nodes/attic/attic%2Fdev%2FttyUSB0"
    assert topic_of("attic", "a+b#c%2F") == "aoii/nodes/attic/a%2Bb%23c%252F"
    assert topic_of("attic", "온실") == "aoii/nodes/attic/%EC%98%A8%EC%8B%A4"


def test_a_message_has_everything_that_a_reader_needs() -> None:
    assert json.loads(encode(STATUS)) == {
        "v": 1, "node": "7", "gateway": "attic", "liveness": "late", "last_heard": 1_772_000_000_000,
        "silence_s": 3800.5, "deadline_s": 7200.0, "error_bound": {"temperature": 0.5, "humidity": 3.0},
        "unix_ms": 1_772_000_003_800, "valid_s": 300, "name": "온실", "place": "왼쪽 줄",
    }  # fmt: skip
    never = NodeStatus("7", "attic", Vouched(), None, None, None, 300)
    assert decode(topic_of("attic", "7"), encode(never)) == never


def test_an_empty_message_says_that_the_node_is_gone() -> None:
    assert decode(topic_of("attic", "7"), b"") is None


@pytest.mark.parametrize(
    "change",
    [{"v": 2}, {"node": None}, {"node": "8"}, {"gateway": "cellar"}, {"gateway": "a/b"}, {"liveness": None},
     {"liveness": "asleep"}, {"valid_s": -1}, {"valid_s": 1.5}, {"valid_s": None}, {"unix_ms": 1_772_000_000},
     {"last_heard": "yesterday"}, {"silence_s": "long"}, {"deadline_s": float("nan")}, {"error_bound": 3},
     {"name": "=1"}, {"place": 7}],
)  # fmt: skip
def test_a_message_that_breaks_a_rule_or_is_of_somebody_else_is_rejected(change: dict[str, object]) -> None:
    payload = json.dumps(json.loads(encode(STATUS)) | change).encode()

    with pytest.raises(ProtocolError):
        decode(topic_of("attic", "7"), payload)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_status_or_an_error(payload: bytes) -> None:
    try:
        found = decode(topic_of("attic", "7"), payload)
    except ProtocolError:
        return
    assert found is None or isinstance(found, NodeStatus)
