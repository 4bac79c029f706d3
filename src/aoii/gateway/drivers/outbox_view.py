"""The oldest reading in an outbox that a gateway owns, seen from another process; nothing is changed."""

import contextlib
from pathlib import Path

from aoii.broker.messages import Identity
from aoii.runtime import sqlite_recovery


def oldest_identity(path: Path) -> Identity | None:
    """The identity of the reading that has waited longest; None if none waits.

    Raises:
        sqlite3.Error: The file is missing, damaged, or may not be read.
    """
    with contextlib.closing(sqlite_recovery.connect_as_guest(path, writes=False)) as connection:
        row = connection.execute("SELECT node, epoch, counter FROM events ORDER BY seq LIMIT 1").fetchone()
    return None if row is None else Identity(*row)
