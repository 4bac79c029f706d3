"""`aoii lab replay | pretrain | report | airtime`: one file a command, which imports its libraries when it runs."""

import argparse

from aoii.commands.lab import airtime, pretrain, replay, report


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the lab's commands to a parser; each sets `run`, a callable from options to exit code."""
    commands = parser.add_subparsers(dest="lab_command", metavar="COMMAND", required=True)
    for command in (replay, pretrain, report, airtime):
        command.add_parser(commands)
