"""Rows a second into the database: in batches as the server does, and one at a time, on SQLite and MariaDB.

    python benchmarks/bench_ingest.py [--rows 2000]

Each figure is the median of three runs on a fresh database. Compare the ratios: the rates depend on the machine.
"""

import argparse
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pymysql

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from aoii.broker.messages import Identity, Reading
from aoii.server.db import open_database
from aoii.settings import Database as Place
from servers import MariaDB

RUNS = 3
SINGLE_ROWS = 300  # each of these commits waits for the disk, so more rows only take longer
BATCHES = (1, 50, 500)
NAIVE_COLUMNS = (
    "created_at", "actual_temp", "actual_humidity", "pred_temp", "pred_humidity", "error_temp", "error_humidity",
    "transmission_delay_ms", "node", "epoch", "counter",
)  # fmt: skip
Insert = Callable[[Place, Sequence[Reading]], None]


def readings(count: int) -> list[Reading]:
    first = Reading(
        Identity("7", 1, 0), "gateway", "event", "2016-01-01 10:00:00", 0.4, 21.5, 40.0, 20.9, 43.5, 1, None,
        1_451_606_400_000, True,
    )  # fmt: skip
    return [replace(first, identity=Identity("7", 1, counter)) for counter in range(count)]


def ours(batch: int) -> Insert:
    """`insert_readings` with this many rows in a transaction."""

    def insert(place: Place, rows: Sequence[Reading]) -> None:
        with closing(open_database(place)) as database:
            for start in range(0, len(rows), batch):
                database.insert_readings(rows[start : start + batch])

    return insert


def duplicates(place: Place, rows: Sequence[Reading]) -> None:
    """Insert the same batches again, as after a redelivery."""
    ours(BATCHES[-1])(place, rows)


def naive(place: Place, rows: Sequence[Reading]) -> None:
    """One INSERT and one COMMIT for each message, with the driver alone, as a subscriber without batches does."""
    mark = "?" if place.host is None else "%s"
    marks = ", ".join([mark] * len(NAIVE_COLUMNS))
    sql = f"INSERT INTO readings ({', '.join(NAIVE_COLUMNS)}) VALUES ({marks})"  # noqa: S608 - constants
    with closing(raw_connection(place)) as connection, closing(connection.cursor()) as cursor:
        for row in rows:
            who = row.identity
            assert who is not None
            values = (
                row.timestamp, row.actual_t, row.actual_h, row.pred_t, row.pred_h, row.actual_t - row.pred_t,
                row.actual_h - row.pred_h, row.transmission_delay_ms, who.node, who.epoch, who.counter,
            )  # fmt: skip
            cursor.execute(sql, values)
            connection.commit()


def raw_connection(place: Place) -> "sqlite3.Connection | pymysql.Connection[pymysql.cursors.Cursor]":
    if place.host is None:
        connection = sqlite3.connect(place.sqlite_path)
        connection.execute("PRAGMA synchronous = FULL")
        return connection
    return pymysql.connect(host=place.host, port=place.port, user=place.user, database=place.name)


def rate(new_place: Callable[[], Place], insert: Insert, rows: Sequence[Reading], *, again: bool = False) -> float:
    """Median rows a second over fresh databases; `again`: of inserting rows that are already there."""
    rates = []
    for _ in range(RUNS):
        place = new_place()
        open_database(place, migrate=True).close()
        if again:
            insert(place, rows)
        begin = time.perf_counter()
        insert(place, rows)
        rates.append(len(rows) / (time.perf_counter() - begin))
    return statistics.median(rates)


def table(engine: str, new_place: Callable[[], Place], count: int) -> None:
    rows, few = readings(count), readings(min(count, SINGLE_ROWS))
    slowest = rate(new_place, naive, few)
    print(f"{engine:9} {'a row at a time, driver only':34} {slowest:10,.0f} {1:8.1f}")
    for batch in BATCHES:
        found = rate(new_place, ours(batch), rows if batch > 1 else few)
        print(f"{engine:9} {f'insert_readings, batches of {batch}':34} {found:10,.0f} {found / slowest:8.1f}")
    found = rate(new_place, duplicates, rows, again=True)
    print(f"{engine:9} {f'the same again, batches of {BATCHES[-1]}':34} {found:10,.0f} {found / slowest:8.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=2000, help="rows in each run (default: %(default)s)")
    count = max(1, parser.parse_args().rows)
    print(f"{'database':9} {'how':34} {'rows/s':>10} {'ratio':>8}")
    with tempfile.TemporaryDirectory() as folder:
        files = iter(range(1000))
        table("SQLite", lambda: Place(Path(folder) / f"{next(files)}.db", None, 0, "", "", "aoii"), count)
        if shutil.which("mariadbd", path="/usr/sbin:/usr/bin:/usr/local/bin") is None:
            print("MariaDB   not installed, not measured")
            return
        with MariaDB(Path(folder) / "mariadb") as server:
            table("MariaDB", lambda: Place(Path(), "127.0.0.1", server.port, "root", "", server.new_schema()), count)


if __name__ == "__main__":
    main()
