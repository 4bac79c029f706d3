"""The settings of all stations, each declared once, and which setting needs which other.

Stations take only their own part of `Settings`. Settings of the older installation keep their names and defaults,
except that an unset MYSQL_HOST means SQLite.
"""

from dataclasses import dataclass, replace
from datetime import timezone
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

# These types belong to packages below this one; their values are built from settings.
from aoii.runtime.clock import Clock
from aoii.security.tls import Tls

from . import kinds
from .catalogue import DATA_DIR, Group, Setting, declarations, group, in_data_dir, secret, sections, setting
from .channel import COLLISIONS, DELAY_LIMIT_S, NEIGHBOURS_LIMIT, ChannelModel
from .faults import Fault
from .kinds import LogSource, NodeThresholds, StatusAddress
from .regions import OLDER, REGIONS

PORT = kinds.whole(1, 65535)
MEGABYTES = kinds.whole(1, 65536)
CsvFormatName = Literal["full", "older"]
PROBABILITY = kinds.number(0, 1, "a probability")


def _tls(name: str, own_help: str, ca_help: str) -> Tls | None:
    """Declare the settings `name`_CA, _CERT and _KEY. Without _CA there is no TLS."""

    def build(ca: Path | Literal["system"] | None, cert: Path | None, key: Path | None) -> Tls | None:
        return None if ca is None else Tls(None if ca == "system" else ca, cert, key, name)

    return group(
        build,
        ca=setting(f"{name}_CA", None, _ca, ca_help),
        cert=setting(f"{name}_CERT", None, kinds.existing_file, own_help),
        key=setting(f"{name}_KEY", None, kinds.private_file, f"Private key of {name}_CERT, for owner and group only."),
    )


def _status_port(name: str, default: str, whose: str) -> int:
    meaning = f"Loopback port of {whose} /metrics, /healthz and /readyz; 0: none."
    return setting(name, default, kinds.whole(0, 65535), meaning)


def _ca(given: str) -> Path | Literal["system"]:
    return "system" if given == "system" else kinds.existing_file(given)


def _folder(given: str) -> Path:
    return kinds.path(given or DATA_DIR)  # an empty AOII_DATA_DIR means the default, not the working directory


@dataclass(frozen=True)
class Database:
    """Where rows go: SQLite at `sqlite_path`, or MySQL/MariaDB when `host` is set."""

    sqlite_path: Path = in_data_dir("aoii.db")
    host: str | None = setting(
        "MYSQL_HOST", None, kinds.host("MYSQL_PORT"), "MySQL or MariaDB host. Unset: SQLite in AOII_DATA_DIR/aoii.db."
    )
    port: int = setting("MYSQL_PORT", "3306", PORT, "Port of the database server.")
    user: str = setting("MYSQL_USER", "root", str, "Database user.")
    password: str = secret("MYSQL_PASSWORD", "", "Password of MYSQL_USER.")
    name: str = setting("MYSQL_DATABASE", "aoii", kinds.name, "Schema that holds `readings` and `edge_log`.")
    tls: Tls | None = _tls(
        "MYSQL_TLS",
        "Client certificate, if the database server asks for one.",
        "CA certificate that verifies the database server, or `system` for the CAs that this machine trusts. "
        "Unset: the server is not verified, and the connection is encrypted only if the server supports encryption.",
    )
    backup_dir: Path | None = setting(
        "BACKUP_DIR",
        None,
        kinds.path,
        "Folder with backups, on another disk: `aoii backup` puts archives there, and `aoii doctor` looks at the "
        "newest one with the database. Unset: the doctor says that none is known.",
        example="/mnt/backup/aoii",
    )
    backup_interval_h: int = setting(
        "BACKUP_INTERVAL_H",
        "24",
        kinds.whole(1, 8784),
        "Hours between two backups of the database; a newest one that is older by a tenth is a fault.",
    )

    @property
    def description(self) -> str:
        """Where rows go, and why there, for people."""
        if self.host is None:
            return f"SQLite, {self.sqlite_path.absolute()}, because MYSQL_HOST is not set"
        return f"MySQL at {self.host}:{self.port}, schema {self.name}"


