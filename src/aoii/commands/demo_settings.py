"""The options of a demo, and the settings that its stations get.

The stations write to the demo's own folder, listen on free loopback ports, and share one simulated clock.
"""

import contextlib
import errno
import os
import random
import secrets
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from aoii.runtime.shutdown import PARENT_VARIABLE
from aoii.security import node_keys
from aoii.security.node_keys import NodeKey
from aoii.server.db import open_database
from aoii.settings import ENV_FILE, Settings
from aoii.settings.channel import ChannelModel
from aoii.settings.model import CHANNEL
from aoii.simulation.recordings import Series

EPOCH_LIMIT = 1 << 16  # our own nodes have epochs below this; a node with the old firmware has one above
# the user's settings that a demo must not use; set to empty, because one that is merely absent is read from .env
IGNORED = ("EDGE_RECEIVER_LINK", "EDGE_LOG_LINK", "MIRROR_WEIGHTS")
START_LIMIT_S = 30.0  # real; it takes 1 s on an idle machine
START_ALLOWANCE_S = 3.0  # real seconds for the stations to start before the first sample
SWITCHES_FILE = "run/switches.json"  # in the demo's folder
PORT_RANGE = 20_000, 32_000  # below the ports of outgoing connections: from 32768 on Linux, from 49152 on macOS
IGNORED_WITH_OWN_BROKER = ("MQTT_NAMESPACE", "MQTT_TLS_CA", "MQTT_TLS_CERT", "MQTT_TLS_KEY")  # of the user's broker


@dataclass(frozen=True)
class Options:
    """The options of `aoii demo`.

    Attributes:
        duration_s: Length of the run, real seconds; None: until the recording ends.
        speed: Times real time.
        nodes: Number of nodes.
        channel: What happens to packets on the air.
        recording: What the nodes replay; None: the shipped day.
        seed: Seed of the radio's random numbers.
        headless: Whether to show no live view.
        json_file: Where to write the summary; None: nowhere.
        broker_absent_s: How late the broker starts, real seconds.
        unplug_s: How long the receiver is unplugged in the middle of the run, real seconds.
    """

    duration_s: float | None
    speed: float
    nodes: int
    channel: ChannelModel
    recording: Path | None
    seed: int
    headless: bool
    json_file: Path | None
    broker_absent_s: float
    unplug_s: float


class Ports(NamedTuple):
    """Loopback ports: of the embedded broker, and the status ports of the stations."""

    broker: int
    gateway: int
    server: int
    csv: int
    edge_log: int
    edge: int


def listener(host: str, port: int) -> socket.socket:
    """A socket that listens there, as a station would.

    Raises:
        OSError: The port is in use, or the address is none of ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


def free_port(host: str) -> int:
    """A port that is free now."""
    with _on_a_free_port(host) as probe:
        return int(probe.getsockname()[1])


def free_ports() -> Ports:
    """Ports that are free now, all different."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(_on_a_free_port("127.0.0.1")) for _ in Ports._fields]
        return Ports(*(int(probe.getsockname()[1]) for probe in probes))


def _on_a_free_port(host: str) -> socket.socket:
    """A socket that listens on a port which no outgoing connection takes once we have closed it."""
    while True:
        try:
            return listener(host, random.randrange(*PORT_RANGE))  # noqa: S311 - not a secret
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise


def station_environment(
    settings: Settings, options: Options, folder: Path, series: Series, duration_s: float, origin_s: float, ports: Ports
) -> dict[str, str]:
    """The environment of every station of a run.

    Args:
        settings: The user's settings.
        options: Options of the demo.
        folder: Folder of this run.
        series: What the nodes replay.
        duration_s: Length of the run, real seconds.
        origin_s: Monotonic time at which the simulated clock starts, s.
        ports: Where the stations listen.
    """
    return {
        **os.environ,
        **dict.fromkeys(IGNORED, ""),
        PARENT_VARIABLE: str(os.getpid()),
        "AOII_DATA_DIR": str(folder),
        "SERIAL_PORT": str(folder / "run" / "receiver"),
        "EDGE_LOG_PORT": str(folder / "run" / "edge_log"),
        "NODE_KEYS_FILE": str(folder / "node_keys"),
        "NODES_FILE": str(folder / "nodes.json"),
        "CSV_FILE": str(folder / "experiment_log_online.csv"),
        "GATEWAY_ID": "demo",
        "PORT": str(settings.web.port),
        "SAMPLE_PERIOD_S": str(round(series.interval_s)),
        **{f"{name.upper()}_STATUS_PORT": str(port) for name, port in ports._asdict().items() if name != "broker"},
        "EDGE_NODES": str(options.nodes),
        "EDGE_SEED": str(options.seed),
        "EDGE_RECORDING": "" if options.recording is None else str(options.recording.resolve()),
        "EDGE_DURATION_S": str(duration_s),
        "EDGE_SWITCHES_FILE": str(folder / SWITCHES_FILE),
        "EDGE_RECORD_FILE": str(folder / "run" / "radio_record.csv"),
        "CLOCK_SPEED": str(options.speed),
        "CLOCK_START_UNIX_S": str(start_unix_s(time.time(), duration_s, options.speed)),
        "CLOCK_ORIGIN_S": str(origin_s),
        **channel_settings(options.channel),
        **_broker_settings(settings, ports.broker),
    }


def start_unix_s(now_s: float, duration_s: float, speed: float) -> int:
    """Unix time at which the simulated clock of a run starts: so early that the run ends at the present.

    So its readings lie in the last hours or days, where Grafana and the page look, and none in the future, though the
    clock also runs while the stations start.
    """
    return int(now_s + duration_s - (duration_s + START_LIMIT_S) * speed)


def shared_file(env_file: Path | None, folder: Path) -> Path:
    """The user's file of settings as a link in `folder`, beside which no station has a file of its own.

    What a station needs in an installation, such as a user at its database, is not for a demo.
    """
    link = folder / "settings.env"
    shared = Path(ENV_FILE if env_file is None else env_file).resolve()
    link.symlink_to(shared if shared.exists() else os.devnull)
    return link


def has_own_broker(settings: Settings) -> bool:
    """Whether the demo starts a broker of its own."""
    return "MQTT_BROKER" not in settings.given


def channel_settings(channel: ChannelModel) -> Mapping[str, str]:
    """Every setting of the channel, also those at their defaults, because the user's `.env` may set others."""
    values = {setting.name: getattr(channel, field) for field, setting in CHANNEL.items()}
    return {name: "" if value is None else str(value) for name, value in values.items()}


def _broker_settings(settings: Settings, own_port: int) -> Mapping[str, str]:
    if has_own_broker(settings):
        empty = dict.fromkeys(IGNORED_WITH_OWN_BROKER, "")
        return {"MQTT_BROKER": "127.0.0.1", "MQTT_PORT": str(own_port), **empty}
    return {
        "MQTT_BROKER": settings.mqtt.host,
        "MQTT_PORT": str(settings.mqtt.port),
        "MQTT_NAMESPACE": "demo",  # do not mix with an installation on the same broker
    }


def provision_nodes(settings: Settings, count: int) -> int:
    """Give each of `count` nodes a key; return their epoch: new to the database, so no identity repeats."""
    with contextlib.closing(open_database(settings.database, migrate=True)) as database:
        epoch = 1 + max((who.epoch for who in database.identities() if who.epoch < EPOCH_LIMIT), default=0)
    keys = {number: NodeKey(epoch, secrets.token_bytes(16)) for number in range(1, count + 1)}
    node_keys.write_key_file(settings.gateway.node_keys_file, keys)
    return epoch
