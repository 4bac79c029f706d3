"""Names and places of nodes: what can be one, who is meant by one, and what is read from the file's text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aoii.core.errors import InputError
from aoii.gateway import node_labels
from aoii.gateway.node_labels import NodeLabel

LABELS = {
    "7": NodeLabel("Greenhouse", "row 3", flashed=2),
    "12": NodeLabel("온실", "왼쪽 줄"),
    "3": NodeLabel("Shed", retired=4),
    "attic/ttyUSB0": NodeLabel("Attic"),
}


def test_what_is_written_is_read_again() -> None:
    assert node_labels.decode(node_labels.encode(LABELS)) == LABELS
    assert node_labels.encode(LABELS).count("null") == 0


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ({"7": []}, "node 7"),
        ({"7": {"key": "00"}}, "'key'"),
        ({"7": {"name": "=1+1"}}, "formula"),
        ({"7": {"name": " "}}, "blank"),
        ({"7": {"name": "8"}}, "number"),
        ({"7": {"name": 8}}, "8"),
        ({"7": {"retired": -1}}, "retired is -1"),
        ({"7": {"flashed": True}}, "flashed is True"),
        ({"attic/ttyUSB0": {"retired": 1}}, "no epoch"),
        ({"=7": {}}, "no node"),
        ({"7": {"name": "Shed"}, "8": {"name": "shed"}}, "node 7"),
    ],
)
def test_a_file_that_is_wrong_is_refused_and_says_where(nodes: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        node_labels.decode(json.dumps({"v": 1, "nodes": nodes}))


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        labels = node_labels.decode(text)
    except InputError:
        return
    assert node_labels.decode(node_labels.encode(labels)) == labels


def test_a_file_of_another_format_is_not_guessed_at() -> None:
    with pytest.raises(InputError, match="format 2"):
        node_labels.decode('{"v": 2, "nodes": {}}')


def test_a_name_is_had_by_one_living_node_whatever_the_case() -> None:
    with pytest.raises(InputError, match="node 7 has the name"):
        node_labels.with_label(LABELS, "8", name="GREENHOUSE")
    with pytest.raises(InputError, match="attic/ttyUSB0"):
        node_labels.with_label(LABELS, "8", name="Attic/TTYusb0")

    assert node_labels.with_label(LABELS, "8", name="Shed")["8"].name == "Shed"  # its owner is retired


def test_letters_that_are_put_together_are_those_that_are_one() -> None:
    """Some keyboards and files send Korean in parts, which look the same."""
    apart = "\u110b\u1169\u11ab\u1109\u1175\u11af"

    with pytest.raises(InputError, match="node 12"):
        node_labels.with_label(LABELS, "8", name=apart)

    assert node_labels.find(LABELS, apart) == "12"


def test_a_label_changes_only_what_is_given_and_empty_takes_it_away() -> None:
    renamed = node_labels.with_label(LABELS, "7", name="Barn")
    bare = node_labels.with_label(renamed, "7", place="")

    assert renamed["7"] == NodeLabel("Barn", "row 3", flashed=2)
    assert bare["7"] == NodeLabel("Barn", None, flashed=2)
    assert LABELS["7"].name == "Greenhouse"


def test_a_node_is_found_by_number_identity_or_name_and_the_living_first() -> None:
    both = {**LABELS, "8": NodeLabel("shed")}

    assert [node_labels.find(both, text) for text in ("7", "99", "greenhouse", "Shed", "attic/ttyUSB0", "attic")] == [
        "7", "99", "7", "8", "attic/ttyUSB0", "attic/ttyUSB0",
    ]  # fmt: skip
    with pytest.raises(InputError, match="no node has the name Barn"):
        node_labels.find(both, "Barn")


def test_a_number_is_free_only_if_no_node_has_had_it() -> None:
    assert node_labels.free_number({1, 2, 4}, LABELS) == 5  # 3 is retired
