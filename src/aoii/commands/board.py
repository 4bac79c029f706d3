"""The old command `board`, now `aoii node flash --out` and `aoii receiver flash --out`; it goes with the next release.

Help does not list it. As before, it makes the key of a node that has none, and with --force the next one.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from aoii.commands.arguments import Commands, file_path, whole
from aoii.commands.flash_options import add_board_options, board_of
from aoii.core.errors import InputError

if TYPE_CHECKING:
    from aoii.commands.board_files import Options


def add_commands(commands: Commands) -> None:
    """Add the command."""
    kinds = commands.add_parser("board").add_subparsers(dest="kind", metavar="KIND", required=True)
    for name in ("node", "receiver"):
        kind = kinds.add_parser(name)
        if name == "node":
            kind.add_argument("--node", type=whole(0, 65535), required=True, metavar="N")
            kind.add_argument("--keys", type=file_path, metavar="FILE")
        kind.add_argument("--out", type=file_path, required=True, metavar="DIR")
        kind.add_argument("--force", action="store_true")
        add_board_options(kind, is_node=name == "node")
        kind.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from aoii.commands import board_files, node_files

    new = (
        "aoii receiver flash --out"
        if options.kind == "receiver"
        else "aoii node add --out` or `aoii node replace --out"
    )
    print(f"`aoii board {options.kind}` is deprecated; use `{new}`", file=sys.stderr)
    board = board_of(options, options.out)
    if options.kind == "receiver":
        board_files.write_receiver(board)
        print(f"The receiver's files are in {options.out}.")
    else:
        keys_file = options.keys or node_files.load(options.env_file).gateway.node_keys_file
        epoch = _make_node(options, board, keys_file)
        print(f"The files of node {options.node} (epoch {epoch}) are in {options.out}, its key is in {keys_file}.")
    print("Copy them to the board, with its serial port for PORT:")
    print("\n".join(f"  {command}" for command in board_files.copy_commands(options.out)))
    return 0


def _make_node(options: argparse.Namespace, board: "Options", keys_file: Path) -> int:
    """Write a node's files and then its key; the epoch of the key."""
    from aoii.commands import board_files
    from aoii.security import node_keys

    number = options.node
    keys = node_keys.read_key_file(keys_file) if keys_file.exists() else {}
    if number in keys and not options.force:
        raise InputError(
            f"node {number} has a key in {keys_file} (epoch {keys[number].epoch}), which another board may use",
            "use another number, or --force to give this board the next epoch and a new key",
        )
    keys = node_keys.rotate(keys, number) if number in keys else node_keys.add(keys, number)
    board_files.write_node(board, number, keys[number], options.display)
    node_keys.write_key_file(keys_file, keys)  # last: a key that no board has is useless
    return keys[number].epoch
