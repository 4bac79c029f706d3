"""`aoii board`: the options for the files of a node or a receiver."""

import argparse

from aoii import settings
from aoii.commands.arguments import Commands, file_path, number, whole
from aoii.settings.regions import REGIONS


def add_commands(commands: Commands) -> None:
    """Add `aoii board`."""
    board = commands.add_parser(
        "board",
        help="write the files of a node or receiver, ready to copy to an ESP32",
        description="Write the files of one board and, for a node, its key, which a running gateway reads by itself.",
        epilog="Example: aoii board node --node 7 --out node-7 --board heltec-v2",
    )
    kinds = board.add_subparsers(dest="kind", metavar="KIND", required=True)
    node_text = "a node with AHT20 and SX127x"
    node = kinds.add_parser("node", help=node_text, description=f"Write the files of {node_text}.")
    add = node.add_argument
    add("--node", type=whole(0, 65535), required=True, metavar="N", help="number of the node")
    add("--keys", type=file_path, metavar="FILE", help="the gateway's key file (default: NODE_KEYS_FILE)")
    add("--display", action="store_true", help="show readings on an SSD1306, which uses more energy than the node")
    receiver_text = "the SX127x receiver on the gateway's USB port"
    receiver = kinds.add_parser("receiver", help=receiver_text, description=f"Write the files of {receiver_text}.")
    for kind in (node, receiver):
        _add_board_options(kind)
        kind.set_defaults(run=_run)


def _add_board_options(parser: argparse.ArgumentParser) -> None:
    """Add what node and receiver have in common."""
    add = parser.add_argument
    add("--out", type=file_path, required=True, metavar="DIR", help="folder for the files; new or empty")
    add("--board", default="ttgo-v2.1", metavar="NAME", help="heltec-v2, ttgo-v1, ttgo-v2.1 (default) or devkit")
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
    add("--mpy", action="store_true", help="compile with mpy-cross, so that the board wakes faster")
    add("--force", action="store_true", help="replace the files, and give a known node a new epoch and key")


def _run(options: argparse.Namespace) -> int:
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
    chosen = board_files.Options(options.out, options.board, air, duty, listens, options.force, options.mpy)
    if options.kind == "receiver":
        board_files.make_receiver(chosen)
        print(f"The receiver's files are in {options.out}.")
    else:
        keys_file = options.keys or gateway.node_keys_file
        key = board_files.make_node(chosen, options.node, keys_file, options.display)
        print(f"The files of node {options.node} (epoch {key.epoch}) are in {options.out}, its key is in {keys_file}.")
    print("Copy them to the board, with its serial port for PORT:")
    print("\n".join(f"  {command}" for command in board_files.copy_commands(options.out)))
    return 0
