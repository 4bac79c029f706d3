"""The versions of our tables, as Alembic migrations; `server/tables.py` runs them under a lock."""

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
        connection: A connection in a transaction, which the caller commits. MySQL commits each step by itself anyway.

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
