"""Time to read the history of one node as the page does, for ranges from an hour to a year of minutes.

Run: .venv/bin/python benchmarks/bench_history.py [--days N] [--nodes N] [--runs N] [--folder DIR] [--json FILE]

A SQLite database is filled with the log of `--nodes` nodes: one sample a minute, a packet every twelve minutes, and the
rows of all nodes in order of time. Then each range of one node is read and written as JSON. The file is in the page
cache from the start, so no cold read is measured. Compare the ranges, not the machines.
"""

import argparse
import json
import math
import sqlite3
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from aoii.server.db import open_database
from aoii.settings import Database as DatabaseSettings
from aoii.web.fleet_settings import FleetSettings
from aoii.web.history import Range, read_history

START_MS = 1_735_689_600_000  # 2025-01-01
MINUTE_MS = 60_000
DAY_MS = 1440 * MINUTE_MS
PACKET_EVERY = 12  # minutes; as many as the node sends on a recorded day
FLEET_SETTINGS = FleetSettings(beta_temp=0.5, beta_hum=3.0, period_s=60, heartbeat_s=3600)
LOG = (
    "INSERT INTO edge_log (created_at, actual_temp, actual_humidity, pred_temp, pred_humidity, error_temp, "
    "error_humidity, triggered, status, node, event_time) VALUES (?, ?, ?, ?, ?, 0, 0, ?, 'SKIP', ?, ?)"
)
READING = (
    "INSERT INTO readings (created_at, actual_temp, actual_humidity, pred_temp, pred_humidity, error_temp, "
    "error_humidity, gateway, node, epoch, counter, kind, event_time, clock_synced) "
    "VALUES (?, ?, ?, ?, ?, 0, 0, 'g', ?, 1, ?, 'event', ?, 1)"
)
RANGES = {"hour": 1 / 24, "day": 1, "week": 7, "month": 30, "quarter": 91, "year": 365}


def fill(path: Path, nodes: int, days: int) -> None:
    """Insert the rows in order of time: minute by minute, those of every node."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA synchronous = OFF")
    for day in range(days):
        logs, readings = [], []
        for minute in range(1440):
            number = day * 1440 + minute
            at = datetime.fromtimestamp((START_MS + number * MINUTE_MS) / 1000, UTC).replace(tzinfo=None)
            text = at.isoformat(" ", "microseconds")
            value = 15 + 10 * math.sin(number / 500) + math.sin(number / 7)
            for node in range(nodes):
                row = (text, value, 50.0, value, 50.0)
                logs.append((*row, 0, str(node), text))
                if minute % PACKET_EVERY == 0:
                    readings.append((*row, str(node), number, text))
        connection.executemany(LOG, logs)
        connection.executemany(READING, readings)
        connection.commit()
    connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--days", type=int, default=365, help="days in the database")
    parser.add_argument("--nodes", type=int, default=2, help="nodes in the database")
    parser.add_argument("--runs", type=int, default=5, help="how often each range is read")
    parser.add_argument("--folder", type=Path, help="folder of the database (default: that of temporary files)")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        path = Path(place) / "aoii.db"
        settings = DatabaseSettings(sqlite_path=path, host=None, port=3306, user="", password="", name="aoii")
        open_database(settings, migrate=True).close()
        fill(path, options.nodes, options.days)
        database = open_database(settings)
        end_ms = START_MS + options.days * DAY_MS
        result: dict[str, object] = {"sqlite": sqlite3.sqlite_version, "days": options.days, "nodes": options.nodes}
        print(f"{'range':10}{'seconds':>10}{'bytes':>10}  (median of {options.runs})")
        for name, days in RANGES.items():
            if days > options.days:
                continue
            taken = []
            size = 0
            for _ in range(options.runs):
                began_s = time.perf_counter()
                span = Range(end_ms - round(days * DAY_MS), end_ms)
                size = len(json.dumps(read_history(database, "0", span, FLEET_SETTINGS), separators=(",", ":")))
                taken.append(time.perf_counter() - began_s)
            result[name] = {"seconds": round(statistics.median(taken), 3), "bytes": size}
            print(f"{name:10}{statistics.median(taken):10.3f}{size:10}")
        database.close()
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
