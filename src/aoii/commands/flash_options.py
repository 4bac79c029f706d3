"""The options of what writes a board, the same for a node and a receiver."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aoii.commands.arguments import file_path, number, whole

if TYPE_CHECKING:
    from aoii.commands import board_files


@dataclass(frozen=True)
class Target:
    """Where the files go.

    Attributes:
        port: The serial port of the board; None: a person is asked, on a terminal.
        out: A folder to write into, instead of a board; None: a board.
        firmware: MicroPython's file, to be written first; None: the board has MicroPython.
        force: Whether to replace what the folder or the board has of another board.
    """

    port: str | None
    out: Path | None
    firmware: Path | None
    force: bool


def add_flash_options(parser: argparse.ArgumentParser, is_node: bool) -> None:
    """Add where the files go, what the board is, and how its radio is set."""
    where = parser.add_argument_group("the board").add_argument
    where("--port", metavar="PORT", help="serial port of the board, best by its name in /dev/serial/by-id")
    where("--firmware", type=file_path, metavar="FILE", help="first erase the board and write MicroPython's .bin file")
    where("--out", type=file_path, metavar="DIR", help="write into a new or empty folder instead, to copy it yourself")
    where("--force", action="store_true", help="replace what the folder or the board has, whosever it is")
    add_board_options(parser, is_node)


def add_board_options(parser: argparse.ArgumentParser, is_node: bool) -> None:
    """Add what the board is, and how its radio is set."""
    add = parser.add_argument_group("what it is").add_argument
    add("--board", default="ttgo-v2.1", metavar="NAME", help="heltec-v2, ttgo-v1, ttgo-v2.1 (default) or devkit")
    add("--mpy", action="store_true", help="compile with mpy-cross, so that the board wakes faster")
    if is_node:
        add("--display", action="store_true", help="show readings on an SSD1306, which uses more energy than the node")
    add = parser.add_argument_group("its radio, alike for all nodes and the receiver").add_argument
    add("--frequency", type=number(137, 1020), default=433.0, metavar="MHZ", help="default: %(default)g")
    add("--spreading", type=whole(7, 12), default=9, metavar="SF", help="spreading factor (default: %(default)s)")
    add("--bandwidth", type=number(62.5, 250), default=125.0, metavar="KHZ", help="62.5, 125 (default) or 250")
    add("--coding", type=whole(5, 8), default=5, metavar="X", help="coding rate 4/X (default: %(default)s)")
    add("--sync-word", type=whole(0, 255), default=0x12, metavar="N", help="default: %(default)s")
    add("--power", type=whole(2, 17), default=14, metavar="DBM", help="at the antenna pin (default: %(default)s)")
    duty = "duty cycle: largest share of any hour on the air (default: %(default)s, as in EU868)"
    add("--duty", type=whole(1, 1000), default=10, metavar="PERMILLE", help=duty)
    add("--listen", action="store_true", help="listen before talk, which KR920 requires")


def target_of(options: argparse.Namespace) -> Target:
    """Where the files go, by the options."""
    return Target(options.port, options.out, options.firmware, options.force)


def board_of(options: argparse.Namespace, out: Path) -> "board_files.Options":
    """What the board is, by the options.

    Args:
        options: Those of `add_board_options`.
        out: The folder for the files.
    """
    from aoii.commands import board_files
    from aoii.edge.drivers.board_radio import DEFAULT_AIR, Air

    air = Air(
        round(options.frequency * 1e6),
        options.spreading,
        round(options.bandwidth * 1000),
        options.coding,
        options.sync_word,
        DEFAULT_AIR.preamble,
        options.power,
    )
    return board_files.Options(out, options.board, air, options.duty, options.listen, options.force, options.mpy)
