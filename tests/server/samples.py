"""Readings, rows and places of databases, for the tests of the server station."""

import contextlib
import sqlite3
from dataclasses import replace
from pathlib import Path

import pymysql

from aoii.broker.messages import Identity, Reading
from aoii.server.dead_letters.store import DeadLetters, DeadLettersFull
from aoii.server.rows import EdgeLogRow
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
                letters.add([a_reading(kept + n, node=node) for n in range(step)], "database_away", "")
                kept += step
    return kept


def an_edge_log_row(**changes: object) -> EdgeLogRow:
    row = EdgeLogRow(
        actual_temp=21.5, actual_humidity=40.0, pred_temp=21.0, pred_humidity=41.0, error_temp=0.5, error_humidity=-1.0,
        triggered=True, status="SEND & TRAIN", inference_time_us=512, free_heap=100_000, total_heap=200_000,
    )  # fmt: skip
    return replace(row, **changes)  # type: ignore[arg-type]  # by name


def run_sql(place: DatabaseSettings, *statements: str) -> list[tuple[object, ...]]:
    """Statements with the engine's own client library, as the reference system would."""
    if place.host is None:
        connection = sqlite3.connect(place.sqlite_path)
        rows = [tuple(row) for statement in statements for row in connection.execute(statement)]
        connection.commit()
        connection.close()
        return rows
    with (
        pymysql.connect(
            host=place.host, port=place.port, user=place.user, database=place.name, autocommit=True
        ) as remote,
        remote.cursor() as cursor,
    ):
        for statement in statements:
            cursor.execute(statement)
        return list(cursor.fetchall())
