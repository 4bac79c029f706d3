"""`aoii ledger`: the options for counting what became of every number of every node."""

import argparse

from aoii.commands.arguments import Commands, begin_command

TEXT = """\
A node numbers its readings from 1 on, in each epoch. The ledger says what became of each number, in exactly one part:

  stored        it is a row of the database
  dead letters  it is a dead letter: see `aoii dlq`
  void          the node proved that no reading with it was ever acknowledged: nothing is missing
  waiting       nothing accounts for it yet: on its way, or not looked for yet; the server asks for it by itself
  open          the server has asked for it, and is waiting for an answer
  unknown       nobody can say whether there was a reading
  lost          a gateway once had the reading, and nobody has it now
  retired       removed on purpose, with `aoii retire` or `aoii dlq drop`

The sum of the parts must be the number of numbers: then the ledger is balanced. If it is not, the tables contradict
themselves. Readings without node and number, as from the older installation, are not in it.

Exit code: 0 balanced and nothing open; 1 not balanced, or something is open; 2 it could not be counted.
"""
EXAMPLES = """\
Nothing is changed. Ten million rows take 15 to 30 s.

  aoii ledger                     one line for each node and epoch
  aoii ledger --node 7 --days     node 7, one line a day: when was it that readings were lost?
  aoii ledger --csv > ledger.csv  for a spreadsheet
"""


def add_commands(commands: Commands) -> None:
    """Add `aoii ledger`."""
    ledger = commands.add_parser(
        "ledger",
        help="what became of every number of every node: stored, waiting, lost, ...",
        description=TEXT,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    ledger.add_argument("--node", metavar="NAME", help="only this node")
    days = "one line for each day on which a node sampled, UTC; a number without a row counts for the next row's day"
    ledger.add_argument("--days", action="store_true", help=days)
    form = ledger.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object a line")
    form.add_argument("--csv", action="store_true", help="CSV with a header")
    ledger.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from aoii.commands import ledger_actions

    form: ledger_actions.Form = "json" if options.json else "csv" if options.csv else "table"
    return ledger_actions.print_ledger(begin_command(options, "server"), options.node, options.days, form)
