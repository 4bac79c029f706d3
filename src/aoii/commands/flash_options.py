"""The options of what writes a board, the same for a node and a receiver."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aoii import settings
from aoii.commands.arguments import file_path, number, whole
from aoii.settings.regions import REGIONS

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
    region = "where the board is used (default: RADIO_REGION); sets frequency, power, duty cycle and listening"
    add("--region", choices=REGIONS, help=region)
    add("--frequency", type=number(137, 1020), metavar="MHZ", help="default: the region's")
    add("--spreading", type=whole(7, 12), metavar="SF", help="spreading factor (default: RADIO_SPREADING)")
    add("--bandwidth", type=number(62.5, 250), default=125.0, metavar="KHZ", help="62.5, 125 (default) or 250")
    add("--coding", type=whole(5, 8), default=5, metavar="X", help="coding rate 4/X (default: %(default)s)")
    add("--sync-word", type=whole(0, 255), default=0x12, metavar="N", help="default: %(default)s")
    add("--power", type=whole(2, 17), metavar="DBM", help="at the antenna pin (default: the region's)")
    duty = "duty cycle: largest share of any hour on the air (default: the region's)"
    add("--duty", type=whole(1, 1000), metavar="PERMILLE", help=duty)
    listen = "listen before talk, which KR920 requires (default: the region's)"
    add("--listen", action=argparse.BooleanOptionalAction, help=listen)


def target_of(options: argparse.Namespace) -> Target:
    """Where the files go, by the options."""
    return Target(options.port, options.out, options.firmware, options.force)


def board_of(options: argparse.Namespace, out: Path) -> "board_files.Options":
    """What the board is, by the options and, where they say nothing, by the gateway's settings.

    Args:
        options: Those of `add_board_options`.
        out: The folder for the files.
    """
    from aoii.commands import board_files
    from aoii.edge.drivers.board_radio import DEFAULT_AIR, Air

    gateway = settings.load(env_file=options.env_file, station="gateway").gateway
    region = REGIONS[options.region or gateway.region]
    air = Air(
        round((options.frequency or region.frequency_mhz) * 1e6),
        options.spreading or gateway.spreading,
        round(options.bandwidth * 1000),
        options.coding,
        options.sync_word,
        DEFAULT_AIR.preamble,
        options.power or region.power_dbm,
    )
    duty = options.duty or region.duty_permille
    listens = region.listens if options.listen is None else options.listen
    return board_files.Options(out, options.board, air, duty, listens, options.force, options.mpy)