@dataclass(frozen=True)
class Mqtt:
    """How to reach the broker. `namespace` is a prefix of every topic and client id; empty: none."""

    host: str = setting("MQTT_BROKER", "localhost", kinds.host("MQTT_PORT"), "Host of the MQTT broker.")
    port: int = setting("MQTT_PORT", "1883", PORT, "Port of the MQTT broker.")
    username: str | None = setting("MQTT_USERNAME", None, str, "User name at the broker. Unset: anonymous.")
    password: str | None = secret("MQTT_PASSWORD", None, "Password of MQTT_USERNAME.")
    namespace: str = setting(
        "MQTT_NAMESPACE",
        None,
        kinds.name,
        "Prefix of every topic and client id; keeps an experiment apart on a shared broker.",
        unset="",
    )
    tls: Tls | None = _tls(
        "MQTT_TLS",
        "Client certificate, instead of a password; its common name is the user name at the broker.",
        "CA certificate that verifies the broker, or `system` for the CAs that this machine trusts. "
        "Unset: no TLS. The usual port with TLS is 8883.",
    )


@dataclass(frozen=True)
class Gateway:
    """What the gateway needs besides the broker."""

    gateway_id: str = setting(
        "GATEWAY_ID", "gateway", kinds.name, "Name of this gateway. Give each gateway its own, and never change it."
    )
    rank: int = setting(
        "GATEWAY_RANK",
        "0",
        kinds.whole(0, 1),
        "0: answers its nodes at once. 1: a witness, the second gateway of a field; it stores everything, and answers "
        "a node only if the first gateway does not.",
    )
    region: str = setting(
        "RADIO_REGION",
        OLDER,
        kinds.word(*REGIONS),
        "Radio rules for the boards that `aoii node flash` and `aoii receiver flash` write: frequency, power, duty "
        "cycle and listen before talk. older: 433.0 MHz as the older installation; else EU433, EU868, KR920 or US915.",
        example="EU868",
    )
    spreading: int = setting(
        "RADIO_SPREADING",
        "9",
        kinds.whole(7, 12),
        "Spreading factor of the boards that `aoii node flash` and `aoii receiver flash` write; of the stations only a "
        "witness uses it, to wait for the first gateway's answer.",
    )
    serial_ports: tuple[str, ...] = setting(
        "SERIAL_PORT",
        "/dev/ttyUSB0",
        kinds.serial_ports,
        "Serial port of the LoRa receiver; separate multiple ports with commas.",
    )
    beta_temp: float = setting(
        "BETA_TEMP",
        "0.5",
        kinds.number(0.01, 50),
        "Temperature error at or above which an estimate is wrong, °C: the node sends, and QoS 1 is used.",
    )
    beta_hum: float = setting(
        "BETA_HUM",
        "3.0",
        kinds.number(0.01, 100),
        "Humidity error at or above which an estimate is wrong, %RH: the node sends, and QoS 1 is used.",
    )
    sample_period_s: int = setting(
        "SAMPLE_PERIOD_S", "60", kinds.whole(1, 3600), "Seconds between two samples of a node."
    )
    heartbeat_s: int = setting(
        "HEARTBEAT_S",
        "3600",
        kinds.whole(0, 65535),
        "A node sends a heartbeat after this many seconds without a packet; 0: never.",
    )
    heartbeat_min_s: int = setting(
        "HEARTBEAT_MIN_S",
        "600",
        kinds.whole(0, 65535),
        "Seconds between heartbeats on a bad link; doubled by each packet that needs no resend, up to HEARTBEAT_S.",
    )
    tau: int = setting(
        "TAU",
        "1",
        kinds.whole(1, 255),
        "Wrong samples in a row, 1 to 255, before a node corrects the gateway's estimate.",
    )
    node_keys_file: Path = in_data_dir(
        "node_keys", "NODE_KEYS_FILE", "Keys of our own nodes, one `node epoch key` per line."
    )
    node_keys_copy: Path | Literal["elsewhere"] | None = setting(
        "NODE_KEYS_COPY",
        None,
        cast(Any, kinds.path_or_word("elsewhere")),
        "Copy of NODE_KEYS_FILE on another disk or a mounted share, which `aoii doctor` compares; or `elsewhere`, if "
        "you keep one where this machine does not see it. Unset: the doctor says that none is known.",
        example="elsewhere",
    )
    nodes_file: Path = in_data_dir(
        "nodes.json",
        "NODES_FILE",
        "Names and places of the nodes, as `aoii node` writes them; nothing secret.",
    )
    mirror_weights: Path | None = setting(
        "MIRROR_WEIGHTS",
        None,
        kinds.existing_file,
        "gateway/gateway.py of the older installation: the weights of its model are read; it is never executed. "
        "Unset: the estimate for an old node is its last reading.",
    )
    old_zone: timezone = setting(
        "OLD_NODE_UTC_OFFSET_H",
        "-8",
        kinds.utc_offset,
        "Zone in which nodes with the old firmware compute the time of day, hours from UTC, the same all year. Their "
        "mirrored model, `timestamp` and `time_n` use it; everything else uses the machine's zone.",
    )
    old_thresholds: tuple[NodeThresholds, ...] = setting(
        "OLD_NODE_THRESHOLDS",
        None,
        kinds.node_thresholds,
        "Thresholds of nodes with the old firmware that are not BETA_TEMP and BETA_HUM, NODE=CELSIUS/PERCENT separated "
        "by commas, such as gateway/ttyUSB0=0.3/2,gateway/ttyUSB1=0.7/4. Unset: all have BETA_TEMP and BETA_HUM.",
        unset=(),
    )
    outbox_path: Path = in_data_dir("outbox.db")
    outbox_max_mb: int = setting(
        "OUTBOX_MAX_MB",
        "256",
        MEGABYTES,
        "Size limit of the outbox, MB. When it is full, the gateway stops acknowledging packets.",
    )
    keep_mb: int = setting(
        "KEEP_MB",
        "64",
        kinds.whole(0, 65536),
        "Readings that the gateway keeps after the database has acknowledged them, MB (about 120,000 readings in 64), "
        "to give them back if the database loses them. The oldest make room. 0: none are kept.",
    )
    outbox_keep_until: Literal["committed", "published"] = setting(
        "OUTBOX_KEEP_UNTIL",
        "committed",
        kinds.choice({"committed": "committed", "published": "published"}),
        "`committed`: a reading stays in the outbox until the server has acknowledged it. `published`: until the "
        "broker has it at QoS 1, and somebody subscribes; only for consumers that acknowledge nothing, such as the "
        "subscriber of the older installation.",
    )
    status_port: int = _status_port("GATEWAY_STATUS_PORT", "5011", "the gateway's")

    @property
    def own_thresholds(self) -> dict[str, tuple[float, float]]:
        """By node, those of OLD_NODE_THRESHOLDS, °C and %RH."""
        return {one.node: (one.beta_temp, one.beta_hum) for one in self.old_thresholds}


