"""The settings of every station, each declared once, and the rules that hold between them.

Stations take only their own part of `Settings`. Settings of the older installation keep their names and defaults; only
an unset MYSQL_HOST means SQLite here.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

# What settings fill in elsewhere. These modules know nothing of settings.
from aoii.core.errors import Fault
from aoii.runtime.clock import Clock
from aoii.security.tls import Tls

from . import kinds
from .catalogue import DATA_DIR, Group, declarations, group, in_data_dir, secret, sections, setting
from .channel import COLLISIONS, DELAY_LIMIT_S, NEIGHBOURS_LIMIT, ChannelModel
from .kinds import LogSource, StatusAddress

PORT = kinds.whole(1, 65535)
STATUS_PORT = kinds.whole(0, 65535)
MEGABYTES = kinds.whole(1, 65536)
PROBABILITY = kinds.number(0, 1)


def _tls(name: str, own_help: str, ca_help: str) -> Tls | None:
    """Declare the settings `name`_CA, _CERT and _KEY; without the first there is no TLS."""

    def build(ca: Path | Literal["system"] | None, cert: Path | None, key: Path | None) -> Tls | None:
        return None if ca is None else Tls(None if ca == "system" else ca, cert, key, name)

    return group(
        build,
        ca=setting(f"{name}_CA", None, _ca, ca_help),
        cert=setting(f"{name}_CERT", None, kinds.existing_file, own_help),
        key=setting(f"{name}_KEY", None, kinds.private_file, f"Private key of {name}_CERT, readable by nobody else."),
    )


def _ca(given: str) -> Path | Literal["system"]:
    return "system" if given == "system" else kinds.existing_file(given)


def _folder(given: str) -> Path:
    return kinds.path(given or DATA_DIR)  # AOII_DATA_DIR= has always meant the default, not the working directory


@dataclass(frozen=True)
class Database:
    """Where rows go: SQLite at `sqlite_path`, or MySQL/MariaDB when `host` is set."""

    sqlite_path: Path = in_data_dir("aoii.db")
    host: str | None = setting(
        "MYSQL_HOST", None, kinds.host, "MySQL or MariaDB host. Unset: SQLite in AOII_DATA_DIR/aoii.db."
    )
    port: int = setting("MYSQL_PORT", "3306", PORT, "Port of the database server.")
    user: str = setting("MYSQL_USER", "root", kinds.text, "Database user.")
    password: str = secret(
        "MYSQL_PASSWORD",
        "",
        "Password of MYSQL_USER.",
        "File that holds the password instead, readable by nobody else.",
    )
    name: str = setting("MYSQL_DATABASE", "aoii", kinds.name, "Schema that holds `readings` and `edge_log`.")
    tls: Tls | None = _tls(
        "MYSQL_TLS",
        "Our client certificate, if the database server asks for one.",
        "CA certificate that verifies the database server, or `system` for the CAs that this machine trusts. "
        "Unset: the server is not verified, and the connection is encrypted only if the server offers it.",
    )


@dataclass(frozen=True)
class Mqtt:
    """How to reach the broker; `namespace` stands before every topic and client id, empty: nothing."""

    host: str = setting("MQTT_BROKER", "localhost", kinds.host, "Host of the MQTT broker.")
    port: int = setting("MQTT_PORT", "1883", PORT, "Port of the MQTT broker.")
    username: str | None = setting("MQTT_USERNAME", None, kinds.text, "User name at the broker. Unset: anonymous.")
    password: str | None = secret(
        "MQTT_PASSWORD",
        None,
        "Password of MQTT_USERNAME.",
        "File that holds the password instead, readable by nobody else.",
    )
    namespace: str = setting(
        "MQTT_NAMESPACE",
        None,
        kinds.name,
        "Prefix of every topic and client id; keeps an experiment apart on a shared broker.",
        unset="",
    )
    tls: Tls | None = _tls(
        "MQTT_TLS",
        "Our client certificate, instead of a password; its common name is our user name.",
        "CA certificate that verifies the broker, or `system` for the CAs that this machine trusts. "
        "Unset: no TLS. The usual port with TLS is 8883.",
    )


@dataclass(frozen=True)
class Gateway:
    """What the gateway needs beside the broker; thresholds in °C and %RH."""

    gateway_id: str = setting(
        "GATEWAY_ID", "gateway", kinds.name, "Name of this gateway. Never change it; give each gateway its own."
    )
    serial_ports: tuple[str, ...] = setting(
        "SERIAL_PORT",
        "/dev/ttyUSB0",
        kinds.serial_ports,
        "Serial port of the LoRa receiver; separate several ports by commas.",
    )
    beta_temp: float = setting(
        "BETA_TEMP",
        "0.5",
        kinds.number(0.01, 50),
        "Temperature error, °C, from which an RX is published at QoS 1.",
    )
    beta_hum: float = setting(
        "BETA_HUM", "3.0", kinds.number(0.01, 100), "Humidity error, %RH, from which an RX is published at QoS 1."
    )
    sample_period_s: int = setting(
        "SAMPLE_PERIOD_S", "60", kinds.whole(1, 3600), "Seconds between two samples of a node."
    )
    heartbeat_s: int = setting(
        "HEARTBEAT_S",
        "3600",
        kinds.whole(0, 65535),
        "A node with nothing to correct reports after this many seconds; 0: never.",
    )
    heartbeat_min_s: int = setting(
        "HEARTBEAT_MIN_S",
        "600",
        kinds.whole(0, 65535),
        "Heartbeat on a bad link, in seconds. It doubles with each packet that needs no resend, up to HEARTBEAT_S.",
    )
    tau: int = setting(
        "TAU",
        "1",
        kinds.whole(1, 255),
        "A node corrects the gateway's estimate once it has been wrong at this many samples in a row, 1 to 255.",
    )
    node_keys_file: Path = in_data_dir(
        "node_keys", "NODE_KEYS_FILE", "Keys of our own nodes, one `node epoch key` a line."
    )
    mirror_weights: Path | None = setting(
        "MIRROR_WEIGHTS",
        None,
        kinds.existing_file,
        "gateway.py of the older installation: the weights of its MLP are read from it; it is never executed. "
        "Unset: the estimate for an old node is its last reading.",
    )
    outbox_path: Path = in_data_dir("outbox.db")
    outbox_max_mb: int = setting(
        "OUTBOX_MAX_MB",
        "256",
        MEGABYTES,
        "Size limit of the outbox, MB. When it is full, the gateway stops acknowledging packets.",
    )
    status_port: int = setting(
        "GATEWAY_STATUS_PORT", "5011", STATUS_PORT, "Loopback port of the gateway's /metrics and /healthz; 0: none."
    )


@dataclass(frozen=True)
class Server:
    """What the server needs beside broker and database; also for the CSV subscriber and the log reader."""

    insert_max_retries: int = setting(
        "INSERT_MAX_RETRIES",
        "5",
        kinds.whole(0, 20),
        "Retries of a failed insert before its rows become dead letters.",
    )
    insert_base_delay_s: float = setting(
        "INSERT_BASE_DELAY",
        "1.0",
        kinds.number(0.001, 60),
        "Seconds before the first retry; the delay doubles with each further one.",
    )
    dead_letter_path: Path = in_data_dir("dead_letters.db")
    dead_letter_max_mb: int = setting(
        "DEAD_LETTER_MAX_MB",
        "256",
        MEGABYTES,
        "Size limit of the dead letters, MB. When they are full, the server stops acknowledging.",
    )
    status_port: int = setting(
        "SERVER_STATUS_PORT", "5012", STATUS_PORT, "Loopback port of the server's /metrics and /healthz; 0: none."
    )
    csv_file: Path = in_data_dir("experiment_log_online.csv", "CSV_FILE", "File that `aoii csv` writes.")
    csv_status_port: int = setting(
        "CSV_STATUS_PORT", "5013", STATUS_PORT, "Loopback port of the CSV subscriber's /metrics and /healthz; 0: none."
    )
    edge_log_ports: tuple[LogSource, ...] = setting(
        "EDGE_LOG_PORT",
        None,
        kinds.log_sources,
        "Serial port with a node's USB log, for `aoii edgelog`; separate several ports by commas. `PORT=NODE` names "
        "the node of a port, which an old node needs, such as /dev/ttyUSB1=gateway/ttyUSB0.",
        unset=(),
    )
    edge_log_status_port: int = setting(
        "EDGE_LOG_STATUS_PORT", "5014", STATUS_PORT, "Loopback port of the log reader's /metrics and /healthz; 0: none."
    )


@dataclass(frozen=True)
class Web:
    """Where the web page listens, where other machines' stations report, and which nodes are expected."""

    port: int = setting("PORT", "5001", PORT, "Port of the web page and of its /metrics.")
    host: str = setting(
        "WEB_HOST",
        "127.0.0.1",
        kinds.host,
        "Address that the web page listens on. Any address but loopback also needs WEB_TOKEN.",
    )
    token: str | None = secret(
        "WEB_TOKEN",
        None,
        "Access token of the web page, 16 characters or more. Unset: everybody has access.",
        "File that holds the token instead, readable by nobody else.",
        kinds.token,
    )
    cert: Path | None = setting(
        "WEB_TLS_CERT", None, kinds.existing_file, "Certificate of the web page. Unset: plain HTTP."
    )
    key: Path | None = setting(
        "WEB_TLS_KEY", None, kinds.private_file, "Private key of WEB_TLS_CERT, readable by nobody else."
    )
    stations: tuple[StatusAddress, ...] = setting(
        "WEB_STATIONS",
        None,
        kinds.status_addresses,
        "Status ports of the stations, `STATION=HOST:PORT` separated by commas, such as "
        "gateway=10.0.0.5:5011,server=127.0.0.1:5012. Unset: the status ports on this machine.",
        unset=(),
    )
    nodes: tuple[str, ...] = setting(
        "WEB_NODES",
        None,
        kinds.nodes,
        "Nodes to expect, such as 1-20,33; the page shows those that never reported. Unset: none.",
        unset=(),
    )


