"""`aoii receiver`: the options for the board on the gateway's serial port."""

import argparse

from aoii.commands.arguments import Commands, file_path
from aoii.commands.flash_options import add_flash_options, board_of, target_of
from aoii.core.errors import InputError

TEXT = """\
Write the files of the SX127x receiver onto a board with mpremote, read them back, and start it. With --firmware esptool
first erases the board and writes MicroPython. Without --port you choose from the ports that are there. A receiver in
use is at a port that its gateway has open: stop the gateway first.
"""


def add_commands(commands: Commands) -> None:
    """Add `aoii receiver`."""
    receiver = commands.add_parser(
        "receiver",
        help="the receiver on the gateway's USB port: flash",
        description="Write the board that listens to the nodes, on the gateway's USB port.",
        epilog="Example: aoii receiver flash --port /dev/ttyUSB0 --board heltec-v2",
    )
    whats = receiver.add_subparsers(dest="what", metavar="WHAT", required=True)
    flash = whats.add_parser("flash", help="write the receiver's program onto a board", description=TEXT)
    add_flash_options(flash, is_node=False)
    flash.set_defaults(run=_flash)


def _flash(options: argparse.Namespace) -> int:
    from aoii.commands import board_files, flash_actions
    from aoii.commands.board_flash import OnBoard

    def check_board(found: OnBoard) -> None:
        if found.role == "node" and not options.force:
            raise InputError(f"the board at this port is node {found.node}", "take the right board, or say --force")

    target, board = target_of(options), board_of(options, file_path("."))
    target = flash_actions.check(target, board)
    flash_actions.flash(target, board, board_files.write_receiver, check_board, lambda: None)
    return 0
