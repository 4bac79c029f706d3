"""A station as the process that an operator starts, to be killed, frozen, ended and started again."""

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

import aoii
from aoii.runtime.shutdown import PARENT_VARIABLE
from servers import freeze_process, until

STOP_S = 10.0  # a graceful stop may take this long, by contract
START_S = 30.0
SCRAPE_TIMEOUT_S = 2.0
TESTS = Path(__file__).parent.parent
SOURCE = Path(aoii.__file__).parent.parent


class Station:
    """One station.

    Args:
        name: Command of `aoii`.
        folder: Working directory; the log lies there.
        environment: Its settings.
        status_port: Where it serves its metrics.
        variant: The version that it usually is, by its name in `faults.variants`; None: the real one.
    """

    def __init__(
        self, name: str, folder: Path, environment: dict[str, str], status_port: int, variant: str | None = None
    ) -> None:
        self.name = name
        self.folder = folder
        self._variant = variant
        self._environment = {
            key: value for key, value in os.environ.items() if not key.startswith(("MYSQL_", "MQTT_", "AOII_"))
        } | {PARENT_VARIABLE: str(os.getpid()), "PYTHONPATH": f"{TESTS}:{SOURCE}"} | environment  # fmt: skip
        self._status_port = status_port
        self._is_usual = True
        self._is_frozen = False
        self._past: dict[tuple[str, str], float] = {}  # counters of processes that have ended, as last seen
        self._present: dict[tuple[str, str], float] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self.rss_max_mb = 0.0
        self.faults: list[str] = []  # what it did that no station may do
        folder.mkdir(parents=True, exist_ok=True)

    def set(self, **settings: str) -> None:
        """Change its settings from its next start on."""
        self._environment |= settings

    def start(self, variant: str | None = None, **extra: str) -> None:
        """Start it, without waiting for anything.

        Args:
            variant: A deliberately wrong version, by its name in `faults.variants`; None: the usual one.
            extra: Settings that it does not usually have; `heal` puts that and the variant right.
        """
        self._is_usual = variant is None and not extra
        chosen = variant or self._variant
        program = ["aoii.cli"] if chosen is None else ["faults.variants", chosen]
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *program, self.name],
                cwd=self.folder,
                env=self._environment | extra,
                stdout=log,
                stderr=log,
            )

    def wait_started(self) -> None:
        """Wait until it serves its status page."""
        until(lambda: self._scrape() is not None, START_S, f"{self.name} serves its status page; see {self.folder}")

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._look()
        if self.process is not None:
            self.process.kill()
        self._gone()

    def stop(self) -> None:
        """SIGTERM, and have it end with exit code 0 within 10 s; everything else is a fault of its own."""
        assert self.process is not None
        self.thaw()
        self.note()
        self.process.terminate()
        try:
            code = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.faults.append(f"{self.name} did not stop within {STOP_S:g} s")
            self.kill()
            return
        self._gone()
        if code != 0:
            self.faults.append(f"{self.name} stopped with exit code {code}")

    def reap(self) -> None:
        """Wait until it has died as it was told to."""
        until(lambda: self.has_died, START_S, f"{self.name} dies")
        self._gone()

    def freeze(self) -> None:
        """SIGSTOP, if it runs."""
        if self.process is not None:
            freeze_process(self.process.pid)
            self._is_frozen = True

    def thaw(self) -> None:
        """SIGCONT."""
        if self._is_frozen and self.process is not None:
            self.process.send_signal(signal.SIGCONT)
        self._is_frozen = False

    @property
    def has_died(self) -> bool:
        """Whether the process is gone."""
        return self.process is None or self.process.poll() is not None

    def heal(self) -> None:
        """Have it run with its usual settings."""
        self.thaw()
        if self.has_died:
            if self.process is not None:
                self.faults.append(f"{self.name} ended by itself with exit code {self.process.returncode}")
            self._gone()
            self.start()
        elif not self._is_usual:
            self.stop()
            self.start()

    def note(self) -> None:
        """Remember counters and memory, before the process may be gone."""
        self._look()
        if (found := self._scrape()) is not None:
            self._present = found

    def count(self, name: str, **labels: str) -> float:
        """A counter over all processes of this station so far, as last seen: at least this."""
        self.note()
        wanted = (name, ",".join(f"{key}={value}" for key, value in sorted(labels.items())))
        return self._past.get(wanted, 0) + self._present.get(wanted, 0)

    def gauge(self, name: str) -> float | None:
        """A gauge without labels, now; None when it does not answer."""
        return (self._scrape() or {}).get((name, ""))

    def takes_part(self) -> bool:
        """Whether it is connected to the broker and has opened its serial ports; opening drops what waits in one."""
        found = self._scrape() or {}
        ports = [value for (name, _), value in found.items() if name == "aoii_gateway_serial_up"]
        return found.get(("aoii_broker_up", "")) == 1 and bool(ports or self.name != "gateway") and all(ports)

    def said(self, text: str) -> int:
        """How often its log says this."""
        return (self.folder / f"{self.name}.log").read_text(errors="replace").count(text)

    def log_tail(self, lines: int = 20) -> str:
        """The end of its log."""
        return "\n".join((self.folder / f"{self.name}.log").read_text(errors="replace").splitlines()[-lines:])

    def _gone(self) -> None:
        if self.process is not None:
            self.process.wait()
        self.process = None
        self._is_frozen = False
        for key, value in self._present.items():
            self._past[key] = self._past.get(key, 0) + value
        self._present = {}

    def _look(self) -> None:
        """How much memory it has had at most."""
        if self.process is not None:
            status = Path(f"/proc/{self.process.pid}/status")
            try:
                peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
            except (OSError, StopIteration):  # it has ended
                return
            self.rss_max_mb = max(self.rss_max_mb, int(peak.split()[1]) / 1024)

    def _scrape(self) -> dict[tuple[str, str], float] | None:
        """Counters by name and labels; None when it does not answer."""
        if self.process is None or self._is_frozen:
            return None
        address = f"http://127.0.0.1:{self._status_port}/metrics"
        try:
            with urllib.request.urlopen(address, timeout=SCRAPE_TIMEOUT_S) as answer:
                text = answer.read().decode()
        except OSError:
            return None
        return {
            (sample.name, ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
