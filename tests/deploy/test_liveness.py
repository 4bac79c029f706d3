"""Every station as a process: what it tells its service manager and its status port when it waits, works and hangs."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from aoii import settings
from aoii.server.db import open_database
from deploy.supervisor import Supervisor
from servers import Mosquitto, free_port, pty_port, until

WATCHDOG_S = 0.8
LIMIT_S = 2.0  # after which a thread counts as hanging in these tests; stations allow half a minute or a minute

PROGRAM = f"""
import importlib, sys, time
from pathlib import Path
from aoii import settings
from aoii.runtime import logs

entry, patience, place, orders = sys.argv[1:]
module, _, name = patience.rpartition(".")
setattr(importlib.import_module(module), name, {LIMIT_S})

module, owner, name = place.split(":")
owner = getattr(importlib.import_module(module), owner)
original = getattr(owner, name)

def held(*arguments, **named):
    while (order := Path(orders).read_text()) == "hang":
        time.sleep(0.05)
    if order == "die":
        raise SystemExit  # ends a thread without a word
    return original(*arguments, **named)

setattr(owner, name, held)
values = settings.load()
logs.configure("test", values.logs.level, as_json=values.logs.json)
sys.exit(importlib.import_module(entry).run(values))
"""


@dataclass(frozen=True)
class Kind:
    """A station, and how to have it hang: `patience` is a constant of its source, `place` a function it always calls.

    Attributes:
        entry: Module with its `run`.
        port: Setting that names its status port.
        culprit: The check that notices.
    """

    entry: str
    port: str
    patience: str
    place: str
    culprit: str


KINDS = {
    "gateway": Kind(
        "aoii.gateway.gateway", "GATEWAY_STATUS_PORT", "aoii.gateway.gateway.PROGRESS_S",
        "aoii.gateway.publisher:Publisher:_take_acks", "publisher",
    ),
    "server": Kind(
        "aoii.server.mqtt_to_mysql", "SERVER_STATUS_PORT", "aoii.runtime.station.SILENCE_LIMIT_S",
        "aoii.server.dead_letters.store:DeadLetters:has_room", "ingest",
    ),
    "csv": Kind(
        "aoii.server.mqtt_to_csv", "CSV_STATUS_PORT", "aoii.runtime.station.SILENCE_LIMIT_S",
        "aoii.server.inbox:Inbox:take", "writer",
    ),
    "edgelog": Kind(
        "aoii.server.edge_log", "EDGE_LOG_STATUS_PORT", "aoii.runtime.station.SILENCE_LIMIT_S",
        "aoii.server.edge_log_reader:LogPort:read", "ports",
    ),
    "web": Kind(
        "aoii.web.app", "PORT", "aoii.runtime.station.SILENCE_LIMIT_S",
        "aoii.web.source:Source:query_in_this_thread", "poller",
    ),
    "edge": Kind(
        "aoii.simulation.fleet", "EDGE_STATUS_PORT", "aoii.runtime.station.SILENCE_LIMIT_S",
        "aoii.simulation.fleet:Fleet:_write_report", "nodes",
    ),
}  # fmt: skip


class Station:
    """A station under a supervisor."""

    def __init__(self, kind: Kind, folder: Path, broker_port: int, port: int) -> None:
        self.supervisor = Supervisor(folder / "notify", WATCHDOG_S)
        self._orders = folder / "orders"
        self._log = folder / "station.log"
        self._port = port
        self.do("go on")
        environ = {
            "PATH": os.environ["PATH"], "AOII_DATA_DIR": str(folder / "data"),
            "MQTT_BROKER": "127.0.0.1", "MQTT_PORT": str(broker_port), "GATEWAY_ID": "liveness",
            "MQTT_NAMESPACE": f"liveness-{self._port}", "SERIAL_PORT": str(folder / "receiver"),
            "EDGE_LOG_PORT": str(folder / "log"), "EDGE_NODES": "1", kind.port: str(self._port),
        }  # fmt: skip
        with self._log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, kind.entry, kind.patience, kind.place, str(self._orders)],
                env=environ | self.supervisor.environment, cwd=folder, stdout=output, stderr=output,
            )  # fmt: skip

    def asked(self, path: str) -> tuple[int, dict[str, object]]:
        """HTTP status and content; 0 while nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=10) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())
        except OSError:
            assert self.process.poll() is None, self._log.read_text()
            return 0, {}

    def do(self, order: str) -> None:
        """Have its worker `hang`, `die` or `go on`."""
        fresh = self._orders.with_suffix(".new")
        fresh.write_text(order)
        fresh.replace(self._orders)


def ported(name: str, folder: Path) -> contextlib.AbstractContextManager[object]:
    """The serial port that the station wants, and the tables that only the server makes."""
    if name == "web":
        (folder / "data").mkdir()
        database = settings.load({"AOII_DATA_DIR": str(folder / "data")}).database
        open_database(database, migrate=True).close()
    link = {"gateway": "receiver", "edgelog": "log"}.get(name)
    return pty_port(folder / link) if link else contextlib.nullcontext()


@contextlib.contextmanager
def running(name: str, folder: Path, broker_port: int, port: int | None = None) -> Iterator[Station]:
    station = Station(KINDS[name], folder, broker_port, port or free_port())
    try:
        yield station
    finally:
        station.process.kill()
        station.process.wait()
        station.supervisor.close()


