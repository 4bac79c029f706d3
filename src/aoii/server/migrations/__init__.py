"""The history of our tables as Alembic versions; `server/tables.py` runs it, under its lock."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection


def upgrade(connection: Connection) -> tuple[str | None, str | None]:
    """Bring the tables to the newest version; return the versions before (None: no tables of ours) and after.

    Args:
        connection: In a transaction that the caller commits. MySQL commits each step by itself anyway.

    Raises:
        LookupError: The tables have a version that this code does not know.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    before = MigrationContext.configure(connection).get_current_revision()
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise LookupError(str(error)) from error
    return before, ScriptDirectory.from_config(config).get_current_head()
