"""Alembic's entry point: runs the versions on the connection that `server/tables.py` holds, under its lock."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
