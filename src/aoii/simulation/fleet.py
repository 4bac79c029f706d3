"""The station `aoii edge`: simulated nodes that replay a recording, their radio and their receiver.

Wires the nodes to their thread, to two serial ports (pseudo-terminals) and to the report. What happens among the nodes
is in `network.py`.
"""

import asyncio
import contextlib
import json
import logging
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from aoii.core.errors import UnavailableError
from aoii.edge.drivers.host import SimulatedPort
from aoii.edge.node import Node
from aoii.runtime import switches
from aoii.runtime.station import Part, Station, run_station
from aoii.runtime.station_client import StationClient
from aoii.runtime.switches import Switch
from aoii.security import node_keys
from aoii.security.node_keys import NodeKey
from aoii.settings import Settings
from aoii.simulation.network import Network
from aoii.simulation.receiver import Receiver

log = logging.getLogger(__name__)

REPORT_EVERY_S = 0.5
STOP_S = 8.0  # of the 10 s that a graceful stop may take
GATEWAY_START_S = 1.0  # of real time; for a gateway on whose status port nobody listens: there may be none here
GATEWAY_LIMIT_S = 30.0  # of real time; for one that is there, to open the receiver's port
ASK_EVERY_S = 0.05
NOT_MEASURED = "0,0,0"  # inference time, free and total heap: a host is not a board


def run(settings: Settings) -> int:
    """Run the nodes until the recording or EDGE_DURATION_S is over, and keep the ports open until SIGTERM.

    SIGUSR1 unplugs the receiver, SIGUSR2 plugs it in again.

    Returns:
        The exit code: 0, or 1 if the thread of the nodes ended by itself.

    Raises:
        InputError: The recording, the packet trace or the file of keys cannot be used.
        UnavailableError: The status port is taken.
    """
    also = {signal.SIGUSR1: Fleet.unplug, signal.SIGUSR2: Fleet.plug}
    return run_station("edge", settings.edge.status_port, lambda: Fleet(settings), also)


