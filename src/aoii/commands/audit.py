"""`aoii audit`: the options for asking a running server to look for holes in its table."""

import argparse

from aoii.commands.arguments import Commands, begin_command
from aoii.core.errors import InputError

TEXT = """\
The server looks for numbers without a row by itself: what is new every ten minutes, every row once a day, when it
starts and when the database was away. This command has it look now, and says what was found and what became of it.

  mended    it is in the table again: a gateway had kept it
  open      it is being asked for; with the next packets of the nodes, if the gateways do not have it
  void      no reading with this number was ever acknowledged: nothing is missing
  unknown   everybody was asked, and nobody can say whether there was a reading
  lost      a gateway once had the reading, and nobody has it now

Exit code: 0 nothing is missing; 1 something is open, or was found unknown or lost, or a gateway has not answered and
what it holds is not known; 2 there was no audit.
"""
EXAMPLES = """\
An audit takes half a minute, and as long as readings come back. Repeating it does no harm.

  aoii audit           after a restore of the database, or after a disk was lost
  aoii audit --full    look at every row: ten million take about 20 s
  aoii audit --accept  count what nobody can fill as known lost, so that nobody is asked for it any more; a reading
                       that comes after all is stored nevertheless
"""


def add_commands(commands: Commands) -> None:
    """Add `aoii audit`."""
    audit = commands.add_parser(
        "audit",
        help="have the server look for missing readings, and get them back",
        description=TEXT,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    audit.add_argument("--full", action="store_true", help="look at every row, not only at what is new")
    audit.add_argument(
        "--wait", action=argparse.BooleanOptionalAction, default=True, help="wait for the end (default), or only ask"
    )
    audit.add_argument(
        "--accept", action="store_true", help="afterwards, record what is open or unknown as lost, in all nodes"
    )
    audit.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from aoii.commands import audit_actions

    if options.accept and not options.wait:
        raise InputError("--accept needs the end of the audit", "leave out --no-wait")
    return audit_actions.audit(begin_command(options, "server"), options.full, options.wait, options.accept)