def _channel(ack_loss: float | None, **others: object) -> ChannelModel:
    """The channel model; acknowledgements are lost like packets unless `ack_loss` is given."""
    made = ChannelModel(**others)  # type: ignore[arg-type]  # by name, from the declarations below
    return replace(made, ack_loss=made.loss if ack_loss is None else ack_loss)


@dataclass(frozen=True)
class Edge:
    """The simulated nodes and their radio."""

    recording: Path | None = setting(
        "EDGE_RECORDING",
        None,
        kinds.existing_file,
        "CSV or CSV.gz file that the nodes replay. Unset: the NOAA SURFRAD day that comes with aoii.",
    )
    nodes: int = setting("EDGE_NODES", "3", kinds.whole(1, 1000), "Number of simulated nodes, 1 to 1000.")
    channel: ChannelModel = group(
        _channel,
        loss=setting(
            "EDGE_LOSS",
            "0",
            PROBABILITY,
            "Probability that the simulated radio loses a packet, in either direction, 0 to 1.",
            example="0.1",
        ),
        ack_loss=setting(
            "EDGE_ACK_LOSS",
            None,
            PROBABILITY,
            "Probability that it loses a packet from the gateway to a node. Unset: EDGE_LOSS.",
            example="0.1",
        ),
        burst=setting(
            "EDGE_LOSS_BURST",
            None,
            kinds.burst,
            "Outages of the simulated radio as SHARE:SECONDS[:LOSS], such as 0.05:120. Unset: none.",
        ),
        trace=setting(
            "EDGE_TRACE_LOSS",
            None,
            kinds.existing_file,
            "Packet trace whose losses the simulated radio repeats. Unset: none.",
        ),
        duplicate=setting(
            "EDGE_DUPLICATE", "0", PROBABILITY, "Probability that a packet is received twice.", example="0.1"
        ),
        reorder=setting(
            "EDGE_REORDER",
            "0",
            PROBABILITY,
            "Probability that a packet is received after its sender's next one.",
            example="0.1",
        ),
        delay_s=setting(
            "EDGE_DELAY_S",
            "0",
            kinds.number(0, DELAY_LIMIT_S),
            f"Greatest random delay of a packet, seconds, 0 to {DELAY_LIMIT_S:g}.",
            example="1",
        ),
        collisions=setting(
            "EDGE_COLLISIONS",
            "none",
            kinds.word(*COLLISIONS),
            "Which of the packets that overlap are lost: none, all, or all but the strongest (capture).",
        ),
        neighbours=setting(
            "EDGE_NEIGHBOURS",
            "0",
            kinds.whole(0, NEIGHBOURS_LIMIT),
            "With EDGE_COLLISIONS: other people's nodes on the channel; each sends once a minute.",
            example="10",
        ),
    )
    region: str = setting(
        "EDGE_REGION",
        "EU868",
        kinds.word("EU868", "KR920"),
        "Radio rules of the simulated nodes: EU868 (on the air 1 % of the time) or KR920 (listen before talk).",
    )
    seed: int = setting("EDGE_SEED", "1", kinds.whole(0, 2**31 - 1), "Random seed of the simulated radio.")
    duration_s: float = setting(
        "EDGE_DURATION_S",
        "0",
        kinds.number(0, 1e9),
        "Real seconds after which the nodes stop; 0: at the end of the recording.",
        example="30",
    )
    receiver_link: Path = in_data_dir(
        "run/receiver", "EDGE_RECEIVER_LINK", "Path of the simulated receiver's serial port."
    )
    log_link: Path = in_data_dir("run/edge_log", "EDGE_LOG_LINK", "Path of the serial port with the nodes' USB log.")
    report_file: Path = in_data_dir("run/edge_report.json")
    record_file: Path | None = setting(
        "EDGE_RECORD_FILE", None, kinds.path, "File that records what the gateway sends to the nodes. Unset: none."
    )
    status_port: int = setting(
        "EDGE_STATUS_PORT", "5015", STATUS_PORT, "Loopback port of the nodes' /metrics and /healthz; 0: none."
    )


