"""A node whose key is rotated while the gateway runs: the old key is good until the new is used, and never again."""

from pathlib import Path

import pytest

from aoii.gateway.findings import NodeEpoch
from aoii.security import node_keys
from aoii.settings import Settings
from gateway.station import EPOCH, KEY, NODE, Counts, OwnNode, configured, running, wait_connected
from servers import Mosquitto, until


@pytest.fixture
def values(tmp_path: Path, mosquitto: Mosquitto, link: Path) -> Settings:
    return configured(tmp_path / "data", mosquitto.port, "rotation", link)


def rotate(values: Settings, far: int) -> OwnNode:
    """Rotate the node's key in the file; the node as it will be with the new one."""
    file = values.gateway.node_keys_file
    keys = node_keys.rotate(node_keys.read_key_file(file), NODE)
    node_keys.write_key_file(file, keys)
    return OwnNode(far, NODE, keys[NODE].epoch, keys[NODE].key)


def test_a_rotated_node_is_accepted_with_its_old_key_until_it_uses_the_new_one(values: Settings, far: int) -> None:
    counts = Counts()
    old = OwnNode(far, NODE, EPOCH, KEY)
    with running(values) as gateway:
        wait_connected(gateway)
        old.send(1, 1)
        new = rotate(values, far)

        old.send(2, 2)  # the node does not have the new key yet
        new.send(1, 1)
        old.transmit(old.frame(3, 3))  # a board with the old key

        until(lambda: counts.since("gateway_rejected").get("epoch"), what="the old key's refusal")
        new.send(2, 2)

    with running(values) as gateway:  # a restart does not bring the old key back
        wait_connected(gateway)
        before = counts.since("gateway_rejected").get("epoch", 0)
        old.transmit(old.frame(4, 4))
        until(lambda: counts.since("gateway_rejected").get("epoch", 0) > before, what="the old key's refusal")


def test_a_node_that_uses_its_new_key_is_not_asked_for_numbers_of_the_old_epoch(values: Settings, far: int) -> None:
    """Or they would stay open until somebody finishes the rotation: no frame of that epoch is accepted any more."""
    old_numbers = NodeEpoch(str(NODE), EPOCH)
    with running(values) as gateway:
        wait_connected(gateway)
        OwnNode(far, NODE, EPOCH, KEY).send(1, 1)
        new = rotate(values, far)
        assert gateway._can_ask(old_numbers)

        new.send(1, 1)

        until(lambda: not gateway._can_ask(old_numbers))
        assert gateway._can_ask(NodeEpoch(str(NODE), new.epoch))


def test_after_the_rotation_is_finished_or_the_node_retired_its_key_is_unknown(values: Settings, far: int) -> None:
    counts = Counts()
    old = OwnNode(far, NODE, EPOCH, KEY)
    file = values.gateway.node_keys_file
    with running(values) as gateway:
        wait_connected(gateway)
        old.send(1, 1)
        rotate(values, far)
        node_keys.write_key_file(file, node_keys.finish_rotation(node_keys.read_key_file(file), NODE))
        old.transmit(old.frame(2, 2))
        until(lambda: counts.since("gateway_rejected").get("mac"), what="a wrong code")

        node_keys.write_key_file(file, node_keys.retire(node_keys.read_key_file(file), NODE))
        old.transmit(old.frame(3, 3))
        until(lambda: counts.since("gateway_rejected").get("unknown_node"), what="a stranger")
