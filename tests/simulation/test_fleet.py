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


def test_a_report_that_cannot_be_written_for_a_while_is_written_again(tmp_path: Path) -> None:
    run = tmp_path / "data" / "run"
    report, in_the_way = run / "edge_report.json", run / "edge_report.new"
    environment = dict(os.environ) | {"CLOCK_SPEED": str(SPEED), "EDGE_NODES": str(NODES)}
    environment |= {"EDGE_STATUS_PORT": str(free_port())}
    command = [sys.executable, "-m", "aoii.cli", "edge"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as station:
        assert station.stderr is not None
        until(report.exists, 30, "the first report")
        _place_folder(in_the_way)

        assert any("report not written" in line for line in station.stderr)

        in_the_way.rmdir()
        before_ns = report.stat().st_mtime_ns
        until(lambda: report.stat().st_mtime_ns > before_ns, 30, "a new report")
        station.send_signal(signal.SIGTERM)
        assert station.wait(10) == 0


def _place_folder(path: Path) -> None:
    """Make a folder where a file comes and goes."""
    while True:
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return
