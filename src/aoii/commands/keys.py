"""`aoii keys`: lists, adds, rotates and retires the keys of our own nodes; prints where they are, never a key."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from aoii import settings
from aoii.commands.arguments import Commands, keep_old_name, whole
from aoii.security import node_keys
from aoii.security.node_keys import NodeKey

SIXTEEN_BITS = whole(0, 65535)  # what a frame has for the number of a node, and for its epoch


def add_commands(commands: Commands) -> None:
    """Add `aoii keys`."""
    keys = commands.add_parser(
        "keys",
        help="keys of our own nodes: list, add, rotate, finish-rotation, retire",
        description="Change NODE_KEYS_FILE. A running gateway reads the change by itself.",
    )
    whats = keys.add_subparsers(dest="what", metavar="WHAT", required=True)
    whats.add_parser("list", help="list nodes, epochs, and old keys that are still accepted").set_defaults(run=_list)
    for name, run, text in (
        ("add", _add, "make a key for a new node"),
        ("rotate", _rotate, "give a node a new key and epoch; its old key is accepted until it uses the new one"),
        ("finish-rotation", _finish_rotation, "delete the old key of a node whose key was rotated"),
        ("retire", _retire, "delete a node; its packets are rejected from then on"),
    ):
        command = whats.add_parser(name, help=text)
        command.add_argument("node", type=SIXTEEN_BITS, metavar="NODE", help="number of the node")
        command.set_defaults(run=run)
    epoch = "for a number that was used before: one more than its last epoch (default: %(default)s)"
    whats.choices["add"].add_argument("--epoch", type=SIXTEEN_BITS, default=1, metavar="N", help=epoch)
    keep_old_name(whats, "settle", "finish-rotation")


def _file(options: argparse.Namespace) -> tuple[Path, dict[int, NodeKey]]:
    """The path of the key file, and its keys; none if there is no file yet."""
    path = settings.load(env_file=options.env_file, station="gateway").gateway.node_keys_file
    return path, node_keys.read_key_file(path) if path.exists() else {}


def _changed(
    options: argparse.Namespace, change: Callable[[Mapping[int, NodeKey]], dict[int, NodeKey]]
) -> tuple[Path, dict[int, NodeKey]]:
    """Change the key file; its path, and the keys before the change."""
    path, before = _file(options)
    node_keys.write_key_file(path, change(before))
    return path, before


def _list(options: argparse.Namespace) -> int:
    path, keys = _file(options)
    print(f"{len(keys)} {'node' if len(keys) == 1 else 'nodes'} in {path}")
    for node in sorted(keys):
        old = keys[node].previous
        note = f"   the old key, epoch {old.epoch}, is accepted until the node uses the new one" if old else ""
        print(f"  node {node:<5} epoch {keys[node].epoch}{note}")
    return 0


def _add(options: argparse.Namespace) -> int:
    path, _ = _changed(options, lambda keys: node_keys.add(keys, options.node, options.epoch))
    print(f"node {options.node} has a key, epoch {options.epoch}, in {path}; running gateways read it by themselves")
    return 0


def _rotate(options: argparse.Namespace) -> int:
    path, before = _changed(options, lambda keys: node_keys.rotate(keys, options.node))
    print(f"node {options.node} has a new key, epoch {before[options.node].epoch + 1}, in {path}")
    print("provision the node with it; the gateway accepts the old key until it gets a packet with the new one")
    print(f"then delete the old key: aoii keys finish-rotation {options.node}")
    return 0


def _finish_rotation(options: argparse.Namespace) -> int:
    path, _ = _changed(options, lambda keys: node_keys.finish_rotation(keys, options.node))
    print(f"the old key of node {options.node} is deleted from {path}")
    return 0


def _retire(options: argparse.Namespace) -> int:
    path, before = _changed(options, lambda keys: node_keys.retire(keys, options.node))
    last = before[options.node].epoch
    print(f"node {options.node} is deleted from {path}; running gateways reject its packets from now on")
    if last < node_keys.EPOCH_LIMIT:
        print(f"to use the number again: aoii keys add {options.node} --epoch {last + 1}")
    return 0