class Fleet(Station):
    """The station of the simulated nodes."""

    def __init__(self, settings: Settings) -> None:
        edge = settings.edge
        keys = provision(settings.gateway.node_keys_file, edge.nodes)
        self._clock = settings.clock
        self._receiver = Receiver(edge.receiver_link, edge.record_file, keys)
        self._network = Network(edge, keys, settings.data_dir / "flash", self._receiver, self._log_sample)
        self._log_port = SimulatedPort(edge.log_link)
        self._gateway_port = settings.gateway.status_port
        self._report_file = edge.report_file
        self._switches_file = edge.switches_file
        self._broken: frozenset[Switch] = frozenset()
        self._zero_ms = 0  # elapsed time of the clock at which the nodes' time begins; it moves when they are held up
        self._latest_ms = self._held_up_ms = 0
        self._end_ms = 1000 * (edge.duration_s * self._clock.speed or self._network.span_s)
        self._is_over = False
        self._last_progress_s = time.monotonic()
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="nodes", daemon=True)

    def start(self) -> None:
        """Begin; all nodes run in one thread with an event loop."""
        self._thread.start()

    def stop(self) -> None:
        """Write the last report and remove the ports."""
        self._call_in_loop(self._stopped.set)
        self._thread.join(STOP_S)

    def plug(self) -> None:
        """Plug the receiver in; from any thread."""
        self._call_in_loop(self._receiver.plug)

    def unplug(self) -> None:
        """Unplug the receiver; from any thread."""
        self._call_in_loop(self._receiver.unplug)

    def parts(self) -> Iterator[Part]:
        """The event loop of all nodes."""
        yield Part("nodes", self._thread.is_alive(), self._last_progress_s)

    def readiness(self) -> dict[str, bool]:
        """The ports that others must be able to open."""
        return {"receiver": self._receiver.is_plugged, "log": self._log_port.is_plugged}

    def _call_in_loop(self, act: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(act)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._run_until_stopped())

    async def _run_until_stopped(self) -> None:
        self._receiver.plug()
        self._log_port.plug()
        nodes = asyncio.create_task(self._run_nodes())
        reports = asyncio.create_task(self._keep_reporting())
        stop = asyncio.create_task(self._stopped.wait())
        try:
            either: list[asyncio.Future[Any]] = [nodes, stop]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if nodes.done():
                nodes.result()  # a fault in a node ends the run with its traceback
                self._is_over = True
                log.info("nodes have ended", extra={"event": "nodes_ended", "samples": self._network.samples})
                await stop
        finally:
            for task in (nodes, reports, stop):
                task.cancel()
            await asyncio.gather(nodes, reports, stop, return_exceptions=True)
        self._write_report()
        self._receiver.unplug()
        self._log_port.unplug()

    async def _run_nodes(self) -> None:
        await self._await_gateway()
        # The nodes do not begin before the origin of a simulated clock, which may lie ahead.
        self._zero_ms = max(0, self._clock.elapsed_ms())
        self._network.boot()
        await self._network.agenda.run(self._end_ms, self._wait_until)

    async def _await_gateway(self) -> None:
        """Wait until the gateway has a serial port open; what is sent earlier gets the time at which it is read."""
        client = StationClient("127.0.0.1", self._gateway_port)
        began_s, limit_s = self._loop.time(), GATEWAY_START_S
        while self._loop.time() < began_s + limit_s:
            try:
                checks = await asyncio.to_thread(client.checks, "/readyz")
            except UnavailableError as error:
                if not isinstance(error.__cause__, ConnectionRefusedError):  # it is there, and slow
                    limit_s = GATEWAY_LIMIT_S
            else:
                limit_s = GATEWAY_LIMIT_S
                if checks.get("serial", False):
                    return
            await asyncio.sleep(ASK_EVERY_S)
        if limit_s == GATEWAY_LIMIT_S:
            log.warning("nodes begin without the gateway", extra={"event": "gateway_not_listening"})

    async def _wait_until(self, at_ms: int) -> None:
        """Sleep until an instant of the nodes' world; not at all when it has passed.

        The gateway takes the time of a reading from its arrival. So nodes that are late by more than a sample do not
        catch up, which would put readings next to each other that were taken far apart: their world is held up.
        """
        ahead_ms = self._zero_ms + at_ms - self._clock.elapsed_ms()
        self._latest_ms = max(self._latest_ms, -ahead_ms)
        if -ahead_ms > 1000 * self._network.interval_s:
            self._zero_ms -= ahead_ms
            self._held_up_ms -= ahead_ms
        await asyncio.sleep(max(0.0, self._clock.real_s(ahead_ms / 1000)))

    def _log_sample(self, number: int, node: Node, at_ms: int) -> None:
        """Print the line that a board prints on its USB port: the ten old fields, node and time."""
        sampled = node.sampled
        if sampled is None:
            return
        values = ",".join(f"{value / 100:.2f}" for value in sampled[:6])
        unix_ms = self._clock.unix_ms() + self._zero_ms + at_ms - self._clock.elapsed_ms()
        line = f"{values},{sampled.status},{NOT_MEASURED},{number},{unix_ms}\n"
        self._log_port.write(line.encode())

    async def _keep_reporting(self) -> None:
        """Write the report again and again, and so show that the event loop runs."""
        was_written = True
        while True:
            self._last_progress_s = time.monotonic()
            if self._switches_file is not None:
                self._obey(switches.read(self._switches_file).broken)
            try:
                self._write_report()
            except OSError as error:  # a full disk, perhaps; the nodes run on
                if was_written:
                    log.warning("report not written", extra={"event": "report_not_written", "reason": str(error)})
                was_written = False
            else:
                was_written = True
            await asyncio.sleep(REPORT_EVERY_S)

    def _obey(self, broken: frozenset[Switch]) -> None:
        """Do what the switches of a demo say; called in the loop."""
        for name in broken ^ self._broken:
            match name, name in broken:
                case "receiver", True:
                    self._receiver.unplug()
                case "receiver", False:
                    self._receiver.plug()
                case "node", True:
                    self._network.cut_power(1)
                case "node", False:
                    self._network.restore_power(1)
        self._broken = broken

    def _write_report(self) -> None:
        """Replace the report in one step, so that no reader sees half of it."""
        timing = {"late_s": self._latest_ms / 1000, "held_up_s": self._held_up_ms / 1000}
        report = {"is_over": self._is_over, **timing, **self._network.report()}
        self._report_file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._report_file.with_suffix(".new")
        fresh.write_text(json.dumps(report), encoding="utf-8")
        fresh.replace(self._report_file)


def provision(path: Path, nodes: int) -> dict[int, NodeKey]:
    """The keys of the simulated nodes 1 to `nodes`, by number; those that the file lacks are made and written.

    Raises:
        InputError: The file of keys cannot be read or written, or others may read it.
    """
    keys = node_keys.read_key_file(path) if path.exists() else {}
    wanted = range(1, nodes + 1)
    if any(number not in keys for number in wanted):
        keys = {number: NodeKey(1, secrets.token_bytes(16)) for number in wanted} | keys
        path.parent.mkdir(parents=True, exist_ok=True)
        node_keys.write_key_file(path, keys)
    return {number: keys[number] for number in wanted}
