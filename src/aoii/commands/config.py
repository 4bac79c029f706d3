"""`aoii config`: the options for checking the files of settings, and for bringing old ones to today's form."""

import argparse

from aoii.commands.arguments import Commands
from aoii.settings import STATIONS


def add_commands(commands: Commands) -> None:
    """Add `aoii config`."""
    config = commands.add_parser(
        "config",
        help="check the files of settings, or bring old ones to today's form",
        description="Check the files of settings, or bring old ones to today's form. `aoii setup` writes them.",
    )
    whats = config.add_subparsers(dest="what", metavar="WHAT", required=True)
    check = whats.add_parser(
        "check",
        help="read the settings as the stations would, and say what is wrong, where, and what to do",
        description="Read the settings as the stations would: the file that all share, the file of each station, and "
        "the environment. Each fault comes with its file and line, and what to do. Nothing is connected to or opened: "
        "`aoii doctor` does that. The exit code is 0 if all is right, 1 if something is wrong.",
        epilog="Example: aoii --env-file /etc/aoii/aoii.env config check gateway --show",
    )
    check.add_argument("stations", nargs="*", metavar="STATION", help=f"{', '.join(STATIONS)} (default: all)")
    check.add_argument(
        "--show", action="store_true", help="print each value in force and where it comes from; secrets are hidden"
    )
    check.set_defaults(run=_check)
    migrate = whats.add_parser(
        "migrate",
        help="bring files of settings of the older installation or of an earlier version to today's form",
        description="Bring the files of settings (.env or FILE, and .env.STATION) to today's form: keys that have "
        "another name now, keys that nothing reads any more, MYSQL_* without MYSQL_HOST, quotes and comments around "
        "values. Comments and other keys stay, and the former file is kept beside it. A second run changes nothing. "
        "This changes no database: `aoii migrate` brings the tables of the database up to date. The exit code is 1 if "
        "something is left that you have to decide.",
    )
    migrate.add_argument("--dry-run", action="store_true", help="print the changes as a diff, and write nothing")
    migrate.set_defaults(run=_migrate)


def _check(options: argparse.Namespace) -> int:
    from aoii.commands import config_actions

    return config_actions.check(options.env_file, options.stations, show=options.show)


def _migrate(options: argparse.Namespace) -> int:
    from aoii.commands import config_actions

    return config_actions.migrate(options.env_file, dry_run=options.dry_run)
