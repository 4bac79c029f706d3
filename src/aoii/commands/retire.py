"""`aoii retire`: the options for letting a node's numbers go, for retention and for nodes that are gone."""

import argparse

from aoii.commands.arguments import Commands, begin_command, number, whole
from aoii.core.errors import InputError

BIGGEST = 2**63 - 1  # that a column has room for
TEXT = """\
Retire the lowest numbers of a node: nobody looks for them any more, and with --delete their rows are deleted.

Rows that are deleted in any other way leave holes, and the gateways send what they still have of these readings
again. This command first raises the node's floor in the database: up to it every number is retired, the server asks
nobody for it, and acknowledges a late copy without storing it. A floor never falls.

What it will do is shown, and asked for.
"""
EXAMPLES = """\
It is safe while the stations run, and when interrupted: run it again. --delete needs a database user who may delete
readings; in the guides that is aoii_admin.

  aoii retire --older-than 730 --delete --yes  retention: rows that are older than two years, of all nodes
  aoii retire --node 7 --all                   node 7 is gone: nothing of it is missed any more, its rows stay
  aoii retire --node 7 --epoch 1 --before 500  numbers up to 499, whatever became of them
"""


def add_commands(commands: Commands) -> None:
    """Add `aoii retire`."""
    retire = commands.add_parser(
        "retire",
        help="let the oldest readings go, by time or by number: retention, nodes that are gone",
        description=TEXT,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = retire.add_argument
    add("--node", metavar="NAME", help="only this node; needed for --before and --all")
    add("--epoch", type=whole(0, BIGGEST), metavar="N", help="only this epoch of the node")
    what = retire.add_mutually_exclusive_group(required=True)
    before = "numbers below this one; at most one more than the highest that is known"
    what.add_argument("--before", type=whole(0, BIGGEST), metavar="NUMBER", help=before)
    what.add_argument("--all", action="store_true", help="all numbers that are known now")
    older = "numbers up to the last row that is older, of those below every younger row"
    what.add_argument("--older-than", type=number(0, 36_500), metavar="DAYS", help=older)
    add("--delete", action="store_true", help="also delete the rows of all retired numbers, in short transactions")
    add("--yes", action="store_true", help="do not ask")
    retire.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from aoii.commands import retire_actions
    from aoii.commands.retire_actions import Wish

    if options.node is None and (options.older_than is None or options.epoch is not None):
        raise InputError("--before, --all and --epoch are about one node", "add --node; `aoii ledger` lists the nodes")
    wish = Wish(options.node, options.epoch, options.before, options.older_than, options.delete)
    return retire_actions.retire(begin_command(options, "server"), wish, options.yes)
