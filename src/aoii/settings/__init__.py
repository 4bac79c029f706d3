"""Settings: the one `.env` (or the environment) read once into frozen values, every fault reported at once.

`CATALOGUE` is the only list of settings. It makes `.env.example` and `docs/reference/settings.md`
(`aoii.commands.reference`), and tests hold both to it. The environment wins over the file, so that a service manager
can override one value. Each station takes only its own part of `Settings`. Settings of the older installation keep
their names and defaults; only an unset `MYSQL_HOST` means SQLite here.
"""

import difflib
import io
import math
import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from aoii.core.errors import SettingsError
from aoii.runtime.clock import Clock
from aoii.security.tls import Tls
from aoii.settings.channel import BURST_REMEDY, COLLISIONS, DELAY_LIMIT_S, NEIGHBOURS_LIMIT, Burst, Weather
from aoii.settings.channel import burst as parse_burst

T = TypeVar("T")

ENV_FILE = ".env"
TOKEN_LENGTH = 16  # 64 bits when they are hexadecimal digits: nobody guesses that over a network
NODES_LIMIT = 500  # as many as the page's overview shows


@dataclass(frozen=True)
class Setting:
    """One line of the catalogue: its name, its default as it would stand in `.env` (None: unset), and what it means."""

    name: str
    default: str | None
    help: str
    secret: bool = False


@dataclass(frozen=True)
class Section:
    """A group of settings that belong to one station or peer."""

    title: str
    settings: tuple[Setting, ...]