@dataclass(frozen=True)
class Logs:
    """How much is logged, and in which form."""

    level: str = setting(
        "LOG_LEVEL",
        "info",
        kinds.word("debug", "info", "warning", "error"),
        "Least severe messages that are logged: debug, info, warning or error.",
    )
    json: bool = setting(
        "LOG_FORMAT",
        "human",
        kinds.choice({"human": False, "json": True}),
        "Form of the log: human or json (one object a line).",
    )


@dataclass(frozen=True)
class Settings:
    """Everything, checked.

    Attributes:
        given: Names of the settings that somebody set.
        warnings: Keys of `.env` that look like misspelt settings.
    """

    data_dir: Path = setting("AOII_DATA_DIR", DATA_DIR, _folder, "Folder for everything that a station writes.")
    database: Database = group(Database, title="Database")
    mqtt: Mqtt = group(Mqtt, title="MQTT broker")
    gateway: Gateway = group(Gateway, title="Gateway")
    server: Server = group(Server, title="Server")
    web: Web = group(Web, title="Web page")
    edge: Edge = group(Edge, title="Simulated nodes (`aoii edge`)")
    logs: Logs = group(Logs, title="Logs")
    clock: Clock = group(
        Clock,
        title="Simulated clock (demo and tests)",
        speed=setting(
            "CLOCK_SPEED",
            "1",
            kinds.number(0.001, 3600),
            "The nodes' world runs this many times as fast.",
            example="60",
        ),
        start_unix_s=setting(
            "CLOCK_START_UNIX_S",
            None,
            kinds.number(0, 2**32 - 1),
            "Unix time at which the simulated clock starts. Unset: the real clock.",
            example="1451606400",
        ),
        origin_s=setting(
            "CLOCK_ORIGIN_S",
            "0",
            kinds.number(0, 1e12),
            "Monotonic time at which the simulated clock started, seconds.",
        ),
    )
    given: frozenset[str] = frozenset()
    warnings: tuple[Fault, ...] = ()


