"""Version 4 of the tables: what accounts for the numbers that have no row, and what each gateway says it has.

Nothing is computed here from the rows that exist, however many there are: the first audit finds their holes. It must
know which of them are older than itself, because no gateway and no node kept anything then.
"""

import sqlalchemy as sa

from aoii.server.migrations import steps

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the tables of the ledger and of the audit, and mark the rows that are older; no other table is changed."""
    steps.create_table(
        "gaps",
        *_of_node(),
        sa.Column("first", sa.BigInteger(), primary_key=True),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("detail", sa.String(200), nullable=False),
        sa.Column("found_at", steps.datetime(3), nullable=False),
    )
    steps.create_table(
        "floors",
        *_of_node(),
        sa.Column("floor", sa.BigInteger(), nullable=False),
        sa.Column("raised_at", steps.datetime(3), nullable=False),
    )
    steps.create_table(
        "gateway_files",
        sa.Column("gateway", steps.name(64), primary_key=True),
        sa.Column("file", sa.CHAR(16), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("reported_at", steps.datetime(3), nullable=False),
    )
    steps.create_table(
        "gateway_numbers",
        sa.Column("gateway", steps.name(64), primary_key=True),
        *_of_node(),
        sa.Column("low", sa.BigInteger(), nullable=False),
        sa.Column("high", sa.BigInteger(), nullable=False),
        sa.Column("waiting", sa.BigInteger(), nullable=False),
    )
    steps.create_table(
        "audits",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("is_full", sa.Boolean(), nullable=False),
        sa.Column("asked_at", steps.datetime(3), nullable=False),
        sa.Column("started_at", steps.datetime(3), nullable=True),
        sa.Column("finished_at", steps.datetime(3), nullable=True),
        sa.Column("counts", sa.String(2000), nullable=True),
    )
    steps.create_table(
        "marks",
        sa.Column("name", steps.name(64), primary_key=True),
        sa.Column("value", sa.BigInteger(), nullable=False),
    )
    steps.set_mark("rows_before_audit", "SELECT coalesce(max(id), 0) FROM readings")


def _of_node() -> tuple[sa.Column[str], sa.Column[int]]:
    """The beginning of a primary key: a node and an epoch."""
    return (
        sa.Column("node", steps.name(128), primary_key=True),
        sa.Column("epoch", sa.BigInteger(), primary_key=True, autoincrement=False),
    )
