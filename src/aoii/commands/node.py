"""`aoii node`: the options for a node's life: add, flash, list, rename, replace, retire."""

import argparse
from collections.abc import Callable

from aoii.commands.arguments import Commands, file_path, keep_old_name, output_file, whole
from aoii.commands.flash_options import Target, add_flash_options, board_of, target_of

SIXTEEN_BITS = whole(0, 65535)  # what a frame has for the number of a node, and for its epoch
TEXT = """\
Add a node, write its board, name it, put another board in its place, or let it go.

A node is its number: frames, tables and topics have that. Its name and its place are labels for people; they can
change at any time, and the readings stay together. NODE is a number or a name. The changes go into NODE_KEYS_FILE and
NODES_FILE, which a running gateway reads by itself. Run this on the gateway's machine, as the gateway's user.
"""
EXAMPLES = """\
A board in hand becomes a node that runs:

  aoii node add --name Greenhouse --place "row 3" --port /dev/ttyUSB1 --firmware ESP32_GENERIC-v1.27.0.bin

The same in steps:

  aoii node add --name Greenhouse      the next free number, and a key
  aoii node flash Greenhouse           asks for the port, writes the files, and reads them back
  aoii node label Greenhouse --svg greenhouse.svg
"""
ADD = """\
Add a node: give it a number and a key, which the running gateway knows at once. With --port or --out its board's files
are written too.
"""
FLASH = """\
Write the files of a node, with its key, onto a board with mpremote, read them back, and start it. With --firmware
esptool first erases the board and writes MicroPython. Without --port you choose from the ports that are there.

A node that sleeps does not answer: press its reset button when you are asked to.
"""
REPLACE = """\
Put another board in the place of a node's, or give its board a new key because somebody may know the old one. Number,
name and readings stay; the epoch is the next one, and the key is new. The gateway accepts the old key until it gets a
packet with the new one, and never again after it.
"""


def add_commands(commands: Commands) -> None:
    """Add `aoii node`."""
    node = commands.add_parser(
        "node",
        help="nodes: add, flash, list, rename, replace, retire, and a label to print",
        description=TEXT,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whats = node.add_subparsers(dest="what", metavar="WHAT", required=True)

    add = _command(whats, "add", _add, "give a new node a number, a key and a name", ADD)
    number = "its number (default: the next one that no node has or had)"
    add.add_argument("node", nargs="?", type=SIXTEEN_BITS, metavar="NUMBER", help=number)
    _add_labels(add)
    epoch = "its epoch (default: 1; for a number that is used again, one more than its last)"
    add.add_argument("--epoch", type=SIXTEEN_BITS, metavar="N", help=epoch)
    add.add_argument("--again", action="store_true", help="use the number of a retired node again")
    add_flash_options(add, is_node=True)

    flash = _command(whats, "flash", _flash, "write a node's program and key onto a board", FLASH)
    _add_node(flash)
    add_flash_options(flash, is_node=True)

    listing = _command(whats, "list", _list, "list nodes with their names, keys, and whether they are heard")
    listing.add_argument("--json", action="store_true", help="a JSON array, for programs")

    rename = _command(whats, "rename", _rename, "change a node's name or place; its readings stay together")
    _add_node(rename, "its number, its name, or the identity of a node with the old firmware")
    _add_labels(rename)

    replacing = _command(whats, "replace", _replace, "another board, or a new key, under the same number", REPLACE)
    _add_node(replacing)
    add_flash_options(replacing, is_node=True)

    finish = _command(whats, "finish-rotation", _finish, "delete the old key of a node that was replaced")
    _add_node(finish)

    retire = _command(whats, "retire", _retire, "delete a node's key; its packets are rejected from then on")
    _add_node(retire)

    label = _command(whats, "label", _label, "print a label with number, name and QR code; never a key")
    _add_node(label)
    label.add_argument("--svg", type=output_file, metavar="FILE", help="write it as SVG, 60 mm wide, for a sticker")

    _add_old_names(commands, whats)


def _command(
    whats: Commands, name: str, run: Callable[[argparse.Namespace], int], text: str, description: str = ""
) -> argparse.ArgumentParser:
    command = whats.add_parser(name, help=text, description=description or f"{text[0].upper()}{text[1:]}.")
    command.set_defaults(run=run)
    return command


def _add_node(parser: argparse.ArgumentParser, text: str = "its number or its name") -> None:
    parser.add_argument("node", metavar="NODE", help=text)


def _add_labels(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", metavar="NAME", help="what people call it; no other node may have the same name")
    parser.add_argument("--place", metavar="PLACE", help="where it is")


def _add_old_names(commands: Commands, whats: Commands) -> None:
    """Add `aoii keys`, which `aoii node` has replaced; help does not list it, and it goes with the next release."""
    keys = commands.add_parser("keys").add_subparsers(dest="what", metavar="WHAT", required=True)
    for old, new in (
        ("list", "list"),
        ("add", "add"),
        ("rotate", "replace"),
        ("finish-rotation", "finish-rotation"),
        ("settle", "finish-rotation"),
        ("retire", "retire"),
    ):
        keep_old_name(keys, old, new, among=whats)


def _add(options: argparse.Namespace) -> int:
    from aoii.commands import node_actions

    target = _checked(options)
    node = node_actions.add(options.env_file, options.node, options.epoch, options.again, options.name, options.place)
    return _flash_next(options, node, target)


def _replace(options: argparse.Namespace) -> int:
    from aoii.commands import node_actions

    target = _checked(options)
    return _flash_next(options, node_actions.replace_node(options.env_file, options.node), target)


def _checked(options: argparse.Namespace) -> Target | None:
    """Where the files go, checked before a key is made; None if no board is to be written now."""
    from aoii.commands import flash_actions

    target = target_of(options)
    is_wanted = target.port is not None or target.out is not None or target.firmware is not None
    return flash_actions.check(target, board_of(options, file_path("."))) if is_wanted else None


def _flash_next(options: argparse.Namespace, node: str, target: Target | None) -> int:
    """Write the node's board now if one is named, else say how."""
    from aoii.commands import node_actions

    if target is None:
        print(f"next, with its board plugged in: aoii node flash {node}")
    else:
        node_actions.flash(options.env_file, node, target, board_of(options, file_path(".")), options.display)
    return 0


def _flash(options: argparse.Namespace) -> int:
    from aoii.commands import node_actions

    board = board_of(options, file_path("."))
    node_actions.flash(options.env_file, options.node, target_of(options), board, options.display)
    return 0


def _list(options: argparse.Namespace) -> int:
    from aoii.commands import node_list

    node_list.print_nodes(options.env_file, options.json)
    return 0


def _rename(options: argparse.Namespace) -> int:
    from aoii.commands import node_actions

    node_actions.rename(options.env_file, options.node, options.name, options.place)
    return 0


def _finish(options: argparse.Namespace) -> int:
    from aoii.commands import node_actions

    node_actions.finish_rotation(options.env_file, options.node)
    return 0


def _retire(options: argparse.Namespace) -> int:
    from aoii.commands import node_actions

    node_actions.retire(options.env_file, options.node)
    return 0


def _label(options: argparse.Namespace) -> int:
    from aoii.commands import node_sticker

    node_sticker.print_label(options.env_file, options.node, options.svg)
    return 0
