"""Alembic's entry point: runs the migrations on the connection with which `server/tables.py` locks them."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
