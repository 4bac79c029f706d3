"""The command line: gathers the commands, runs one, and turns its errors into exit codes.

Each command has a file of its own, which imports a station or a library only when the command runs.

Exit codes: 0 done; 1 it ran, but something failed or is left to do; 2 it could not do its work, and the message
says why and what to do; 130 interrupted by Ctrl-C.
"""

import argparse
import logging
import os
import sys

from aoii import __version__
from aoii.commands import (
    audit,
    backup,
    board,
    certs,
    config,
    demo,
    dlq,
    export,
    health,
    lab,
    ledger,
    migrate,
    node,
    receiver,
    retire,
    setup,
    stations,
)
from aoii.commands.arguments import file_path
from aoii.core.errors import AoiiError
from aoii.runtime import advice

PRINTING = {
    "audit",
    "backup",
    "board",
    "certs",
    "config",
    "dlq",
    "doctor",
    "health",
    "keys",
    "ledger",
    "node",
    "receiver",
    "restore",
    "setup",
}  # their output may be piped into `head`


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = build_parser().parse_args(arguments)
    try:
        code = int(options.run(options))
        if options.command in PRINTING:
            sys.stdout.flush()
    except AoiiError as error:
        print(f"aoii {options.command}: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if options.command != "lab":
            raise
        remedy = f"{advice.install_lab()} installs what the lab needs"
        print(f"aoii lab: {error.name} is not installed; {remedy}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        if options.command not in PRINTING:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it exits
        return 1
    except KeyboardInterrupt:
        return 130
    else:
        return code


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="aoii",
        description="Sensor nodes that send only when the gateway's estimate is wrong, and nothing lost on the way to "
        "the database.",
        epilog="Every station reads its settings from .env in the working directory, or from FILE, and then from a "
        "file of its own beside it, if there is one: `aoii --env-file FILE gateway` also reads FILE.gateway. This file "
        "overrides the one that all stations share; environment variables override both. "
        f"See {advice.document('docs/reference/settings.md')}.",
    )
    parser.add_argument("--version", action="version", version=f"aoii {__version__}")
    env_file = "read settings from FILE instead of .env, and those of one station only from FILE.STATION"
    parser.add_argument("--env-file", type=file_path, metavar="FILE", help=env_file)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in (
        demo,
        stations,
        setup,
        config,
        health,
        export,
        audit,
        ledger,
        retire,
        dlq,
        backup,
        node,
        receiver,
        board,
        migrate,
        certs,
    ):
        command.add_commands(commands)
    doctor = commands.add_parser(  # here, so that other commands do not import what doctor.py imports
        "doctor",
        help="check settings, serial port, broker, database, clock and disk, and say what to fix",
        description="Check settings, serial port, broker, database, clock and disk, whether what was acknowledged "
        "outlives a power cut, and what has a copy; say what to fix. A line with -- is no fault. "
        "The exit code is 1 if anything failed.",
    )
    doctor.set_defaults(run=_doctor)
    lab.add_commands(commands)
    return parser


def _doctor(options: argparse.Namespace) -> int:
    from aoii.commands import doctor

    logging.getLogger().addHandler(logging.NullHandler())  # the findings already say what the MQTT client would log
    return doctor.run(options.env_file)
