"""One statement that both engines take: insert rows, or replace what rows of the same primary key say."""

from collections.abc import Mapping, Sequence
from functools import cache

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, sqlite


def upsert(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert rows; a row whose primary key is there already replaces the other columns of that one.

    Args:
        connection: In a transaction that writes.
        table: A table whose primary key is its only unique key.
        rows: A value for every column.
    """
    if not rows:
        return
    connection.execute(_statement(table, connection.dialect.name), rows)


@cache  # SQLAlchemy takes five times as long to make it as to execute it
def _statement(table: sa.Table, dialect: str) -> sa.Insert:
    others = [column.name for column in table.c if not column.primary_key]
    if dialect == "sqlite":
        ours = sqlite.insert(table)
        replaced = {name: ours.excluded[name] for name in others}
        return ours.on_conflict_do_update(index_elements=list(table.primary_key), set_=replaced)
    theirs = mysql.insert(table)
    return theirs.on_duplicate_key_update({name: theirs.inserted[name] for name in others})
