"""Bytes that each process writes to the disk for one accepted reading, which is what wears out a memory card.

Run: .venv/bin/python benchmarks/bench_writes.py [--count N] [--every S] [--folder DIR] [--json FILE]

Gateway, server and CSV subscriber run as they are deployed, once with a Mosquitto that saves its file every second and
once with one that saves nothing. Readings arrive one at a time on a pseudo-terminal, as from a receiver of the older
installation, so no two share a commit. `write_bytes` of /proc/PID/io is counted: the pages that a process made dirty.
Writes of the file system itself, above all its journal, are not counted.
"""

import argparse
import json
import os
import platform
import pty
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tty
import urllib.request
from pathlib import Path

STATIONS = {"gateway": "GATEWAY_STATUS_PORT", "server": "SERVER_STATUS_PORT", "csv": "CSV_STATUS_PORT"}
REPLY_LIMIT_S = 10.0
START_LIMIT_S = 60.0
QUIET_S = 5.0  # for acknowledgements, deletions and checkpoints in progress


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def written(process: subprocess.Popen[bytes]) -> int:
    """Bytes that the process has sent to the disk so far."""
    lines = Path(f"/proc/{process.pid}/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


def answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2).close()
    except OSError:
        return False
    return True


def send_reading(far: int, number: int) -> None:
    """Send one reading of an old node and wait for the reply."""
    os.write(far, f"Received: {20 + number % 7:.2f},{40 + number % 5:.2f}\n".encode())
    reply = b""
    while not reply.endswith(b"\n"):
        if not select.select([far], [], [], REPLY_LIMIT_S)[0]:
            raise SystemExit("the gateway did not answer")
        reply += os.read(far, 100)


def measure(folder: Path, keeps: bool, count: int, every_s: float) -> dict[str, float]:
    """Bytes for each reading, and bytes a minute without readings (`idle ...`), by process."""
    broker_port = free_port()
    ports = {name: free_port() for name in STATIONS}
    lines = [f"listener {broker_port} 127.0.0.1", "allow_anonymous true"]
    if os.geteuid() == 0:
        lines.append("user root")
    if keeps:
        lines += ["persistence true", f"persistence_location {folder}/", "autosave_interval 1"]
    config = folder / "mosquitto.conf"
    config.write_text("\n".join([*lines, ""]))
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    environ = {
        "PATH": os.environ["PATH"], "AOII_DATA_DIR": str(folder / "data"), "MQTT_BROKER": "127.0.0.1",
        "MQTT_PORT": str(broker_port), "SERIAL_PORT": os.ttyname(theirs), "LOG_LEVEL": "warning",
        **{STATIONS[name]: str(port) for name, port in ports.items()},
    }  # fmt: skip
    broker = [shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-c", str(config)]
    processes = {"mosquitto": subprocess.Popen(broker, stderr=subprocess.DEVNULL)}
    try:
        for name in STATIONS:
            command = [sys.executable, "-m", "aoii.cli", name]
            processes[name] = subprocess.Popen(command, env=environ, cwd=folder)
        deadline_s = time.monotonic() + START_LIMIT_S
        while not all(answers(port) for port in ports.values()):
            if time.monotonic() > deadline_s:
                raise SystemExit("the stations did not get ready")
            time.sleep(0.1)
        send_reading(ours, 0)  # the first one makes files and tables
        time.sleep(QUIET_S)
        before = {name: written(process) for name, process in processes.items()}
        time.sleep(60)
        idle = {name: written(process) - before[name] for name, process in processes.items()}
        before = {name: written(process) for name, process in processes.items()}
        for number in range(count):
            send_reading(ours, number)
            time.sleep(every_s)
        time.sleep(QUIET_S)
        found = {name: (written(process) - before[name]) / count for name, process in processes.items()}
        return found | {f"idle {name}": float(value) for name, value in idle.items()}
    finally:
        for process in reversed(processes.values()):
            process.send_signal(signal.SIGTERM)
            process.wait(20)
        os.close(ours)
        os.close(theirs)


def commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=60, help="readings (default: %(default)s)")
    parser.add_argument("--every", type=float, default=1.0, metavar="S", help="seconds between two (default: 1)")
    parser.add_argument("--folder", type=Path, default=Path(), help="folder on the disk to measure; not a tmpfs")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = {}
    for keeps in (True, False):
        with tempfile.TemporaryDirectory(dir=options.folder) as place:
            what = "broker saves every second" if keeps else "broker keeps nothing"
            results[what] = measure(Path(place), keeps, options.count, options.every)
        print(what)
        for name, value in results[what].items():
            print(f"  {name:16} {value:10,.0f} bytes {'a minute' if name.startswith('idle') else 'a reading'}")
    if options.json is not None:
        about = {"machine": platform.platform(), "cpus": os.cpu_count(), "commit": commit(), "readings": options.count}
        options.json.write_text(json.dumps(about | {"bytes": results}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
