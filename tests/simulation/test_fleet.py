"""`aoii edge` by hand, on the machine's own clock."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from aoii.runtime.status_port import served
from aoii.simulation.fleet import ASK_EVERY_S, GATEWAY_START_S
from servers import free_port, freeze_process, until

SPEED = 120
NODES = 3
REPORT_LAG = 3  # samples since the last report


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


def test_nodes_begin_when_the_gateway_has_a_port_open(tmp_path: Path) -> None:
    report, gateway_port = tmp_path / "data" / "run" / "edge_report.json", free_port()
    has_opened, asked = threading.Event(), list[bool]()

    def ready() -> dict[str, bool]:
        asked.append(has_opened.is_set())
        return {"serial": has_opened.is_set()}

    environment = dict(os.environ) | {
        "CLOCK_SPEED": "3600", "EDGE_NODES": str(NODES), "EDGE_STATUS_PORT": "0",
        "GATEWAY_STATUS_PORT": str(gateway_port),
    }  # fmt: skip
    with served("gateway", gateway_port, dict, ready):
        station = subprocess.Popen([sys.executable, "-m", "aoii.cli", "edge"], cwd=tmp_path, env=environment)
        until(lambda: len(asked) > 3 * GATEWAY_START_S / ASK_EVERY_S, 60, "the nodes ask for three times a start")
        before = json.loads(report.read_text())
        has_opened.set()
        until(lambda: json.loads(report.read_text())["samples"] >= NODES, 30, "the first samples")
        station.send_signal(signal.SIGTERM)
        code = station.wait(10)

    assert (before["samples"], before["events"]) == (0, 0)
    assert code == 0


def test_nodes_that_were_held_up_do_not_catch_up(tmp_path: Path) -> None:
    report = tmp_path / "data" / "run" / "edge_report.json"
    environment = dict(os.environ) | {
        "CLOCK_SPEED": str(SPEED), "EDGE_NODES": "1", "EDGE_STATUS_PORT": "0", "GATEWAY_STATUS_PORT": "0",
    }  # fmt: skip

    def snapshot() -> dict[str, float]:
        return dict(json.loads(report.read_text())) if report.exists() else {"samples": 0}

    station = subprocess.Popen([sys.executable, "-m", "aoii.cli", "edge"], cwd=tmp_path, env=environment)
    until(lambda: snapshot()["samples"] >= 1, 30, "the first sample")
    freeze_process(station.pid)
    before, stopped_s = snapshot(), time.monotonic()
    time.sleep(5)  # this is the fault: ten simulated minutes
    station.send_signal(signal.SIGCONT)
    until(lambda: snapshot()["held_up_s"] > before["held_up_s"], 30, "it notices")
    after = snapshot()
    passed_s = (time.monotonic() - stopped_s) * SPEED
    held_up_s = after["held_up_s"] - before["held_up_s"]  # without the wait for an answer to the first packet
    station.send_signal(signal.SIGTERM)

    assert station.wait(10) == 0
    assert after["late_s"] >= 540
    assert held_up_s >= 540
    assert after["samples"] - before["samples"] <= (passed_s - held_up_s) / 60 + REPORT_LAG


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