@dataclass(frozen=True)
class Server:
    """What the server, the CSV subscriber and the log reader need besides broker and database."""

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
    status_port: int = _status_port("SERVER_STATUS_PORT", "5012", "the server's")
    csv_file: Path = in_data_dir("experiment_log_online.csv", "CSV_FILE", "File that `aoii csv` writes.")
    csv_format: CsvFormatName = setting(
        "CSV_FORMAT",
        "full",
        cast(Any, kinds.word("full", "older")),
        "Format of a new CSV file. full: readings and estimates with all their digits. older: exactly the older "
        "installation's, readings only. A file of the older installation is continued in its format either way.",
    )
    csv_status_port: int = _status_port("CSV_STATUS_PORT", "5013", "the CSV subscriber's")
    edge_log_ports: tuple[LogSource, ...] = setting(
        "EDGE_LOG_PORT",
        None,
        kinds.log_sources,
        "Serial port with a node's USB log, for `aoii edgelog`; separate multiple ports with commas. `PORT=NODE` names "
        "the node of a port, which an old node needs, such as /dev/ttyUSB1=gateway/ttyUSB0.",
        unset=(),
    )
    edge_log_csv: Path | None = setting(
        "EDGE_LOG_CSV_FILE",
        None,
        kinds.path,
        "File that `aoii edgelog` writes too: the nodes' log with the columns of the older installation's loggers. "
        "Unset: none.",
    )
    edge_log_status_port: int = _status_port("EDGE_LOG_STATUS_PORT", "5014", "the log reader's")


