"""`aoii edge` by hand, on the machine's own clock."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from servers import free_port, until

SPEED = 120
NODES = 3


def test_nodes_sample_at_the_pace_of_the_clock_however_long_the_machine_is_up(tmp_path: Path) -> None:
    report = tmp_path / "data" / "run" / "edge_report.json"
    environment = dict(os.environ) | {
        "CLOCK_SPEED": str(SPEED), "EDGE_NODES": str(NODES), "EDGE_STATUS_PORT": str(free_port()),
    }  # fmt: skip
    began_s = time.monotonic()
    station = subprocess.Popen([sys.executable, "-m", "aoii.cli", "edge"], cwd=tmp_path, env=environment)

    def samples() -> int:
        return int(json.loads(report.read_text())["samples"]) if report.exists() else 0

    until(lambda: samples() >= NODES, 30, "the first samples")
    counted = samples()
    elapsed_min = (time.monotonic() - began_s) * SPEED / 60
    station.send_signal(signal.SIGTERM)

    assert counted <= NODES * (elapsed_min + 1)
    assert station.wait(10) == 0
