"""Seconds until a database that has lost readings is whole again, with a real gateway, broker, server and database.

Beside them stands the CPU time that each process used for a reading, which a busy machine changes less.

Run: .venv/bin/python benchmarks/bench_restore.py [--count N] [--json FILE]

The gateway's outbox is filled and drained first, which is measured too: then its readings are among the kept ones. The
database loses readings in four ways, and each time the seconds are counted until it has every one again:

- the newest commits are gone, and `aoii audit` is asked for;
- every second reading is gone, so that there are as many holes as readings missing;
- the database is replaced by an older dump while the server is down;
- the database is replaced by an empty one while the server is down; the gateway reports when it connects.

Not measured: network between the machines, a memory card.
"""

import argparse
import functools
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from aoii.broker.messages import Identity, Reading, encode_reading
from aoii.gateway.drivers.outbox_file import OutboxFile
from aoii.gateway.drivers.outbox_transaction import Transaction
from aoii.server.audits import Audits
from aoii.server.db import open_database
from aoii.settings import Database as Place
from faults.stations import Station
from servers import MariaDB, Mosquitto, free_port, until

NODES = 20
LOOK_S = 0.5  # between two looks at the database, which compete with what is measured
LIMIT_S = 900.0
SCHEMA = "aoii"


class Cost(NamedTuple):
    """Of bringing readings into the database.

    Attributes:
        seconds: Until the last was a row.
        readings: How many were missing.
        cpu_us: CPU time a reading, by process.
    """

    seconds: float
    readings: int
    cpu_us: dict[str, int]


