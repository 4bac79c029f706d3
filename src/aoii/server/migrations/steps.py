"""Steps that a migration is made of; each looks first and does nothing when it has been done.

MySQL commits every DDL statement by itself, so a migration that was cut off halfway is simply run again. The same steps
take over tables that the reference system made: they add what is missing and touch no column or row that is there.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql


def datetime(digits: int) -> sa.DateTime:
    """DATETIME with this many digits below the second (SQLite keeps all of them)."""
    return sa.DateTime().with_variant(mysql.DATETIME(fsp=digits), "mysql", "mariadb")


def name(length: int) -> sa.String:
    """Text compared byte by byte on both engines: nodes `a` and `A` are two nodes."""
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return sa.String(length).with_variant(exact, "mysql", "mariadb")


def create_table(table: str, *columns: sa.Column[Any]) -> None:
    """Create `table`, or add those of `columns` that an existing one lacks."""
    if table not in _look().get_table_names():
        op.create_table(table, *columns, mysql_engine="InnoDB", mysql_charset="utf8mb4")
        return
    add_columns(table, *columns)


def add_columns(table: str, *columns: sa.Column[Any]) -> None:
    """Add those of `columns` that `table` lacks."""
    present = {column["name"] for column in _look().get_columns(table)}
    for column in columns:
        if column.name not in present:
            op.add_column(table, column)


def create_index(index: str, table: str, *columns: str, unique: bool = False) -> None:
    """Create an index unless one of that name exists."""
    if index not in {present["name"] for present in _look().get_indexes(table)}:
        op.create_index(index, table, list(columns), unique=unique)


def _look() -> sa.Inspector:
    return sa.inspect(op.get_bind())  # a new inspector each time: it caches what it has seen
