"""`aoii dlq`: the options for listing, showing, replaying and dropping dead letters."""

import argparse
from dataclasses import replace

from aoii import settings
from aoii.commands.arguments import Commands, begin_command
from aoii.core.errors import InputError
from aoii.settings import Settings

TEXT = """\
Dead letters are readings and payloads that were accepted but are in no table. They are kept until a person decides.

  store    reason         why it is there                            what to do
  server   database_away  the database was away                      nothing: the server replays it by itself
  server   bad_row        the table does not take it                 fix the table, then replay
  server   mismatch       its identity is stored with other content  erased flash, or two boards with one key:
                                                                     provision the node again, then drop
  server   malformed      it is not a message                        find the sender; replay after an upgrade, or drop
  both     corrupt        its checksum on the disk is wrong          check the disk, show, then drop
"""
REASONS = ("database_away", "bad_row", "mismatch", "malformed", "corrupt")
ID_TEXT = "as in the list: server:12, or 12 if only one store has it"


def add_commands(commands: Commands) -> None:
    """Add `aoii dlq`."""
    dlq = commands.add_parser(
        "dlq",
        help="dead letters of server and gateway: list, show, replay, drop",
        description=TEXT,
        epilog="All of it is safe while the stations run. Example: aoii dlq replay --all --reason bad_row",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = dlq.add_subparsers(dest="verb", metavar="VERB", required=True)
    listing = verbs.add_parser("list", help="print one line for each dead letter")
    listing.add_argument("--reason", choices=REASONS, help="only letters with this reason")
    listing.add_argument("--json", action="store_true", help="one JSON object a line, with the payload")
    show = verbs.add_parser("show", help="print everything about one dead letter, with its payload")
    show.add_argument("id", metavar="ID", help=ID_TEXT)
    show.add_argument("--json", action="store_true", help="one JSON object")
    replay = verbs.add_parser(
        "replay",
        help="insert dead letters again",
        description="Insert dead letters again. A letter that the database takes, or already has, leaves the dead "
        "letters; any other stays, with its new reason. Replaying twice changes nothing: a reading is one row. The "
        "exit code is 1 if a letter stays.",
    )
    drop = verbs.add_parser(
        "drop",
        help="delete dead letters, after asking; each is written to the log",
        description="Delete dead letters, after asking; each is written to the log. The database first records their "
        "numbers as retired, so that no gateway sends these readings again; while it is away, letters with a number "
        "stay. Without --reason, --all leaves out database_away: the server will insert those.",
    )
    drop.add_argument("--yes", action="store_true", help="do not ask")
    for parser in (replay, drop):
        parser.add_argument("ids", nargs="*", metavar="ID", help=ID_TEXT)
        parser.add_argument("--all", action="store_true", help="all letters that qualify")
        parser.add_argument("--reason", choices=REASONS, help="with --all: only letters with this reason")
    for parser in (listing, show, replay, drop):
        parser.add_argument("--store", choices=("server", "gateway"), help="only this store (default: both)")
        parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from aoii.commands import dlq_actions

    if options.verb in ("replay", "drop"):
        _check_choice(options)
    values = _settings(options)
    match options.verb:
        case "list":
            return dlq_actions.print_list(values, options.store, options.reason, options.json)
        case "show":
            return dlq_actions.print_letter(values, options.store, options.id, options.json)
        case "replay":
            return dlq_actions.replay_letters(values, options.store, options.ids, options.reason)
        case _:
            return dlq_actions.drop_letters(values, options.store, options.ids, options.reason, options.yes)


def _settings(options: argparse.Namespace) -> Settings:
    """The settings of the station that has the store; for both stores the gateway's part is from its own settings."""
    values = begin_command(options, options.store or "server")
    if options.store is None:
        values = replace(values, gateway=settings.load(env_file=options.env_file, station="gateway").gateway)
    return values


def _check_choice(options: argparse.Namespace) -> None:
    """Raise InputError unless the options name letters or ask for all, and not both."""
    if bool(options.ids) == options.all:
        raise InputError(f"{options.verb} needs either IDs or --all", "`aoii dlq list` shows the dead letters")
    if options.ids and options.reason:
        raise InputError("--reason goes with --all only", "leave it out, or replace the IDs by --all")