def is_hungry(supervisor: Supervisor) -> bool:
    """Whether nobody feeds the watchdog for twice its time."""
    supervisor.messages()
    deadline_s = time.monotonic() + 2 * WATCHDOG_S
    while time.monotonic() < deadline_s:
        if "WATCHDOG=1" in supervisor.messages():
            return False
        time.sleep(0.05)
    return True


def hang(name: str, folder: Path, broker_port: int, port: int) -> None:
    with ported(name, folder), running(name, folder, broker_port, port) as station:
        supervisor = station.supervisor
        until(lambda: supervisor.status == "ready", 60, f"{name}: ready")
        assert station.asked("/readyz")[0] == 200
        until(lambda: "WATCHDOG=1" in supervisor.messages(), 30, f"{name}: the watchdog is fed")

        station.do("hang")
        until(lambda: station.asked("/healthz")[0] == 503, 60, f"{name}: not alive")
        until(lambda: is_hungry(supervisor), 60, f"{name}: nobody feeds the watchdog")
        _, content = station.asked("/healthz")
        assert content["reason"] == f"makes no progress: {KINDS[name].culprit}"

        station.do("go on")
        until(lambda: station.asked("/healthz")[0] == 200, 60, f"{name}: alive again")
        until(lambda: "WATCHDOG=1" in supervisor.messages(), 30, f"{name}: the watchdog is fed again")
        station.process.send_signal(signal.SIGTERM)
        assert station.process.wait(30) == 0
        assert supervisor.has("STOPPING=1")


def die(name: str, folder: Path, broker_port: int, port: int) -> None:
    with ported(name, folder), running(name, folder, broker_port, port) as station:
        until(lambda: station.supervisor.status == "ready", 60, f"{name}: ready")

        station.do("die")

        if name == "web":  # the page is still served, and says so
            until(lambda: station.asked("/healthz")[0] == 503, 60, "web: not alive")
            until(lambda: is_hungry(station.supervisor), 60, "web: nobody feeds the watchdog")
        else:
            assert station.process.wait(30) == 1
            assert not station.supervisor.has("STOPPING=1")  # nobody asked it to


def all_at_once(
    story: Callable[[str, Path, int, int], None], names: Collection[str], folder: Path, broker_port: int
) -> None:
    """One after the other they would take a minute, mostly of waiting."""
    with contextlib.ExitStack() as probes:  # all open at once, so that no two get the same port
        found = [probes.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in names]
        ports = [int(probe.getsockname()[1]) for probe in found]

    def tell(name: str, port: int) -> None:
        (folder / name).mkdir()
        story(name, folder / name, broker_port, port)

    with ThreadPoolExecutor(len(ports)) as pool:
        for told in [pool.submit(tell, name, port) for name, port in zip(names, ports, strict=True)]:
            told.result()


def test_a_station_that_hangs_is_not_alive_and_leaves_the_watchdog_hungry(tmp_path: Path, mosquitto: Mosquitto) -> None:
    all_at_once(hang, KINDS, tmp_path, mosquitto.port)


def test_a_station_whose_worker_died_ends_or_leaves_the_watchdog_hungry(tmp_path: Path, mosquitto: Mosquitto) -> None:
    all_at_once(die, set(KINDS) - {"edge"}, tmp_path, mosquitto.port)


def wait(name: str, folder: Path, broker_port: int, port: int) -> None:
    with running(name, folder, broker_port, port) as station:
        until(lambda: station.supervisor.has("READY=1"), 60, f"{name}: runs")
        until(lambda: station.asked("/healthz")[0] == 200, 60, f"{name}: alive")
        assert station.asked("/readyz")[0] == 503
        status = station.supervisor.status or ""
        assert status.startswith("waits for: "), f"{name}: {status}"


def test_a_station_without_anything_that_it_needs_runs_and_says_what_it_waits_for(tmp_path: Path) -> None:
    all_at_once(wait, set(KINDS) - {"edge"}, tmp_path, free_port())


def test_a_gateway_whose_broker_is_frozen_is_alive_and_not_ready_and_runs(tmp_path: Path) -> None:
    with (
        Mosquitto(tmp_path / "broker") as broker,
        ported("gateway", tmp_path),
        running("gateway", tmp_path, broker.port) as station,
    ):
        broker.freeze()
        supervisor = station.supervisor
        until(lambda: supervisor.status == "waits for: broker", 60, "the port is open")
        assert supervisor.has("READY=1")
        assert station.asked("/healthz")[0] == 200
        checks = {"broker": False, "outbox": True, "serial": True, "server": True}
        assert station.asked("/readyz") == (503, {"ok": False, "checks": checks, "reason": "waits for: broker"})

        broker.thaw()

        until(lambda: supervisor.status == "ready", 60, "ready")


def test_a_server_without_a_broker_is_alive_and_not_ready(tmp_path: Path) -> None:
    with running("server", tmp_path, free_port()) as station:
        until(lambda: station.supervisor.status == "waits for: broker", 60, "the database is there")

        assert station.asked("/healthz")[0] == 200
        assert station.asked("/readyz")[0] == 503
        until(lambda: station.supervisor.has("WATCHDOG=1"), 30, "the watchdog is fed")