CATALOGUE = (
    Section(
        "Files",
        (Setting("AOII_DATA_DIR", "data", "Folder for everything that a station writes."),),
    ),
    Section(
        "Database",
        (
            Setting("MYSQL_HOST", None, "MySQL or MariaDB host. Unset: SQLite in AOII_DATA_DIR/aoii.db."),
            Setting("MYSQL_PORT", "3306", "Port of the database."),
            Setting("MYSQL_USER", "root", "Database user."),
            Setting("MYSQL_PASSWORD", "", "Password of MYSQL_USER.", secret=True),
            Setting("MYSQL_PASSWORD_FILE", None, "File that holds the password instead, readable by nobody else."),
            Setting("MYSQL_DATABASE", "aoii", "Schema that holds `readings` and `edge_log`."),
            Setting(
                "MYSQL_TLS_CA",
                None,
                "Certificate of the authority that the database's must come from, or `system` for those that this "
                "machine trusts. Unset: nothing is verified, and encrypted only where the database offers it.",
            ),
            Setting("MYSQL_TLS_CERT", None, "Our certificate for the database, if it asks for one."),
            Setting("MYSQL_TLS_KEY", None, "Key of MYSQL_TLS_CERT, readable by nobody else."),
        ),
    ),
    Section(
        "MQTT broker",
        (
            Setting("MQTT_BROKER", "localhost", "Host of the broker."),
            Setting("MQTT_PORT", "1883", "Port of the broker."),
            Setting("MQTT_USERNAME", None, "User name for the broker; unset: anonymous."),
            Setting("MQTT_PASSWORD", None, "Password of MQTT_USERNAME.", secret=True),
            Setting("MQTT_PASSWORD_FILE", None, "File that holds the password instead, readable by nobody else."),
            Setting(
                "MQTT_TLS_CA",
                None,
                "Certificate of the authority that the broker's must come from, or `system` for those that this "
                "machine trusts. Unset: no TLS. The port of TLS is usually 8883.",
            ),
            Setting(
                "MQTT_TLS_CERT",
                None,
                "Our certificate for the broker, instead of a password; its common name is our user name.",
            ),
            Setting("MQTT_TLS_KEY", None, "Key of MQTT_TLS_CERT, readable by nobody else."),
            Setting(
                "MQTT_NAMESPACE",
                None,
                "Stands before every topic and client id: keeps an experiment apart on a shared broker.",
            ),
        ),
    ),
    Section(
        "Gateway",
        (
            Setting("GATEWAY_ID", "gateway", "Name of this gateway, stable for ever; give each of several its own."),
            Setting("SERIAL_PORT", "/dev/ttyUSB0", "LoRa receiver; several ports are separated by commas."),
            Setting("BETA_TEMP", "0.5", "Temperature error, °C, from which an RX is published at QoS 1."),
            Setting("BETA_HUM", "3.0", "Humidity error, %RH, from which an RX is published at QoS 1."),
            Setting("SAMPLE_PERIOD_S", "60", "Seconds between two samples of a node."),
            Setting(
                "HEARTBEAT_S", "3600", "A node that had nothing to correct reports after this many seconds; 0: never."
            ),
            Setting(
                "HEARTBEAT_MIN_S",
                "600",
                "After this many on a bad link; twice as long with each packet that needs no resend, up to "
                "HEARTBEAT_S.",
            ),
            Setting(
                "TAU", "1", "A node corrects a picture that has been wrong at this many samples in a row, 1 to 255."
            ),
            Setting(
                "NODE_KEYS_FILE",
                None,
                "Keys of our own nodes, one `node epoch key` a line. Default: AOII_DATA_DIR/node_keys.",
            ),
            Setting(
                "MIRROR_WEIGHTS",
                None,
                "The older installation's gateway.py, read for the weights of its MLP (never executed). "
                "Unset: the picture of an old node is its last reading.",
            ),
            Setting(
                "OUTBOX_MAX_MB",
                "256",
                "Size at which the outbox is full and the radio gets no acknowledgement any more.",
            ),
            Setting("GATEWAY_STATUS_PORT", "5011", "Loopback port of the gateway's /metrics and /healthz; 0: none."),
        ),
    ),
    Section(
        "Server",
        (
            Setting("INSERT_MAX_RETRIES", "5", "Retries of a failed insert before the rows go to the dead letters."),
            Setting("INSERT_BASE_DELAY", "1.0", "Seconds before the first retry; each later one waits twice as long."),
            Setting(
                "DEAD_LETTER_MAX_MB",
                "256",
                "Size at which the dead letters are full and the server stops acknowledging.",
            ),
            Setting("SERVER_STATUS_PORT", "5012", "Loopback port of the server's /metrics and /healthz; 0: none."),
            Setting("CSV_FILE", None, "File of `aoii csv`. Default: AOII_DATA_DIR/experiment_log_online.csv."),
            Setting("CSV_STATUS_PORT", "5013", "Loopback port of the CSV subscriber's /metrics and /healthz; 0: none."),
            Setting(
                "EDGE_LOG_PORT",
                None,
                "Serial port with a node's USB log, for `aoii edgelog`; several are separated by commas. "
                "`PORT=NODE` names the node of a port, such as /dev/ttyUSB1=gateway/ttyUSB0 for an old one.",
            ),
            Setting(
                "EDGE_LOG_STATUS_PORT", "5014", "Loopback port of the log reader's /metrics and /healthz; 0: none."
            ),
        ),
    ),
    Section(
        "Web page",
        (
            Setting("PORT", "5001", "Port of the web page and of /metrics."),
            Setting(
                "WEB_HOST",
                "127.0.0.1",
                "Address that the web page listens on; any but loopback needs WEB_TOKEN as well.",
            ),
            Setting(
                "WEB_TOKEN",
                None,
                "What the web page asks everybody for, 16 characters or more; unset: nothing is asked.",
                secret=True,
            ),
            Setting("WEB_TOKEN_FILE", None, "File that holds the token instead, readable by nobody else."),
            Setting("WEB_TLS_CERT", None, "Certificate that the web page shows; unset: plain HTTP."),
            Setting("WEB_TLS_KEY", None, "Key of WEB_TLS_CERT, readable by nobody else."),
            Setting(
                "WEB_STATIONS",
                None,
                "Where the page asks the stations how they are, `STATION=HOST:PORT` separated by commas, such as "
                "gateway=10.0.0.5:5011,server=127.0.0.1:5012. Unset: the status ports on this machine.",
            ),
            Setting(
                "WEB_NODES",
                None,
                "Nodes that are expected, such as 1-20,33: the page shows those that were never heard. Unset: none.",
            ),
        ),
    ),
    Section(
        "Simulated nodes (`aoii edge`)",
        (
            Setting(
                "EDGE_RECORDING", None, "CSV or CSV.gz that the nodes replay. Unset: the shipped NOAA SURFRAD day."
            ),
            Setting("EDGE_NODES", "3", "Number of simulated nodes, 1 to 1000."),
            Setting(
                "EDGE_LOSS", "0", "Probability that the simulated radio loses a packet, in each direction, 0 to 1."
            ),
            Setting("EDGE_ACK_LOSS", None, "The same for what the gateway answers. Default: EDGE_LOSS."),
            Setting(
                "EDGE_LOSS_BURST",
                None,
                "Outages of the simulated radio as SHARE:SECONDS[:LOSS], such as 0.05:120. Unset: none.",
            ),
            Setting("EDGE_TRACE_LOSS", None, "Reception trace whose losses the simulated radio repeats. Unset: none."),
            Setting("EDGE_DUPLICATE", "0", "Probability that a packet is heard twice."),
            Setting("EDGE_REORDER", "0", "Probability that a packet is heard only after the next one of its sender."),
            Setting("EDGE_DELAY_S", "0", "Packets come up to so many seconds late, 0 to 5."),
            Setting(
                "EDGE_COLLISIONS", "none", "Packets that overlap are lost: none, all, or all but the loudest (capture)."
            ),
            Setting("EDGE_NEIGHBOURS", "0", "With EDGE_COLLISIONS: nodes of others that send once a minute each."),
            Setting(
                "EDGE_REGION",
                "EU868",
                "What simulated nodes keep to: EU868 (1 % of the time on air) or KR920 (listen before they talk).",
            ),
            Setting("EDGE_SEED", "1", "Seed of the simulated radio."),
            Setting("EDGE_DURATION_S", "0", "Real seconds after which the nodes stop; 0: at the end of the recording."),
            Setting(
                "EDGE_RECEIVER_LINK",
                None,
                "Where the simulated receiver's port appears. Default: AOII_DATA_DIR/run/receiver.",
            ),
            Setting("EDGE_LOG_LINK", None, "Where the nodes' USB log appears. Default: AOII_DATA_DIR/run/edge_log."),
            Setting("EDGE_RECORD_FILE", None, "File that records what the gateway told the radio. Unset: none."),
            Setting("EDGE_STATUS_PORT", "5015", "Loopback port of the nodes' /metrics and /healthz; 0: none."),
        ),
    ),
    Section(
        "Logs and clock",
        (
            Setting("LOG_LEVEL", "info", "debug, info, warning or error."),
            Setting("LOG_FORMAT", "human", "human or json."),
            Setting("CLOCK_SPEED", "1", "For demo and tests: the nodes' world runs this many times as fast."),
            Setting(
                "CLOCK_START_UNIX_S",
                None,
                "For demo and tests: Unix time at which the simulated clock starts. Unset: real clock.",
            ),
            Setting(
                "CLOCK_ORIGIN_S", "0", "For demo and tests: monotonic instant at which the simulated clock started."
            ),
        ),
    ),
)

