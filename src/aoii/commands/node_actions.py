"""What `aoii node` changes: keys in the key file, labels in the file of labels, and boards."""

from dataclasses import replace
from pathlib import Path

from aoii.commands import board_files, flash_actions, node_files
from aoii.commands.board_flash import OnBoard
from aoii.commands.flash_options import Target
from aoii.commands.node_files import NodeFiles, changing, number_of
from aoii.core.errors import InputError
from aoii.gateway import node_labels
from aoii.gateway.node_labels import titled
from aoii.security import node_keys

AT_ONCE = "a running gateway reads the files by itself"


def add(
    env_file: Path | None,
    number: int | None,
    epoch: int | None,
    is_again: bool,
    name: str | None,
    place: str | None,
) -> str:
    """Give a new node a number and a key; the node.

    Args:
        env_file: The file of settings.
        number: Its number; None: the next one that nobody has had.
        epoch: Its epoch; None: 1, or for a number that is used again one more than its last.
        is_again: Whether the number may be that of a retired node.
        name: Its name, if it gets one.
        place: Its place, if that is said.

    Raises:
        InputError: The number is taken or retired, or a label cannot be used; nothing is changed.
    """
    with changing(env_file) as files:
        number = node_labels.free_number(files.keys, files.labels) if number is None else number
        node = str(number)
        retired = files.label(node).retired
        if retired is not None and not is_again:
            raise InputError(
                f"number {number} belonged to a node that is retired (its last epoch was {retired})",
                "leave the number out to get a free one, or say --again to use it for a new node",
            )
        least = 1 if retired is None else retired + 1
        epoch = least if epoch is None else epoch
        if retired is not None and epoch < least:
            raise InputError(f"epoch {epoch} of number {number} was used before", f"use {least} or more")
        keys = node_keys.add(files.keys, number, epoch)
        # What a retired node was called is not what the new one is.
        before = files.labels if retired is None else {**files.labels, node: node_labels.UNLABELLED}
        files.save_labels(node_labels.with_label(before, node, name, place))
        files.save_keys(keys)
        print(f"{titled(node, files.label(node))} has a key, epoch {epoch}; {AT_ONCE}")
    return node


def rename(env_file: Path | None, text: str, name: str | None, place: str | None) -> None:
    """Change name and place of a node, also of one with the old firmware; its readings keep their number.

    Raises:
        InputError: There is no such node, or a label cannot be used; nothing is changed.
    """
    if name is None and place is None:
        raise InputError("neither a new name nor a place is given", "say --name, --place or both; '' takes one away")
    with changing(env_file) as files:
        # A node of which nothing is known here may be one with the old firmware, or of another gateway.
        node = text if "/" in text and text not in files.labels else node_labels.find(files.labels, text)
        if node.isdecimal() and node not in files.labels:
            number_of(files, node)
        labels = files.labels
        if files.label(node).retired is not None:
            if int(node) not in files.keys:
                raise InputError(f"node {node} is retired", "its label stays as it was")
            labels = {**labels, node: replace(files.label(node), retired=None)}  # somebody gave it a key by hand
        files.save_labels(node_labels.with_label(labels, node, name, place))
        label = files.label(node)
        at = "" if label.place is None else f", at {label.place}"
        print(f"{titled(node, label)}{at}: its readings, old and new, stay under {node}")


def replace_node(env_file: Path | None, text: str) -> str:
    """Give a node the next epoch and a new key, for another board; the node.

    The old key is accepted until the gateway gets a packet with the new one, and never again after it: so the old board
    can send until the new one is in its place, and nothing is lost between the two.

    Raises:
        InputError: The node has no key, or its last replacement is not finished; nothing is changed.
    """
    with changing(env_file) as files:
        node = node_labels.find(files.labels, text)
        number = number_of(files, node)
        key, flashed = files.keys[number], files.label(node).flashed
        if key.previous is not None and (flashed is None or flashed < key.epoch):
            print(f"node {node} has a new key already, epoch {key.epoch}, which is on no board yet")
            return node
        if key.previous is not None:
            raise InputError(
                f"node {node} may still use the key from before its last replacement (epoch {key.previous.epoch})",
                f"once the board with epoch {key.epoch} has sent, run `aoii node finish-rotation {node}`, then this",
            )
        files.save_keys(node_keys.rotate(files.keys, number))
        print(f"{titled(node, files.label(node))} has a new key, epoch {key.epoch + 1}; {AT_ONCE}")
        print(f"its old key is accepted until the gateway gets a packet with the new one; then delete the old key: "
              f"aoii node finish-rotation {node}")  # fmt: skip
    return node


def finish_rotation(env_file: Path | None, text: str) -> None:
    """Delete the old key of a node.

    Raises:
        InputError: The node has no key, or no old one.
    """
    with changing(env_file) as files:
        node = node_labels.find(files.labels, text)
        files.save_keys(node_keys.finish_rotation(files.keys, number_of(files, node)))
        print(f"the old key of {titled(node, files.label(node))} is deleted")


def retire(env_file: Path | None, text: str) -> None:
    """Delete the key of a node, and keep its label as that of a retired one.

    Raises:
        InputError: The node has no key.
    """
    with changing(env_file) as files:
        node = node_labels.find(files.labels, text)
        last = files.keys[number_of(files, node)].epoch
        keys = node_keys.retire(files.keys, int(node))
        files.save_labels({**files.labels, node: replace(files.label(node), retired=last)})
        files.save_keys(keys)
        print(f"{titled(node, files.label(node))} is retired: running gateways reject its packets from now on")
        print("its readings stay; the number is given to no other node unasked")
        print(f"so that nobody looks for what it did not deliver: aoii retire --node {node} --all")


def flash(env_file: Path | None, text: str, target: Target, board: board_files.Options, display: bool) -> None:
    """Write a node's program and its newest key into a folder or onto a board.

    Raises:
        InputError: The node has no key, or the board must not get this one; nothing is changed.
        UnavailableError: A port, a board or a file does not work.
    """
    files = NodeFiles(node_files.load(env_file).gateway)
    node = node_labels.find(files.labels, text)
    number = number_of(files, node)
    key, label = files.keys[number], files.label(node)
    target = flash_actions.check(target, board)

    def check_board(found: OnBoard) -> None:
        if target.force:
            return
        if found.role is not None and (found.role, found.node) != ("node", number):
            whose = f"node {found.node}" if found.role == "node" else "a receiver"
            raise InputError(f"the board at this port is {whose}", "take the right board, or say --force")
        goes_on = found.has_counters and (found.node, found.epoch) == (number, key.epoch)
        if label.flashed is not None and label.flashed >= key.epoch and not goes_on:
            raise InputError(
                f"epoch {key.epoch} of node {node} was written for a board before, and this one lacks its counters: it "
                "would use numbers twice, and the gateway would reject it",
                f"run `aoii node replace {node}` with the same options, which gives it a new key; or say --force if "
                "this is for the very board that has the counters",
            )

    def written() -> None:
        with changing(env_file) as now:
            now.save_labels({**now.labels, node: replace(now.label(node), flashed=key.epoch)})

    def write_files(options: board_files.Options) -> None:
        board_files.write_node(options, number, key, display)

    print(f"writing {titled(node, label)}, epoch {key.epoch}", flush=True)
    if target.out is not None:
        check_board(OnBoard(None, None, None, has_counters=False))
    flash_actions.flash(target, board, write_files, check_board, written)
