"""Readings into the table, whatever some of them are: bad rows are found by halving, conflicts are tried again."""

from collections.abc import Sequence

from aoii.broker.messages import Reading
from aoii.runtime import metrics
from aoii.server.db import BadRow, Database, DatabaseAway, Outcome
from aoii.server.ingest import Fate

CONFLICT_REPLAYS = 3  # a deadlock or a lock: the whole batch again at once, which usually succeeds


def insert(database: Database, rows: Sequence[Reading], fates: list[Fate | None], details: dict[int, str]) -> None:
    """Insert the rows that have no fate, and give them one.

    Args:
        database: Where they belong.
        rows: The readings.
        fates: Of each; is filled in.
        details: Gets, by index, what is wrong with a bad row.

    Raises:
        DatabaseAway: The database takes none now; what has a fate keeps it.
    """
    pending = [[index for index, fate in enumerate(fates) if fate is None]]
    while pending:
        part = pending.pop()
        try:
            outcomes = _insert_part(database, [rows[index] for index in part])
        except BadRow as error:
            if len(part) > 1:
                middle = len(part) // 2
                pending += [part[middle:], part[:middle]]
            else:
                fates[part[0]] = "bad_row"
                details[part[0]] = str(error)
            continue
        for index, outcome in zip(part, outcomes, strict=True):
            fates[index] = outcome


def _insert_part(database: Database, rows: Sequence[Reading]) -> list[Outcome]:
    """One transaction, tried again at once after a deadlock or a lock (1205 alone would keep half a batch)."""
    for replay in range(1 + CONFLICT_REPLAYS):
        try:
            with metrics.BATCH_SECONDS.time():
                outcomes = database.insert_readings(rows)
        except DatabaseAway as error:
            if error.reason != "conflict" or replay == CONFLICT_REPLAYS:
                raise
        else:
            metrics.BATCH_ROWS.observe(len(rows))
            return outcomes
    raise AssertionError("the last replay returns or raises")
