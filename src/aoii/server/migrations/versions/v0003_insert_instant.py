"""Version 3 of the tables: the instant of insert in UTC, and what tables of the older installation have.

The errors in `edge_log` lose the sign that versions 0.1 and 0.2 gave them: the older installation's rows have none.
"""

import sqlalchemy as sa
from alembic import op

from aoii.server.migrations import steps

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the instant, make columns that the older installation leaves out optional, and add its indexes."""
    for table in ("readings", "edge_log"):
        steps.add_columns(table, sa.Column("created_utc", steps.datetime(6), nullable=True))
        steps.create_older_index("idx_created_at", table, "created_at")
    steps.create_older_index("idx_triggered", "edge_log", "triggered")
    steps.create_older_index("idx_status", "edge_log", "status")
    op.execute(
        "UPDATE edge_log SET error_temp = ABS(error_temp), error_humidity = ABS(error_humidity) "
        "WHERE error_temp < 0 OR error_humidity < 0"
    )
    if steps.is_mysql():  # the older installation never wrote to SQLite
        steps.make_optional("edge_log", "error_humidity")
        steps.make_optional("edge_log", "status")
        # Until version 2 the oldest rows, which lack both columns, got '' and 0; no status that was logged is empty.
        op.execute("UPDATE edge_log SET status = NULL, error_humidity = NULL WHERE status = '' AND error_humidity = 0")