BY_NAME = {setting.name: setting for section in CATALOGUE for setting in section.settings}


@dataclass(frozen=True)
class Database:
    """Where rows go: SQLite at `sqlite_path`, or MySQL/MariaDB when `host` is set."""

    sqlite_path: Path
    host: str | None
    port: int
    user: str
    password: str = field(repr=False)
    name: str
    tls: Tls | None = None


@dataclass(frozen=True)
class Mqtt:
    """How to reach the broker; `namespace` stands before every topic and client id, empty: nothing."""

    host: str
    port: int
    username: str | None
    password: str | None = field(repr=False)
    namespace: str = ""
    tls: Tls | None = None


@dataclass(frozen=True)
class Gateway:
    """What the gateway needs beside the broker; thresholds in °C and %RH."""

    gateway_id: str
    serial_ports: tuple[str, ...]
    beta_temp: float
    beta_hum: float
    sample_period_s: int
    heartbeat_s: int
    heartbeat_min_s: int
    tau: int
    node_keys_file: Path
    mirror_weights: Path | None
    outbox_path: Path
    outbox_max_mb: int
    status_port: int


@dataclass(frozen=True)
class LogSource:
    """A port with a node's USB log; `node` names whose, for lines that do not say it."""

    port: str
    node: str | None


@dataclass(frozen=True)
class Server:
    """What the server needs beside broker and database; also for the CSV subscriber and the log reader."""

    insert_max_retries: int
    insert_base_delay_s: float
    dead_letter_path: Path
    dead_letter_max_mb: int
    status_port: int
    csv_file: Path
    csv_status_port: int
    edge_log_ports: tuple[LogSource, ...]
    edge_log_status_port: int


