"""`aoii node` beside a running gateway: it knows a new node at once, a replaced one and a name, without a restart."""

from pathlib import Path

import pytest

from aoii.commands import main
from aoii.gateway.gateway import Gateway
from aoii.runtime import metrics
from aoii.security import node_keys
from aoii.settings import Settings
from gateway.station import NODE, Counts, Listener, OwnNode
from servers import until


@pytest.fixture(autouse=True)
def same_folder(values: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # no .env
    monkeypatch.setenv("AOII_DATA_DIR", str(values.data_dir))


def provisioned(values: Settings, far: int, number: int) -> OwnNode:
    """The node as its board is after flashing."""
    key = node_keys.read_key_file(values.gateway.node_keys_file)[number]
    return OwnNode(far, number, key.epoch, key.key)


def labels_of(node: str) -> list[tuple[str, str]]:
    samples = [sample for family in metrics.NODE_INFO.collect() for sample in family.samples]
    return [(one.labels["name"], one.labels["place"]) for one in samples if one.labels["node"] == node]


def test_a_node_that_is_added_is_accepted_at_once_under_its_number_and_its_name(
    values: Settings, far: int, gateway: Gateway, listener: Listener
) -> None:
    OwnNode(far).send(1, 1)  # the gateway has read its files

    assert main.main(["node", "add", "--name", "온실", "--place", "왼쪽 줄"]) == 0
    provisioned(values, far, 1).send(1, 1)

    assert [reading["node"] for reading in listener.readings(2)] == [str(NODE), "1"]
    until(lambda: labels_of("1") == [("온실", "왼쪽 줄")], what="the name in the metrics")


def test_a_new_name_reaches_the_running_gateway_and_changes_no_identity(
    values: Settings, far: int, gateway: Gateway, listener: Listener
) -> None:
    node = OwnNode(far)
    node.send(1, 1)
    until(lambda: labels_of(str(NODE)) == [("", "")], what="a node without a name")

    assert main.main(["node", "rename", str(NODE), "--name", "Barn"]) == 0
    until(lambda: labels_of(str(NODE)) == [("Barn", "")], what="the name in the metrics")
    node.send(2, 2)

    assert {(one["node"], one["epoch"]) for one in listener.readings(2)} == {(str(NODE), node.epoch)}


def test_a_replaced_board_is_accepted_until_the_new_one_sends_and_a_retired_one_never(
    values: Settings, far: int, gateway: Gateway, listener: Listener
) -> None:
    counts = Counts()
    old = OwnNode(far)
    old.send(1, 1)

    assert main.main(["node", "replace", str(NODE)]) == 0
    new = provisioned(values, far, NODE)
    old.send(2, 2)
    new.send(1, 1)
    old.transmit(old.frame(3, 3))
    until(lambda: counts.since("gateway_rejected").get("epoch"), what="the old board's refusal")

    assert main.main(["node", "retire", str(NODE)]) == 0
    new.transmit(new.frame(2, 2))
    until(lambda: counts.since("gateway_rejected").get("unknown_node"), what="the retired node's refusal")
    assert {one["node"] for one in listener.readings(3)} == {str(NODE)}
