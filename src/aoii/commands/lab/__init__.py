"""`aoii lab`: replay, convert, pretrain, report and airtime; each in a file that imports its libraries when it runs."""

from aoii.commands.arguments import Commands
from aoii.commands.lab import airtime, convert, pretrain, replay, report


def add_commands(commands: Commands) -> None:
    """Add `aoii lab` and its commands."""
    lab = commands.add_parser(
        "lab",
        help="replay recordings through policies, convert them, pre-train, compute airtime, write the report",
        description="For researchers: measure on recordings what learning on the node is worth.",
    )
    names = lab.add_subparsers(dest="lab_command", metavar="COMMAND", required=True)
    for command in (replay, convert, pretrain, report, airtime):
        command.add_parser(names)