@dataclass(frozen=True)
class StatusAddress:
    """Where a station (`gateway`, `server`, `csv`, `edgelog`) tells how it is."""

    station: str
    host: str
    port: int


@dataclass(frozen=True)
class Web:
    """Where the web page listens, where other machines' stations tell how they are, and which nodes are expected."""

    host: str
    port: int
    stations: tuple[StatusAddress, ...]
    nodes: tuple[str, ...]
    token: str | None = field(default=None, repr=False)  # what it asks everybody for
    cert: Path | None = None
    key: Path | None = None  # set or unset like `cert`


@dataclass(frozen=True)
class Edge:
    """The simulated nodes and their radio."""

    recording: Path | None
    nodes: int
    weather: Weather
    region: str
    seed: int
    duration_s: float
    receiver_link: Path
    log_link: Path
    report_file: Path
    record_file: Path | None
    status_port: int


@dataclass(frozen=True)
class Logs:
    """How much is logged, and in which form."""

    level: str
    json: bool


@dataclass(frozen=True)
class Settings:
    """Everything, checked.

    `given` names the settings that somebody set; `warnings` speaks of keys of `.env` that look like misspelt settings.
    """

    data_dir: Path
    database: Database
    mqtt: Mqtt
    gateway: Gateway
    server: Server
    web: Web
    edge: Edge
    logs: Logs
    clock: Clock
    given: frozenset[str]
    warnings: tuple[str, ...]


