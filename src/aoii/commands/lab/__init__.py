"""`aoii lab`: replay, pretrain, report and airtime; each has a file, and imports its libraries when it runs."""

from aoii.commands.arguments import Commands
from aoii.commands.lab import airtime, pretrain, replay, report


def add_commands(commands: Commands) -> None:
    """Add `aoii lab` and its commands."""
    lab = commands.add_parser(
        "lab",
        help="replay recordings through policies, pre-train, compute airtime, write the report",
        description="For researchers: measure on recordings what learning on the node is worth.",
    )
    names = lab.add_subparsers(dest="lab_command", metavar="COMMAND", required=True)
    for command in (replay, pretrain, report, airtime):
        command.add_parser(names)