@dataclass(frozen=True)
class Web:
    """Where the web page listens, where it finds the stations, and which nodes it expects."""

    port: int = setting("PORT", "5001", PORT, "Port of the web page and of its /metrics.")
    host: str = setting(
        "WEB_HOST",
        "127.0.0.1",
        kinds.host("PORT"),
        "Address that the web page listens on. Any address but loopback also needs WEB_TOKEN.",
    )
    token: str | None = secret(
        "WEB_TOKEN",
        None,
        "Access token of the web page, 16 characters or more. Unset: everyone has access.",
        kinds.token,
    )
    cert: Path | None = setting(
        "WEB_TLS_CERT", None, kinds.existing_file, "Certificate of the web page. Unset: plain HTTP."
    )
    key: Path | None = setting(
        "WEB_TLS_KEY", None, kinds.private_file, "Private key of WEB_TLS_CERT, for owner and group only."
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
    """The channel model; without `ack_loss`, acknowledgements are lost as often as packets."""
    made = ChannelModel(**others)  # type: ignore[arg-type]  # by name, from the declarations below
    return replace(made, ack_loss=made.loss if ack_loss is None else ack_loss)


def _probability(name: str, default: str | None, meaning: str) -> Any:
    return setting(name, default, PROBABILITY, meaning, example="0.1")


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
        loss=_probability("EDGE_LOSS", "0", "Probability that the simulated radio loses a packet, 0 to 1."),
        ack_loss=_probability(
            "EDGE_ACK_LOSS", None, "Probability that a packet from the gateway to a node is lost. Unset: EDGE_LOSS."
        ),
        burst=setting(
            "EDGE_LOSS_BURST",
            None,
            kinds.burst,
            "Outages (Gilbert-Elliott) as SHARE:SECONDS[:LOSS]: a link is in one for this SHARE of the time, SECONDS "
            "long on average, and loses a packet with probability LOSS (1 if left out) meanwhile. 0.05:120 loses 5 % "
            "of the packets in outages of two minutes.",
        ),
        trace=setting(
            "EDGE_TRACE_LOSS",
            None,
            kinds.existing_file,
            "Packet trace whose losses the simulated radio repeats: CSV or CSV.gz with timestamp, seq and perhaps "
            "node. Where a seq is missing, every attempt in that interval is lost. A node uses the trace with its "
            "name, or else the first.",
        ),
        duplicate=_probability(
            "EDGE_DUPLICATE", "0", "Probability that a packet is received twice, the copy up to 5 s later."
        ),
        reorder=_probability("EDGE_REORDER", "0", "Probability that a packet is received after its sender's next one."),
        delay_s=setting(
            "EDGE_DELAY_S",
            "0",
            kinds.number(0, DELAY_LIMIT_S, "seconds"),
            f"Largest random delay of a packet, seconds, 0 to {DELAY_LIMIT_S:g}.",
            example="1",
        ),
        collisions=setting(
            "EDGE_COLLISIONS",
            "none",
            kinds.word(*COLLISIONS),
            "Which of the packets that overlap on the air are lost: none, all, or all but one that is 6 dB stronger "
            "than every other (capture).",
        ),
        neighbours=setting(
            "EDGE_NEIGHBOURS",
            "0",
            kinds.whole(0, NEIGHBOURS_LIMIT),
            "Other people's nodes on the channel, for collisions; each sends once a minute.",
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
    switches_file: Path | None = setting(
        "EDGE_SWITCHES_FILE",
        None,
        kinds.path,
        "File of the switches by which the page of a demo breaks its parts; only `aoii demo` sets it. Unset: none.",
    )
    status_port: int = _status_port("EDGE_STATUS_PORT", "5015", "the nodes'")


@dataclass(frozen=True)
class Logs:
    """What is logged, and in which form."""

    level: str = setting(
        "LOG_LEVEL",
        "info",
        kinds.word("debug", "info", "warning", "error"),
        "Least severe level that is logged: debug, info, warning or error.",
    )
    json: bool = setting(
        "LOG_FORMAT",
        "human",
        kinds.choice({"human": False, "json": True}),
        "Form of the log: human or json (one object per line).",
    )


@dataclass(frozen=True)
class Settings:
    """All settings, checked.

    Attributes:
        given: Names of the settings that are set, in `.env` or the environment.
        warnings: A fault for each key in a file that is no setting and was meant as one.
        notes: A fault for each other key that is no setting, and each secret or name that looks quoted or commented.
    """

    data_dir: Path = setting("AOII_DATA_DIR", DATA_DIR, _folder, "Folder for all files that a station writes.")
    write_budget_mb: int | None = setting(
        "WRITE_BUDGET_MB",
        None,
        kinds.whole(0, 10**7),
        "What each station may write to its disk in a day, MB; more raises an alert, and nothing is written later or "
        "left out. 0: any amount. Unset: 500 if AOII_DATA_DIR is on a memory card, else any amount.",
        example="500",
    )
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
            "Speed of the simulated clock, times real time.",
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
    notes: tuple[Fault, ...] = ()

    @property
    def status_ports(self) -> dict[str, int]:
        """The status port of each station that has one of its own; 0: it is turned off."""
        return {
            "gateway": self.gateway.status_port,
            "server": self.server.status_port,
            "csv": self.server.csv_status_port,
            "edgelog": self.server.edge_log_status_port,
            "edge": self.edge.status_port,
        }


ROOT = Group(Settings, declarations(Settings), "Files")
SECTIONS = sections(ROOT)
BY_NAME = {one.name: one for settings in SECTIONS.values() for one in settings}
SECRETS = [(name, f"{name}_FILE") for name, one in BY_NAME.items() if one.secret]
CHANNEL = cast(dict[str, Setting], cast(Group, declarations(Edge)["channel"]).parts)  # by field of ChannelModel


class Needs(NamedTuple):
    """`name` must not be set without `other`; with `even_empty`, this holds for an empty `NAME=` too."""

    name: str
    other: str
    remedy: str = "set {other} as well, or remove this line"
    even_empty: bool = False


# In the older installation, whose host had a default, MYSQL_PASSWORD= alone meant "root without a password".
_SQLITE = "set {other} as well (127.0.0.1 for this machine), or remove this line to use SQLite"
_OF_MYSQL = [name for name in BY_NAME if name.startswith("MYSQL_") and name != "MYSQL_HOST"]
CROSS_CHECKS = (
    *(Needs(name, "MYSQL_HOST", _SQLITE, even_empty=True) for name in _OF_MYSQL),
    Needs("MQTT_PASSWORD", "MQTT_USERNAME"),
    Needs("MQTT_PASSWORD_FILE", "MQTT_USERNAME"),
    Needs("MYSQL_TLS_CERT", "MYSQL_TLS_CA"),
    Needs("MQTT_TLS_CERT", "MQTT_TLS_CA"),
    *(Needs(f"{tls}_CERT", f"{tls}_KEY") for tls in ("MYSQL_TLS", "MQTT_TLS", "WEB_TLS")),
    *(Needs(f"{tls}_KEY", f"{tls}_CERT") for tls in ("MYSQL_TLS", "MQTT_TLS", "WEB_TLS")),
)
