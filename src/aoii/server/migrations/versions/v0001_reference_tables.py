"""Version 1 of the tables: those of the older installation, as it made them."""

import sqlalchemy as sa

from aoii.server.migrations import steps

revision = "0001"
down_revision = None


def _measured() -> list[sa.Column[float]]:
    names = ("actual_temp", "actual_humidity", "pred_temp", "pred_humidity", "error_temp", "error_humidity")
    return [sa.Column(name, sa.Double(), nullable=False) for name in names]


def upgrade() -> None:
    """Create `readings` and `edge_log`, or complete what is there."""
    steps.create_table(
        "readings",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("created_at", steps.datetime(6), nullable=False),
        *_measured(),
        sa.Column("transmission_delay_ms", sa.Integer(), nullable=True),
    )
    steps.create_table(
        "edge_log",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("created_at", steps.datetime(6), nullable=False),
        *_measured()[:-1],
        sa.Column("error_humidity", sa.Double(), nullable=True),
        sa.Column("triggered", sa.SmallInteger(), nullable=False),
        sa.Column("status", sa.String(32), nullable=True),
        sa.Column("inference_time_us", sa.Integer(), nullable=True),
        sa.Column("free_heap", sa.Integer(), nullable=True),
        sa.Column("total_heap", sa.Integer(), nullable=True),
    )
