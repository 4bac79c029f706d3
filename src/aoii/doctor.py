"""`aoii doctor`: one look at everything a station needs, and for each fault what to do about it.

It changes nothing: it opens what the stations open, and closes it again.
"""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from aoii import node_keys, settings
from aoii.broker.client import Client
from aoii.core.errors import AoiiError, SettingsError
from aoii.gateway import weights
from aoii.server.db import open_database
from aoii.settings import Settings

BROKER_WAIT_S = 5.0
DISK_LOW_BYTES = 500 * 1024 * 1024
CLOCK_FLOOR_UNIX_S = 1_704_067_200  # 2024-01-01: a machine that shows less booted without a clock


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `remedy` is None when it is well."""

    subject: str
    state: str
    remedy: str | None = None


def run(env_file: Path | None) -> int:
    """Print the findings; 0 when all is well, 1 when something has to be done."""
    failed = False
    for finding in examine(env_file):
        mark = "ok  " if finding.remedy is None else "FAIL"
        print(f"{mark}  {finding.subject:12} {finding.state}")
        if finding.remedy is not None:
            failed = True
            print(f"      {'':12} -> {finding.remedy}")
    return 1 if failed else 0


def examine(env_file: Path | None) -> Iterator[Finding]:
    """Look at the settings, then at everything they name."""
    try:
        values = settings.load(env_file=env_file)
    except SettingsError as error:
        for fault in error.faults:
            what, _, remedy = fault.partition("; ")
            yield Finding("settings", what, remedy)
        return
    if not values.warnings:
        yield Finding("settings", f"{len(values.given)} set, the rest at their defaults")
    for warning in values.warnings:
        what, _, remedy = warning.partition("; ")
        yield Finding("settings", what, remedy)
    for subject, look in LOOKS:
        try:
            yield from look(values)
        except AoiiError as error:
            what, _, remedy = str(error).partition("; ")
            yield Finding(subject, what, remedy or "see the message")


def _disk(values: Settings) -> Iterator[Finding]:
    folder = values.data_dir
    while not folder.exists():
        folder = folder.parent if folder.parent != folder else Path()
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        yield Finding("disk", f"{folder}: {error.strerror}", "give this user the folder, or set AOII_DATA_DIR")
        return
    free = shutil.disk_usage(folder).free
    state = f"{free / 1e9:.1f} GB free for {values.data_dir}"
    yield Finding("disk", state, "make room, or set AOII_DATA_DIR to a larger disk" if free < DISK_LOW_BYTES else None)


def _clock(values: Settings) -> Iterator[Finding]:
    now = time.time()
    state = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(now))
    remedy = "set the clock or start a time service; until then rows are marked as not synchronised"
    yield Finding("clock", state, remedy if now < CLOCK_FLOOR_UNIX_S else None)


def _serial(values: Settings) -> Iterator[Finding]:
    for port in values.gateway.serial_ports:
        yield _port("serial port", port, "plug the receiver in, or correct SERIAL_PORT")
    for source in values.server.edge_log_ports:
        yield _port("log port", source.port, "connect the node's USB port, or correct EDGE_LOG_PORT")


def _port(subject: str, port: str, remedy: str) -> Finding:
    path = Path(port)
    if not path.exists():
        return Finding(subject, f"{port} does not exist", remedy)
    if not path.is_char_device():
        return Finding(subject, f"{port} is no serial port", remedy)
    if not os.access(path, os.R_OK | os.W_OK):
        return Finding(subject, f"{port} may not be opened", "add this user to the group dialout, and log in again")
    return Finding(subject, f"{port} is there")


def _weights(values: Settings) -> Iterator[Finding]:
    path = values.gateway.mirror_weights
    if path is not None:
        weights.load(path)
        yield Finding("weights", f"{path} holds the old nodes' network")


def _keys(values: Settings) -> Iterator[Finding]:
    path = values.gateway.node_keys_file
    if not path.exists():
        yield Finding("node keys", f"{path} does not exist: old nodes only")
    else:
        yield Finding("node keys", f"{len(node_keys.load(path))} nodes in {path}")


def _broker(values: Settings) -> Iterator[Finding]:
    where = f"{values.mqtt.host}:{values.mqtt.port}"
    client = Client(values.mqtt, f"aoii-doctor-{os.getpid()}")
    client.start()
    try:
        if client.wait_ready(BROKER_WAIT_S):
            yield Finding("broker", f"{where} answers")
        elif client.refusal is not None:
            yield Finding(
                "broker", client.refusal, "correct MQTT_USERNAME and MQTT_PASSWORD, or the broker's configuration"
            )
        else:
            remedy = "start the broker, or correct MQTT_BROKER and MQTT_PORT"
            state = client.trouble or f"no answer within {BROKER_WAIT_S:g} s"
            yield Finding("broker", f"{where}: {state}", remedy)
    finally:
        client.stop()


def _database(values: Settings) -> Iterator[Finding]:
    base = values.database
    if base.host is None and not base.sqlite_path.exists():
        yield Finding("database", f"SQLite, {base.sqlite_path} will be made by the server")
        return
    with contextlib.closing(open_database(base)) as database:
        database.ping()
        where = f"MySQL at {base.host}:{base.port}" if base.host else f"SQLite, {base.sqlite_path}"
        yield Finding("database", f"{where}: {database.stats().total} readings")


LOOKS: tuple[tuple[str, Callable[[Settings], Iterator[Finding]]], ...] = (
    ("disk", _disk),
    ("clock", _clock),
    ("serial port", _serial),
    ("weights", _weights),
    ("node keys", _keys),
    ("broker", _broker),
    ("database", _database),
)
