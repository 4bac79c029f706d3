"""The child processes of a demo, its broker and stations: starts, watches, disturbs and stops them."""

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aoii.broker import embedded
from aoii.commands.demo_settings import START_LIMIT_S, Options, Ports
from aoii.core.errors import UnavailableError

STOP_S = 12.0  # a station stops within 10 s by contract
LOG_TAIL_LINES = 15
CLOCK_AHEAD_S = 3600.0


@dataclass
class ProcessGroup:
    """The processes of one run.

    Attributes:
        options: Options of the demo.
        environment: Environment of every station.
        env_file: The file of settings of every station.
        folder: Folder of this run.
        ports: Where the stations listen.
        has_own_broker: Whether an embedded broker belongs to the run.
        origin_s: Monotonic time at which the run starts, s.
        duration_s: Length of the run, real seconds.
        notes: Disturbances and other events of the run, as sentences for the summary.
    """

    options: Options
    environment: dict[str, str]
    env_file: Path
    folder: Path
    ports: Ports
    has_own_broker: bool
    origin_s: float
    duration_s: float
    notes: list[str] = field(default_factory=list)
    _broker: subprocess.Popen[bytes] | None = None
    _is_broker_held: bool = False
    _stations: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self) -> None:
        """Start everything, from the end of the data path to its beginning.

        Raises:
            UnavailableError: The gateway did not start.
        """
        if self.has_own_broker and not self.options.broker_absent_s:
            self._start_broker()
        for station in ("server", "csv", "edgelog", "web", "gateway"):
            self._start_station(station)
        self._await_gateway()
        self._start_station("edge")

    def progress(self) -> float:
        """Share of the run that is over, 0..1."""
        return min(1.0, max(0.0, (time.monotonic() - self.origin_s) / self.duration_s))

    def step(self) -> None:
        """Start the broker and unplug the receiver when that is due, and check that every station runs.

        Raises:
            UnavailableError: A station ended; the message has the end of its log.
        """
        running_s = time.monotonic() - self.origin_s
        is_due = running_s >= self.options.broker_absent_s and not self._is_broker_held
        if self.has_own_broker and self._broker is None and is_due:
            self._start_broker()
            self.notes.append(f"the broker was absent for the first {self.options.broker_absent_s:g} s")
        self._unplug(running_s)
        for name, child in self._stations.items():
            if child.poll() is not None:
                problem = f"station {name} ended with exit code {child.returncode}"
                raise UnavailableError(f"{problem}:\n{self._log_tail(name)}")

    def hold_broker(self, is_held: bool) -> None:
        """Stop the broker and keep it from starting, or start it again."""
        self._is_broker_held = is_held
        if is_held and self._broker is not None:
            self._stop("broker", self._broker)
            self._broker = None
        elif not is_held and self._broker is None:
            self._start_broker()

    def restart_gateway(self, is_clock_ahead: bool) -> None:
        """Start the gateway anew, with its clock an hour ahead or right."""
        self._end("gateway")
        ahead = {}
        if is_clock_ahead:
            ahead["CLOCK_START_UNIX_S"] = str(float(self.environment["CLOCK_START_UNIX_S"]) + CLOCK_AHEAD_S)
        self._start_station("gateway", ahead)

    def end_nodes(self) -> None:
        """Stop the nodes, and make sure that there is a broker for what they have sent."""
        self._end("edgelog")  # first, because its port goes with the nodes
        self._end("edge")
        if self.has_own_broker and self._broker is None:
            self._start_broker()
            self.notes.append("the broker started only after the nodes had ended")

    def stop(self) -> None:
        """Stop every process, in the order of the data path."""
        for name in ("edgelog", "edge", "gateway", "csv", "web", "server"):
            self._end(name)
        if self._broker is not None:
            self._stop("broker", self._broker)

    def _start_broker(self) -> None:
        with (self.folder / "logs" / "broker.log").open("ab") as output:
            self._broker = embedded.start(self.ports.broker, self.folder / "run", output)

    def _start_station(self, name: str, more: Mapping[str, str] | None = None) -> None:
        command = [sys.executable, "-m", "aoii.cli", "--env-file", str(self.env_file)]
        with (self.folder / "logs" / f"{name}.log").open("ab") as output:
            self._stations[name] = subprocess.Popen(
                [*command, name],
                env=self.environment | dict(more or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C reaches only us
            )

    def _await_gateway(self) -> None:
        """Wait until the gateway answers on its status port; a packet sent earlier would be lost."""
        deadline_s = time.monotonic() + START_LIMIT_S
        while self._stations["gateway"].poll() is None and time.monotonic() < deadline_s:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.ports.gateway), timeout=1):
                return
            time.sleep(0.05)
        raise UnavailableError(f"the gateway did not start:\n{self._log_tail('gateway')}")

    def _unplug(self, running_s: float) -> None:
        """Signal the simulated receiver to vanish for `--unplug` seconds around the middle of the run."""
        begin_s = (self.duration_s - self.options.unplug_s) / 2
        for signal_number, at_s, note in (
            (signal.SIGUSR1, begin_s, f"the receiver was unplugged for {self.options.unplug_s:g} s"),
            (signal.SIGUSR2, begin_s + self.options.unplug_s, "and plugged in again"),
        ):
            if self.options.unplug_s and running_s >= at_s and note not in self.notes:
                self._stations["edge"].send_signal(signal_number)
                self.notes.append(note)

    def _log_tail(self, name: str) -> str:
        lines = (self.folder / "logs" / f"{name}.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-LOG_TAIL_LINES:])

    def _end(self, name: str) -> None:
        child = self._stations.pop(name, None)
        if child is not None:
            self._stop(name, child)

    def _stop(self, name: str, child: subprocess.Popen[bytes]) -> None:
        child.terminate()
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            self.notes.append(f"station {name} did not stop within {STOP_S:g} s and was killed")