ROOT = Group(Settings, declarations(Settings), "Files")
CATALOGUE = sections(ROOT)
BY_NAME = {one.name: one for section in CATALOGUE for one in section.settings}


class Needs(NamedTuple):
    """`name` makes no sense without `other`; with `even_empty`, not even as `NAME=`."""

    name: str
    other: str
    remedy: str
    even_empty: bool = False


def _needs(name: str, other: str) -> Needs:
    return Needs(name, other, f"set {other} as well, or remove this line")


# MYSQL_PASSWORD= alone is how the older installation, whose host had a default, said "root without a password".
_SQLITE = "set MYSQL_HOST as well (127.0.0.1 for this machine), or remove this line to use SQLite"
RULES = (
    *(
        Needs(name, "MYSQL_HOST", _SQLITE, True)
        for name in BY_NAME
        if name.startswith("MYSQL_") and name != "MYSQL_HOST"
    ),
    _needs("MQTT_PASSWORD", "MQTT_USERNAME"),
    _needs("MQTT_PASSWORD_FILE", "MQTT_USERNAME"),
    _needs("MYSQL_TLS_CERT", "MYSQL_TLS_CA"),
    _needs("MQTT_TLS_CERT", "MQTT_TLS_CA"),
    *(_needs(f"{tls}_CERT", f"{tls}_KEY") for tls in ("MYSQL_TLS", "MQTT_TLS", "WEB_TLS")),
    *(_needs(f"{tls}_KEY", f"{tls}_CERT") for tls in ("MYSQL_TLS", "MQTT_TLS", "WEB_TLS")),
)
