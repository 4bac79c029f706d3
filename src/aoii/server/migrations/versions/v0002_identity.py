"""Version 2 of the tables: identity and event time of every reading; NULL in rows of the older installation."""

import sqlalchemy as sa

from aoii.server.migrations import steps

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add our columns, the unique identity and the indexes of the page's queries."""
    steps.add_columns(
        "readings",
        sa.Column("gateway", steps.name(64), nullable=True),
        sa.Column("node", steps.name(128), nullable=True),
        sa.Column("epoch", sa.BigInteger(), nullable=True),
        sa.Column("counter", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.String(16), nullable=True),
        sa.Column("event_time", steps.datetime(3), nullable=True),
        sa.Column("clock_synced", sa.Boolean(), nullable=True),
        sa.Column("digest", sa.CHAR(16), nullable=True),
    )
    steps.create_index("readings_identity", "readings", "node", "epoch", "counter", unique=True)
    steps.create_index("readings_node_event_time", "readings", "node", "event_time")
    steps.create_index("readings_event_time", "readings", "event_time")
    steps.add_columns(
        "edge_log",
        sa.Column("node", steps.name(128), nullable=True),
        sa.Column("event_time", steps.datetime(3), nullable=True),
    )
    steps.create_index("edge_log_node_event_time", "edge_log", "node", "event_time")
