"""The steps of migrations; a step that has been done already does nothing.

MySQL commits every DDL statement by itself, so a migration that was interrupted is simply run again. The same steps
take over tables of the older installation: they add what is missing and change no existing column or row.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql


def datetime(digits: int) -> sa.DateTime:
    """DATETIME with so many decimals of a second; SQLite keeps all of them."""
    return sa.DateTime().with_variant(mysql.DATETIME(fsp=digits), "mysql", "mariadb")


def name(length: int) -> sa.String:
    """Text that both engines compare byte by byte: `a` and `A` are two nodes."""
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return sa.String(length).with_variant(exact, "mysql", "mariadb")


def create_table(table: str, *columns: sa.Column[Any]) -> None:
    """Create `table`, or add the columns that it lacks."""
    if table not in _inspector().get_table_names():
        op.create_table(table, *columns, mysql_engine="InnoDB", mysql_charset="utf8mb4")
        return
    add_columns(table, *columns)


def add_columns(table: str, *columns: sa.Column[Any]) -> None:
    """Add the columns that `table` lacks, as NULL in its rows: what was not written is not known."""
    present = {column["name"] for column in _inspector().get_columns(table)}
    for column in columns:
        if column.name not in present:
            column.nullable = True
            op.add_column(table, column)


def make_optional(table: str, column: str) -> None:
    """Let a column be NULL; it keeps its type, because a FLOAT that becomes a DOUBLE gets other digits."""
    found = next(each for each in _inspector().get_columns(table) if each["name"] == column)
    if not found["nullable"]:
        op.alter_column(table, column, existing_type=found["type"], nullable=True)


def create_older_index(index: str, table: str, column: str) -> None:
    """Create an index of the older installation, unless one on this column exists.

    In SQLite, where two tables cannot have indexes of one name, it is called after its table.
    """
    if not any(present["column_names"] == [column] for present in _inspector().get_indexes(table)):
        op.create_index(index if is_mysql() else f"{table}_{column}", table, [column])


def is_mysql() -> bool:
    """Whether the tables are in MySQL or MariaDB."""
    return op.get_bind().dialect.name in ("mysql", "mariadb")


def create_index(index: str, table: str, *columns: str, unique: bool = False) -> None:
    """Create an index unless one of that name exists."""
    if index not in {present["name"] for present in _inspector().get_indexes(table)}:
        op.create_index(index, table, list(columns), unique=unique)


def set_mark(name: str, query: str) -> None:
    """Set a mark to what a query says, unless it is set."""
    marks = sa.table("marks", sa.column("name"), sa.column("value"))
    if op.get_bind().execute(sa.select(marks.c.value).where(marks.c.name == name)).first() is None:
        op.get_bind().execute(sa.insert(marks).values(name=name, value=sa.text(f"({query})")))


def _inspector() -> sa.Inspector:
    return sa.inspect(op.get_bind())  # a new one each time, because an inspector caches what it has seen
