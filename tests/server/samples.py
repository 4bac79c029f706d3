"""Readings, rows and places of databases, for the tests of the server station."""

import contextlib
from dataclasses import replace
from pathlib import Path

from aoii.broker.messages import Identity, Reading
from aoii.server.dead_letters.store import DeadLetters, DeadLettersFull
from aoii.settings import Database as DatabaseSettings
from servers import MariaDB

BASE = Reading(
    identity=Identity("7", 1, 1),
    gateway="gateway",
    kind="event",
    timestamp="2016-01-01 10:00:00",
    time_n=0.416667,
    actual_t=21.5,
    actual_h=40.25,
    pred_t=20.75,
    pred_h=43.5,
    total_tx=1,
    transmission_delay_ms=None,
    event_unix_ms=1_451_606_400_123,
    clock_synced=True,
)


def a_reading(counter: int = 1, node: str = "7", **changes: object) -> Reading:
    return replace(BASE, identity=Identity(node, 1, counter), **changes)  # type: ignore[arg-type]  # by name


def sqlite_at(path: Path) -> DatabaseSettings:
    return DatabaseSettings(path, None, 3306, "root", "", "aoii")


def mysql_at(server: MariaDB, schema: str) -> DatabaseSettings:
    return DatabaseSettings(Path("unused.db"), "127.0.0.1", server.port, "root", "", schema)


def fill(letters: DeadLetters, node: str = "7") -> int:
    """Park until not even one reading more has room; how many were kept."""
    kept = 0
    for step in (100, 1):
        with contextlib.suppress(DeadLettersFull):
            while kept < 100_000:
                letters.park([a_reading(kept + n, node=node) for n in range(step)], "database_away", "")
                kept += step
    return kept