class _Reader:
    """Parses values by name and collects faults, so that one run reports them all."""

    def __init__(self, values: Mapping[str, str], origins: Mapping[str, str]) -> None:
        self._values = values
        self._origins = origins
        self.faults: list[str] = []
        self.given = frozenset(values)

    def is_set(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str) -> str | None:
        return self._values.get(name, BY_NAME[name].default)

    def fault(self, name: str, remedy: str) -> None:
        shown = "set" if BY_NAME[name].secret else f'"{self.text(name)}"'
        self.faults.append(f"{self._origins.get(name, 'default')}: {name} is {shown}; {remedy}")

    def _parsed(self, name: str, parse: Callable[[str], T], accept: Callable[[T], bool], remedy: str) -> T:
        text = self.text(name) or ""
        try:
            value = parse(text.strip())
            if accept(value):
                return value
        except ValueError:
            pass
        self.fault(name, remedy)
        return parse(BY_NAME[name].default or "0")

    def whole(self, name: str, low: int, high: int, example: int) -> int:
        remedy = f"use a whole number from {low} to {high}, such as {example}"
        return self._parsed(name, int, lambda value: low <= value <= high, remedy)

    def number(self, name: str, low: float, high: float, example: float) -> float:
        remedy = f"use a number from {low:g} to {high:g}, such as {example:g}"
        return self._parsed(name, float, lambda value: math.isfinite(value) and low <= value <= high, remedy)

    def choice(self, name: str, options: tuple[str, ...]) -> str:
        return self._parsed(name, str, lambda value: value in options, f"use one of {', '.join(options)}")

    def host(self, name: str) -> str:
        remedy = "use a host name or an address such as 127.0.0.1"
        return self._parsed(name, str, lambda value: bool(re.fullmatch(r"[\w.:%-]+", value, re.ASCII)), remedy)

    def name(self, name: str) -> str:
        remedy = "use 1 to 64 letters, digits, dots, dashes or underscores"
        return self._parsed(name, str, lambda value: bool(re.fullmatch(r"[\w.-]{1,64}", value, re.ASCII)), remedy)

    def ports(self, name: str) -> tuple[str, ...]:
        """Serial ports, separated by commas; an empty value is an empty tuple."""
        ports = tuple(part.strip() for part in (self.text(name) or "").split(",") if part.strip())
        if len(set(ports)) != len(ports):
            self.fault(name, "name each port once")
        return ports

    def log_sources(self, name: str) -> tuple[LogSource, ...]:
        """Serial ports as above, each with `=NODE` behind it or not."""
        sources = []
        for text in self.ports(name):
            port, equals, node = text.partition("=")
            if not port or (equals and not (node.isprintable() and 1 <= len(node) <= 128)):
                self.fault(name, "write PORT or PORT=NODE, such as /dev/ttyUSB1=gateway/ttyUSB0")
            sources.append(LogSource(port, node or None))
        return tuple(sources)

    def stations(self, name: str) -> tuple[StatusAddress, ...]:
        """Status ports of stations, separated by commas; an empty value is an empty tuple."""
        found = []
        for text in self.ports(name):
            match = re.fullmatch(r"(gateway|server|csv|edgelog)=\[?([\w.:%-]+?)\]?:([0-9]{1,5})", text, re.ASCII)
            if match is None or not 1 <= int(match[3]) <= 65535:
                self.fault(name, "write STATION=HOST:PORT, such as gateway=127.0.0.1:5011,server=127.0.0.1:5012")
            else:
                found.append(StatusAddress(match[1], match[2], int(match[3])))
        return tuple(found)

    def nodes(self, name: str) -> tuple[str, ...]:
        """Names of nodes and ranges of numbers, separated by commas."""
        found: dict[str, None] = {}
        for text in self.ports(name):
            span = re.fullmatch(r"([0-9]{1,5})-([0-9]{1,5})", text, re.ASCII)
            low, high = (int(span[1]), int(span[2])) if span else (0, 0)
            if not (text.isprintable() and len(text) <= 128 and high - low < NODES_LIMIT and low <= high):
                self.fault(name, f"write names and ranges such as 1-20,33; at most {NODES_LIMIT} nodes")
                return ()
            found |= dict.fromkeys(map(str, range(low, high + 1)) if span else [text])
        if len(found) > NODES_LIMIT:
            self.fault(name, f"name at most {NODES_LIMIT} nodes")
        return tuple(found)

    def path(self, name: str, default: Path) -> Path:
        text = self.text(name)
        if not text:
            return default
        path = _expanded(text)
        if path is None:
            self.fault(name, "there is no such user; write the whole path")
        return path or default

    def existing_file(self, name: str) -> Path | None:
        text = self.text(name)
        if not text:
            return None
        path = _expanded(text)
        if path is None or not path.is_file():
            self.fault(name, "no such file; correct the path or remove the line")
        return path

    def private_file(self, name: str) -> Path | None:
        """A file that holds a secret.

        Its group may read it: service managers hand credentials out with mode 0440, certificate tools with 0640.
        """
        path = self.existing_file(name)
        if path is None or not path.is_file():
            return path
        mode = path.stat().st_mode & 0o777
        if mode & (stat.S_IRWXO | stat.S_IWGRP):
            self.fault(name, f"others may use this secret (mode {mode:03o}): run chmod 600 {path}")
        elif not os.access(path, os.R_OK):
            self.fault(name, "this user may not read it; give it to the user who runs the station")
        return path

    def secret(self, name: str) -> str | None:
        """The secret `name`, from the setting itself or from the first line of the file that `name`_FILE names."""
        given, path = self.text(name) or None, self.private_file(f"{name}_FILE")
        if path is None:
            return given
        if given is not None:
            self.fault(f"{name}_FILE", f"{name} is set as well; keep one of the two")
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError:
            return None  # reported above
        except UnicodeDecodeError:
            lines = []
        if not lines or not lines[0].strip():
            self.fault(f"{name}_FILE", "write the secret into its first line, as UTF-8 text")
            return None
        return lines[0].strip()

    def pair(self, cert: str, key: str) -> tuple[Path | None, Path | None]:
        """A certificate and its key; one without the other is a fault."""
        files = self.existing_file(cert), self.private_file(key)
        for name, other in ((cert, key), (key, cert)):
            if self.text(name) and not self.text(other):
                self.fault(name, f"set {other} as well, or remove this line")
        return files

    def tls(self, name: str) -> Tls | None:
        """The settings `name`_CA, _CERT and _KEY; None while the first is unset."""
        ca = None if self.text(f"{name}_CA") == "system" else self.existing_file(f"{name}_CA")
        cert, key = self.pair(f"{name}_CERT", f"{name}_KEY")
        if self.text(f"{name}_CA"):
            return Tls(ca, cert, key, name)
        if cert is not None and key is not None:
            self.fault(f"{name}_CERT", f"set {name}_CA as well, or remove this line")
        return None

    def burst(self, name: str) -> Burst | None:
        try:
            return parse_burst((self.text(name) or "").strip())
        except ValueError:
            self.fault(name, BURST_REMEDY)
            return None