def cpu_s(pid: int) -> float:
    """CPU time that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def reading(number: int) -> Reading:
    who = Identity(str(1 + number % NODES), 1, 1 + number // NODES)
    at_ms = 1_451_606_400_000 + 1000 * number
    return Reading(who, "gateway", "event", "2016-01-01 10:00:00", 0.4, 21.5, 40.0, 20.9, 43.5, 1, None, at_ms, True)


def accept(transaction: Transaction, first: int, last: int) -> None:
    for number in range(first, last):
        one = reading(number)
        assert one.identity is not None
        transaction.insert(one.identity, one.digest(), 1, encode_reading(one, 1), 0)


def fill(path: Path, count: int) -> None:
    """Put readings into the outbox of a gateway that does not run."""
    store = OutboxFile(path, 1 << 30)
    for first in range(0, count, 1000):
        store.submit(functools.partial(accept, first=first, last=min(first + 1000, count))).result()
    store.close()


class Bench:
    """The stations, and a database that loses readings."""

    def __init__(self, folder: Path, broker: Mosquitto, database: MariaDB, count: int) -> None:
        self.count = count
        self.broker = broker
        self.database = database
        ports = {"gateway": free_port(), "server": free_port()}
        settings = {
            "AOII_DATA_DIR": str(folder / "data"), "MQTT_BROKER": "127.0.0.1", "MQTT_PORT": str(broker.port),
            "GATEWAY_ID": "gateway", "SERIAL_PORT": str(folder / "none"), "MYSQL_HOST": "127.0.0.1",
            "MYSQL_PORT": str(database.port), "MYSQL_USER": "root", "MYSQL_PASSWORD": "", "MYSQL_DATABASE": SCHEMA,
            "GATEWAY_STATUS_PORT": str(ports["gateway"]), "SERVER_STATUS_PORT": str(ports["server"]),
            "OUTBOX_MAX_MB": "1024",
        }  # fmt: skip
        fill(folder / "data" / "outbox.db", count)
        self.gateway, self.server = (Station(name, folder, settings, ports[name]) for name in ("gateway", "server"))

    def sql(self, *statements: str) -> list[tuple[object, ...]]:
        return self.database.execute(*statements, database=SCHEMA)

    def rows(self) -> int:
        try:
            return int(str(self.sql("SELECT COUNT(*) FROM readings")[0][0]))
        except Exception:  # there is no table yet
            return -1

    def pids(self) -> dict[str, int]:
        """Of the processes that run now."""
        processes = {
            "gateway": self.gateway.process,
            "server": self.server.process,
            "Mosquitto": self.broker.process,
            "MariaDB": self.database.process,
        }
        return {name: process.pid for name, process in processes.items() if process is not None}

    def cost(self, begin: Callable[[], object]) -> Cost:
        """From `begin` until every reading is a row; `begin` may start a station.

        Of a process that ran before, only what it used since counts; of a station that starts, all.
        """
        missing = self.count - max(0, self.rows())
        before = {pid: cpu_s(pid) for pid in self.pids().values()}
        began_s = time.perf_counter()
        begin()
        until(lambda: self.rows() == self.count, LIMIT_S, f"{self.count} readings are in the database", LOOK_S)
        seconds = time.perf_counter() - began_s
        used = {name: cpu_s(pid) - before.get(pid, 0.0) for name, pid in self.pids().items()}
        return Cost(round(seconds, 1), missing, {name: round(1e6 * cpu / missing) for name, cpu in used.items()})

    def request(self) -> None:
        """What `aoii audit` does."""
        place = Place(Path(), "127.0.0.1", self.database.port, "root", "", SCHEMA)
        with closing(open_database(place)) as database:
            Audits(database.pool).request(is_full=False)

    def wait_for_audit(self) -> None:
        """Wait until no requested audit runs."""
        unfinished = "SELECT COUNT(*) FROM audits WHERE finished_at IS NULL"
        until(lambda: self.sql(unfinished)[0][0] == 0, LIMIT_S, "the audit has ended", LOOK_S)

    def dump(self, path: Path) -> None:
        tool = ["mariadb-dump", "--no-defaults", "-h127.0.0.1", f"-P{self.database.port}", "-uroot", SCHEMA]
        with path.open("wb") as file:
            subprocess.run(tool, stdout=file, check=True)

    def replace(self, dump: Path | None) -> None:
        """Put the database back from a dump, or begin an empty one."""
        self.sql(f"DROP DATABASE {SCHEMA}", f"CREATE DATABASE {SCHEMA}", f"USE {SCHEMA}")
        if dump is not None:
            tool = ["mariadb", "--no-defaults", "-h127.0.0.1", f"-P{self.database.port}", "-uroot", SCHEMA]
            with dump.open("rb") as file:
                subprocess.run(tool, stdin=file, check=True)


class Results(dict[str, Cost]):
    """What each loss cost, each printed when it is known."""

    def __setitem__(self, what: str, cost: Cost) -> None:
        super().__setitem__(what, cost)
        cpu = ", ".join(f"{name} {value}" for name, value in cost.cpu_us.items())
        rate = cost.readings / cost.seconds
        print(f"{what:40}{cost.seconds:8.1f} s{rate:10,.0f} readings/s; CPU in µs a reading: {cpu}", flush=True)


def measured(bench: Bench, dump: Path) -> dict[str, Cost]:
    """What each loss cost."""
    results = Results()
    bench.gateway.start()

    def start_server() -> None:
        bench.server.start()
        bench.server.wait_started()

    results["drain"] = bench.cost(start_server)
    until(lambda: bench.gateway.gauge("aoii_outbox_events") == 0, LIMIT_S, "the outbox is empty")
    until(lambda: bench.gateway.gauge("aoii_kept_readings") == bench.count, LIMIT_S, "all readings are kept")

    bench.sql("DELETE FROM readings")
    results["newest commits lost"] = bench.cost(bench.request)
    bench.wait_for_audit()

    bench.sql("DELETE FROM readings WHERE counter % 2 = 0")
    results["every second reading lost"] = bench.cost(bench.request)
    bench.wait_for_audit()

    bench.server.stop()
    bench.sql("DELETE FROM readings WHERE counter > (SELECT * FROM (SELECT MAX(counter) FROM readings) one) DIV 10")
    bench.dump(dump)
    bench.replace(dump)
    results["older dump put back, 9 of 10 missing"] = bench.cost(start_server)

    bench.server.stop()
    bench.gateway.stop()
    bench.replace(None)
    start_server()
    results["replaced by an empty one"] = bench.cost(bench.gateway.start)
    bench.server.stop()
    bench.gateway.stop()
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000, help="readings (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    options = parser.parse_args()
    if shutil.which("mariadbd", path="/usr/sbin:/usr/bin:/usr/local/bin") is None:
        raise SystemExit("MariaDB is not installed: scripts/install-test-servers installs it")
    with (
        tempfile.TemporaryDirectory() as name,
        Mosquitto(Path(name) / "mosquitto", extra="persistence false") as broker,
        MariaDB(Path(name) / "mariadb") as database,
    ):
        bench = Bench(Path(name) / "stations", broker, database, options.count)
        try:
            results = measured(bench, Path(name) / "dump.sql")
        finally:
            for station in (bench.server, bench.gateway):
                station.kill()
    if options.json:
        machine = {"machine": platform.platform(), "cpus": os.cpu_count(), "readings": options.count}
        costs = {name: cost._asdict() for name, cost in results.items()}
        options.json.write_text(json.dumps(machine | costs, indent=2) + "\n")


if __name__ == "__main__":
    main()
