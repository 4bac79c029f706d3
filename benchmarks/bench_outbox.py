"""Accepted readings a second: many in one commit, and each in a transaction of its own, on one disk in one run.

Run: .venv/bin/python benchmarks/bench_outbox.py [--count N] [--folder DIR] [--json FILE]

For each reading the gateway reads the state of the node, inserts and counts the event, and replaces the state,
all durable (`synchronous=FULL`) before the acknowledgement. The second pair is of readings that are acknowledged by the
database, with and without a second file that keeps them; it is full from a quarter on, so that the oldest make room.
Compare the ratios: the rates depend on the disk.
"""

import argparse
import functools
import json
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

from aoii.broker.messages import Committed, Identity
from aoii.gateway.drivers.outbox_file import GROUP_LIMIT, OutboxFile
from aoii.gateway.drivers.outbox_transaction import Transaction
from aoii.gateway.readings import Item

NODES = 50
ACKNOWLEDGED = 200  # readings in one message of the server
ROW_BYTES = 600  # about, of a kept reading with this payload
PAYLOAD = b"x" * 480  # an RX in JSON
STATE = b"s" * 1200  # forecast, settings and replay window of a node


def identity(number: int) -> Identity:
    return Identity(str(number % NODES), 1, number // NODES)


def accept(number: int, transaction: Transaction) -> Item | None:
    node = str(number % NODES)
    transaction.state(node)
    transaction.set_state(node, STATE)
    return transaction.insert(identity(number), "0123456789abcdef", 1, PAYLOAD, 0)


def rate(folder: Path, group: int, count: int) -> float:
    """Readings accepted a second with at most `group` of them in one commit."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        store = OutboxFile(Path(place) / "outbox.db", 1 << 30, group)
        began_s = time.perf_counter()
        futures = [store.submit(functools.partial(accept, number)) for number in range(count)]
        for future in futures:
            future.result()
        elapsed_s = time.perf_counter() - began_s
        store.close()
    return count / elapsed_s


def acknowledged_rate(folder: Path, keeps: bool, count: int) -> float:
    """Readings a second that leave the outbox, as many in one request as a commit acknowledgement names."""
    keep_bytes = count * ROW_BYTES // 4 if keeps else 0
    with tempfile.TemporaryDirectory(dir=folder) as place:
        store = OutboxFile(Path(place) / "outbox.db", 1 << 30, keep_bytes=keep_bytes)
        for future in [store.submit(functools.partial(accept, number)) for number in range(count)]:
            future.result()
        began_s = time.perf_counter()
        for first in range(0, count, ACKNOWLEDGED):
            numbers = range(first, min(first + ACKNOWLEDGED, count))
            committed = [Committed(identity(one), "stored") for one in numbers]
            store.submit(functools.partial(Transaction.acknowledge, committed=committed)).result()
        elapsed_s = time.perf_counter() - began_s
        if keeps and (store.kept.failures or not 0 < store.kept.readings < count):
            raise SystemExit("the readings were not kept")
        store.close()
    return count / elapsed_s


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=5000, help="readings in one measurement")
    parser.add_argument("--runs", type=int, default=3, help="measurements of each kind, taken in turn")
    parser.add_argument("--folder", type=Path, help="folder of the outbox (default: that of temporary files)")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    options = parser.parse_args()
    grouped, single, kept, removed = [], [], [], []
    for _ in range(options.runs):
        kept.append(acknowledged_rate(options.folder, True, options.count))
        removed.append(acknowledged_rate(options.folder, False, options.count))
        grouped.append(rate(options.folder, GROUP_LIMIT, options.count))
        single.append(rate(options.folder, 1, options.count))
    result = {
        "sqlite": sqlite3.sqlite_version,
        "readings": options.count,
        "group_commit_per_s": round(statistics.median(grouped)),
        "one_transaction_each_per_s": round(statistics.median(single)),
        "ratio": round(statistics.median(grouped) / statistics.median(single), 2),
        "acknowledged_and_kept_per_s": round(statistics.median(kept)),
        "acknowledged_and_not_kept_per_s": round(statistics.median(removed)),
        "kept_ratio": round(statistics.median(kept) / statistics.median(removed), 2),
    }
    for name, value in result.items():
        print(f"{name:34}{value}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