def _expanded(text: str) -> Path | None:
    """The path with `~` or `~user` replaced; None when there is no such user, or no path can be that."""
    if "\0" in text:
        return None
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return None


def load(environ: Mapping[str, str] | None = None, env_file: Path | None = None) -> Settings:
    """Read all settings from `.env` and the environment, which wins.

    Args:
        environ: The environment; `os.environ` by default.
        env_file: The file; by default `.env` in the working directory, which need not exist.

    Raises:
        SettingsError: One or more settings are wrong; it lists all of them, each with its remedy.
    """
    environ = os.environ if environ is None else environ
    path = Path(ENV_FILE) if env_file is None else env_file
    if env_file is not None and not path.is_file():
        raise SettingsError([f"{path}: no such file; give the path of an .env file"])
    filed, faults = _filed(path)
    values = {name: filed[name] for name in BY_NAME if name in filed}
    origins = dict.fromkeys(values, str(path))
    for name in BY_NAME:
        if name in environ:
            values[name], origins[name] = environ[name], "environment"
    reader = _Reader(values, origins)
    settings = _settings(reader, _misspelt(filed, str(path)))
    faults += reader.faults
    if faults:
        raise SettingsError([*faults, *settings.warnings])
    return settings


def _weather(read: _Reader) -> Weather:
    """The simulated radio."""
    loss = read.number("EDGE_LOSS", 0, 1, 0.1)
    return Weather(
        loss=loss,
        ack_loss=read.number("EDGE_ACK_LOSS", 0, 1, 0.1) if read.text("EDGE_ACK_LOSS") else loss,
        burst=read.burst("EDGE_LOSS_BURST"),
        duplicate=read.number("EDGE_DUPLICATE", 0, 1, 0.1),
        delay_s=read.number("EDGE_DELAY_S", 0, DELAY_LIMIT_S, 1),
        reorder=read.number("EDGE_REORDER", 0, 1, 0.1),
        collisions=read.choice("EDGE_COLLISIONS", COLLISIONS),
        neighbours=read.whole("EDGE_NEIGHBOURS", 0, NEIGHBOURS_LIMIT, 10),
        trace=read.existing_file("EDGE_TRACE_LOSS"),
    )


def _filed(path: Path) -> tuple[dict[str, str], list[str]]:
    """What the file sets, and a fault for each of its lines that sets nothing."""
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        remedy = "make it a UTF-8 text file that you may read"
        raise SettingsError([f"{path}: cannot be read ({error}); {remedy}"]) from error
    faults = []
    for binding in list(parse_stream(io.StringIO(text))):
        if binding.error or (binding.key is not None and binding.value is None):
            torn = binding.original.string
            line = binding.original.line + len(torn) - len(torn.lstrip("\n"))
            faults.append(f"{path}: line {line} is no setting; write NAME=value, or # before a comment")
            text = text.replace(torn, "\n", 1)  # so that the library does not complain in its own words
    return {name: value for name, value in dotenv_values(stream=io.StringIO(text)).items() if value is not None}, faults


