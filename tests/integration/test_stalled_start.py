"""A station whose disk does not answer while it starts has its start prolonged, and SIGTERM ends it.

A named pipe that nobody opens at its other end stands for the disk: opening it does not return either, in the kernel
and not in our code. A real disk may hold a thread even against SIGKILL; that is not tried here.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.supervisor import Supervisor
from servers import free_port, until


def _takes_signals(pid: int) -> bool:
    """Whether the station has got so far that it hears SIGTERM by itself."""
    status = Path(f"/proc/{pid}/status").read_text()
    blocked = next(line for line in status.splitlines() if line.startswith("SigBlk:"))
    return bool(int(blocked.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    supervisor = Supervisor(tmp_path / "notify", watchdog_s=1)
    yield supervisor
    supervisor.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc")
@pytest.mark.parametrize(("station", "pipe"), [("gateway", "outbox.db.lock"), ("server", "dead_letters.db")])
def test_a_station_whose_disk_stalls_at_its_start_ends_when_asked(
    data_dir: Path, supervisor: Supervisor, station: str, pipe: str
) -> None:
    os.mkfifo(data_dir / pipe)
    environment = os.environ | {
        "AOII_DATA_DIR": str(data_dir), "DATABASE": str(data_dir / "aoii.db"), "MQTT_BROKER": "127.0.0.1",
        "MQTT_PORT": str(free_port()), "SERIAL_PORT": str(data_dir / "absent"),
        "GATEWAY_STATUS_PORT": "0", "SERVER_STATUS_PORT": "0",
    } | supervisor.environment  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-m", "aoii.cli", station], env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        until(lambda: _takes_signals(process.pid), 60, "the station hears signals")
        until(lambda: supervisor.has("EXTEND_TIMEOUT_USEC=1000000"), 60, "the start is prolonged")

        process.send_signal(signal.SIGTERM)

        try:
            assert process.wait(20) == 0
            assert "check the disk" in process.stderr.read()
        finally:
            process.kill()
