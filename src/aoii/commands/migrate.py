"""`aoii migrate`: make the database's tables, or bring them up to date."""

import argparse
import contextlib

from aoii.commands.arguments import Commands, begin_command


def add_commands(commands: Commands) -> None:
    """Add `aoii migrate`."""
    migrate = commands.add_parser(
        "migrate",
        help="create the database's tables or bring them up to date",
        description="Create the database's tables or bring them up to date. `aoii server` does this itself if its "
        "database user may; with least privileges, run this command as another database user. This changes no "
        "settings: `aoii config migrate` brings old files of settings to today's form.",
    )
    migrate.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from aoii.server.db import open_database

    with contextlib.closing(open_database(begin_command(options, "server").database, migrate=True)) as database:
        database.ping()
        print(f"database {database.place}: the tables are up to date")
    return 0