def _misspelt(filed: Mapping[str, str], origin: str) -> tuple[str, ...]:
    found = []
    for name in filed:
        near = [] if name in BY_NAME else difflib.get_close_matches(name, list(BY_NAME), n=1, cutoff=0.85)
        if near:
            found.append(f"{origin}: {name} is not a setting and is ignored; did you mean {near[0]}?")
    return tuple(found)


def _settings(read: _Reader, warnings: tuple[str, ...]) -> Settings:
    data = read.path("AOII_DATA_DIR", Path("data"))
    host = read.text("MYSQL_HOST") or None
    if host is None:
        for name in (name for name in BY_NAME if name.startswith("MYSQL_") and name != "MYSQL_HOST"):
            if read.is_set(name):
                read.fault(
                    name, "set MYSQL_HOST as well (127.0.0.1 for this machine), or remove this line to use SQLite"
                )
    elif read.host("MYSQL_HOST") != host:
        host = None
    for name in ("MQTT_PASSWORD", "MQTT_PASSWORD_FILE"):
        if read.text(name) and not read.text("MQTT_USERNAME"):
            read.fault(name, "set MQTT_USERNAME as well, or remove this line")
    token = read.secret("WEB_TOKEN")
    if token is not None and not (len(token) >= TOKEN_LENGTH and token.isascii() and token.isprintable()):
        source = "WEB_TOKEN" if read.text("WEB_TOKEN") else "WEB_TOKEN_FILE"
        read.fault(source, f"use {TOKEN_LENGTH} or more ASCII characters, such as those of: openssl rand -hex 16")
    web_cert, web_key = read.pair("WEB_TLS_CERT", "WEB_TLS_KEY")
    serial_ports = read.ports("SERIAL_PORT")
    if not serial_ports:
        read.fault("SERIAL_PORT", "name at least one port, such as /dev/ttyUSB0")
    return Settings(
        data_dir=data,
        database=Database(
            sqlite_path=data / "aoii.db",
            host=host,
            port=read.whole("MYSQL_PORT", 1, 65535, 3306),
            user=read.text("MYSQL_USER") or "",
            password=read.secret("MYSQL_PASSWORD") or "",
            name=read.name("MYSQL_DATABASE"),
            tls=read.tls("MYSQL_TLS"),
        ),
        mqtt=Mqtt(
            host=read.host("MQTT_BROKER"),
            port=read.whole("MQTT_PORT", 1, 65535, 1883),
            username=read.text("MQTT_USERNAME") or None,
            password=read.secret("MQTT_PASSWORD"),
            namespace=read.name("MQTT_NAMESPACE") if read.text("MQTT_NAMESPACE") else "",
            tls=read.tls("MQTT_TLS"),
        ),
        gateway=Gateway(
            gateway_id=read.name("GATEWAY_ID"),
            serial_ports=serial_ports,
            beta_temp=read.number("BETA_TEMP", 0.01, 50, 0.5),
            beta_hum=read.number("BETA_HUM", 0.01, 100, 3.0),
            sample_period_s=read.whole("SAMPLE_PERIOD_S", 1, 3600, 60),
            heartbeat_s=read.whole("HEARTBEAT_S", 0, 65535, 3600),
            heartbeat_min_s=read.whole("HEARTBEAT_MIN_S", 0, 65535, 600),
            tau=read.whole("TAU", 1, 255, 1),
            node_keys_file=read.path("NODE_KEYS_FILE", data / "node_keys"),
            mirror_weights=read.existing_file("MIRROR_WEIGHTS"),
            outbox_path=data / "outbox.db",
            outbox_max_mb=read.whole("OUTBOX_MAX_MB", 1, 65536, 256),
            status_port=read.whole("GATEWAY_STATUS_PORT", 0, 65535, 5011),
        ),
        server=Server(
            insert_max_retries=read.whole("INSERT_MAX_RETRIES", 0, 20, 5),
            insert_base_delay_s=read.number("INSERT_BASE_DELAY", 0.001, 60, 1.0),
            dead_letter_path=data / "dead_letters.db",
            dead_letter_max_mb=read.whole("DEAD_LETTER_MAX_MB", 1, 65536, 256),
            status_port=read.whole("SERVER_STATUS_PORT", 0, 65535, 5012),
            csv_file=read.path("CSV_FILE", data / "experiment_log_online.csv"),
            csv_status_port=read.whole("CSV_STATUS_PORT", 0, 65535, 5013),
            edge_log_ports=read.log_sources("EDGE_LOG_PORT"),
            edge_log_status_port=read.whole("EDGE_LOG_STATUS_PORT", 0, 65535, 5014),
        ),
        web=Web(
            host=read.host("WEB_HOST"),
            port=read.whole("PORT", 1, 65535, 5001),
            stations=read.stations("WEB_STATIONS"),
            nodes=read.nodes("WEB_NODES"),
            token=token,
            cert=web_cert,
            key=web_key,
        ),
        edge=Edge(
            recording=read.existing_file("EDGE_RECORDING"),
            nodes=read.whole("EDGE_NODES", 1, 1000, 3),
            weather=_weather(read),
            region=read.choice("EDGE_REGION", ("EU868", "KR920")),
            seed=read.whole("EDGE_SEED", 0, 2**31 - 1, 1),
            duration_s=read.number("EDGE_DURATION_S", 0, 1e9, 30),
            receiver_link=read.path("EDGE_RECEIVER_LINK", data / "run" / "receiver"),
            log_link=read.path("EDGE_LOG_LINK", data / "run" / "edge_log"),
            report_file=data / "run" / "edge_report.json",
            record_file=Path(record) if (record := read.text("EDGE_RECORD_FILE")) else None,
            status_port=read.whole("EDGE_STATUS_PORT", 0, 65535, 5015),
        ),
        logs=Logs(
            level=read.choice("LOG_LEVEL", ("debug", "info", "warning", "error")),
            json=read.choice("LOG_FORMAT", ("human", "json")) == "json",
        ),
        clock=Clock(
            speed=read.number("CLOCK_SPEED", 0.001, 3600, 60),
            start_unix_s=read.number("CLOCK_START_UNIX_S", 0, 2**32 - 1, 1451606400)
            if read.is_set("CLOCK_START_UNIX_S")
            else None,
            origin_s=read.number("CLOCK_ORIGIN_S", 0, 1e12, 0),
        ),
        given=read.given,
        warnings=warnings,
    )


def env_example() -> str:
    """The text of `.env.example`: every setting with its default, commented out."""
    lines = [
        "# Settings of aoii. Copy this file to .env and change what differs. The environment wins over the file.",
        "",
    ]
    for section in CATALOGUE:
        lines.append(f"# --- {section.title} ---")
        for setting in section.settings:
            lines += [f"# {setting.help}", f"#{setting.name}={setting.default or ''}"]
        lines.append("")
    return "\n".join(lines)


def reference_page() -> str:
    """The text of `docs/reference/settings.md`."""
    lines = [
        "# Settings",
        "",
        "Generated by `make docs`; do not edit.",
        "One `.env` in the working directory of a station holds everything.",
        "A variable of the environment with the same name wins.",
        "All faults are reported together, each with its remedy.",
        "",
    ]
    for section in CATALOGUE:
        lines += [f"## {section.title}", "", "| Setting | Default | Meaning |", "|---|---|---|"]
        for setting in section.settings:
            default = "unset" if setting.default is None else f"`{setting.default}`" if setting.default else "empty"
            lines.append(f"| `{setting.name}` | {default} | {setting.help} |")
        lines.append("")
    return "\n".join(lines)
