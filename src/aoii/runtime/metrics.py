"""Every metric of every station, once: name with its unit, meaning, labels with bounded sets of values.

`CATALOGUE` makes `docs/reference/metrics.md` (`aoii.commands.reference`), and a test holds the page to it.
The gauges of the reference system keep their names; they are read from the database by the web page (`web/`).
"""

import contextlib
import shutil
from pathlib import Path
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.metrics import MetricWrapperBase

from aoii import __version__

M = TypeVar("M", bound=MetricWrapperBase)

REGISTRY = CollectorRegistry()  # all of them, for tests
BY_STATION = {name: CollectorRegistry() for name in ("gateway", "server", "csv", "edgelog", "edge")}
CATALOGUE: list[tuple[str, str, str, str]] = []  # exported name, type, labels, meaning


def _note(name: str, kind: str, labels: tuple[str, ...], meaning: str) -> None:
    CATALOGUE.append((name, kind, ", ".join(labels), meaning))


_served_by: list[str] = []


def _served(*stations: str) -> None:
    """What follows is served by these stations alone: elsewhere a gauge at 0 would look like a fault."""
    _served_by[:] = stations


def _registered(metric: M) -> M:
    for registry in (REGISTRY, *(BY_STATION[name] for name in _served_by)):
        registry.register(metric)
    return metric


def counter(name: str, meaning: str, *labels: str) -> Counter:
    """A counter; `name` without `_total`, which is added."""
    _note(f"{name}_total", "counter", labels, meaning)
    return _registered(Counter(name, meaning, labels, registry=None))


def gauge(name: str, meaning: str, *labels: str) -> Gauge:
    """A gauge."""
    _note(name, "gauge", labels, meaning)
    return _registered(Gauge(name, meaning, labels, registry=None))


def histogram(name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
    """A histogram with these upper bounds."""
    _note(name, "histogram", labels, meaning)
    return _registered(Histogram(name, meaning, labels, buckets=buckets, registry=None))


def note_disk(folder: Path) -> None:
    """Bring the gauges of the disk that holds `folder` up to date; they stay as they are when it does not answer."""
    with contextlib.suppress(OSError):
        usage = shutil.disk_usage(folder)
        DISK_FREE_BYTES.set(usage.free)
        DISK_BYTES.set(usage.total)


def value(metric: MetricWrapperBase, **labels: str) -> float:
    """Present value of a counter or gauge, for health and for tests."""
    metrics = (metric.labels(**labels) if labels else metric).collect()
    return next(float(s.value) for m in metrics for s in m.samples if not s.name.endswith("_created"))


_served("gateway", "server", "csv", "edgelog", "edge")
BUILD = _registered(Info("aoii_build", "Version of aoii that runs here.", registry=None))
BUILD.info({"version": __version__})
_note("aoii_build_info", "info", ("version",), "Version of aoii that runs here.")

# --- towards the broker and the database ------------------------------------------------------------------------------
_served("gateway", "server", "csv")
RECONNECTS = counter("aoii_broker_reconnects", "Times that this station lost its broker connection.")
BROKER_UP = gauge("aoii_broker_up", "1 while connected to the broker with every subscription granted.")
_served("gateway", "server")
DISK_FREE_BYTES = gauge("aoii_disk_free_bytes", "Room left on the disk of the station's own file.")
DISK_BYTES = gauge("aoii_disk_size_bytes", "Size of the disk of the station's own file.")
BROKER_REFUSALS = counter(
    "aoii_broker_refusals",
    "Times that the broker kept this station out, or was not believed, by reason: tls, login, subscription.",
    "reason",
)
_served("gateway", "server", "csv", "edgelog")
CERTIFICATE_EXPIRY = gauge(
    "aoii_certificate_expiry_timestamp_seconds",
    "Unix time at which a certificate ends, by peer (broker, database, page) and whose (authority, ours, theirs).",
    "peer",
    "certificate",
)
_served("gateway", "edgelog")
SERIAL_UP = gauge("aoii_gateway_serial_up", "1 while the port is open, by port.", "port")
_served("server", "edgelog")
DATABASE_UP = gauge("aoii_database_up", "1 while the database takes our rows.")


def broker_refused(reason: str) -> None:
    """Count a refusal; for whoever owns a connection."""
    BROKER_REFUSALS.labels(reason).inc()


# --- gateway: serial side ---------------------------------------------------------------------------------------------
_served("gateway")
PACKETS = counter(
    "aoii_gateway_packets",
    "Packets taken from the radio, by kind: event, heartbeat, backfill, legacy, repeated, time.",
    "kind",
)
REJECTED = counter("aoii_gateway_rejected", "Frames and lines refused, by reason.", "reason")
REPLIES_LATE = counter(
    "aoii_gateway_replies_late", "Replies not sent because more than 0.9 s had passed; the reading was kept."
)
SERIAL_OPENS = counter("aoii_gateway_serial_opens", "Times a serial port was opened.")
NODE_READINGS = counter("aoii_node_readings", "Readings accepted for the first time, by node and kind.", "node", "kind")
NODE_LAST_HEARD_S = gauge(
    "aoii_node_last_heard_timestamp_seconds",
    "Unix time at which the node was heard last; after a restart, of the last reading that the gateway kept.",
    "node",
)
NODE_HEARTBEAT_S = gauge(
    "aoii_node_heartbeat_seconds",
    "The longest time for which the node is silent when all is well; none when HEARTBEAT_S is 0.",
    "node",
)
NODE_RSSI = gauge("aoii_node_rssi_dbm", "Signal strength of the node's last frame.", "node")
NODE_SNR = gauge("aoii_node_snr_db", "Signal-to-noise ratio of the node's last frame.", "node")
NODE_BATTERY_V = gauge("aoii_node_battery_volts", "The node's battery, if it measures it.", "node")
NODE_BATTERY_LOW = gauge("aoii_node_battery_low", "1 while the node says that its battery is low.", "node")
NODE_SENSOR_FAULT = gauge("aoii_node_sensor_fault", "1 while the node says that its sensor fails.", "node")
NODE_MISSING = gauge(
    "aoii_node_readings_missing",
    "Numbers of readings that the node skipped within a day and that have not come; a restart skips up to 63.",
    "node",
)
NODE_CLOCK_OFFSET_S = gauge(
    "aoii_node_clock_offset_seconds", "Clock of an old node minus the gateway's, with the time on the way.", "node"
)
NODE_ERROR_T = gauge(
    "aoii_node_error_celsius", "How far the gateway's belief was from the node's last live reading.", "node"
)
NODE_ERROR_H = gauge(
    "aoii_node_error_humidity_percent", "How far the gateway's belief was from the node's last live reading.", "node"
)
ERROR_T = histogram(
    "aoii_estimate_error_celsius",
    "How far the gateway's belief was from a live reading.",
    (0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10),
)
ERROR_H = histogram(
    "aoii_estimate_error_humidity_percent",
    "How far the gateway's belief was from a live reading.",
    (0.5, 1, 2, 3, 4, 6, 10, 20),
)
THRESHOLD_T = gauge("aoii_gateway_threshold_celsius", "BETA_TEMP: from this error on, a belief is wrong.")
THRESHOLD_H = gauge("aoii_gateway_threshold_humidity_percent", "BETA_HUM: from this error on, a belief is wrong.")
CLOCK_SYNCED = gauge("aoii_gateway_clock_synced", "1 while the gateway believes the machine's clock.")
NODE_AOII_S = gauge(
    "aoii_node_aoii_seconds",
    "For how long, at least, the picture of the node had been wrong when its last report came; 0: it was right.",
    "node",
)
NODE_AOII_REPORTS_S = histogram(
    "aoii_node_aoii_reports_seconds",
    "The same of every reading: 0, or the time from a sample that showed the picture wrong to the next picture.",
    (0, 2, 5, 15, 60, 300, 600, 1800, 3600, 6 * 3600, 86400),
    "node",
)
OF_A_NODE: tuple[MetricWrapperBase, ...] = (
    NODE_READINGS,
    NODE_LAST_HEARD_S,
    NODE_HEARTBEAT_S,
    NODE_RSSI,
    NODE_SNR,
    NODE_BATTERY_V,
    NODE_BATTERY_LOW,
    NODE_SENSOR_FAULT,
    NODE_MISSING,
    NODE_CLOCK_OFFSET_S,
    NODE_ERROR_T,
    NODE_ERROR_H,
    NODE_AOII_S,
    NODE_AOII_REPORTS_S,
)  # those with a label for the node, which go when it goes
# --- gateway: broker side ---------------------------------------------------------------------------------------------
PUBLISHES = counter(
    "aoii_gateway_publishes",
    "Publishes by event (RX, EST), QoS, result (sent, refused, failed) and the broker's reason code, if it gave one.",
    "event",
    "qos",
    "result",
    "reason",
)
PUBLISH_REFUSED = gauge("aoii_gateway_publish_refused", "1 when the broker refused the reading that it judged last.")
OUTBOX_EVENTS = gauge("aoii_outbox_events", "Accepted readings that wait for their commit acknowledgement.")
OUTBOX_OLDEST_S = gauge("aoii_outbox_oldest_age_seconds", "Age of the oldest reading in the outbox.")
OUTBOX_BYTES = gauge("aoii_outbox_bytes", "What the readings in the outbox file occupy.")
OUTBOX_LIMIT_BYTES = gauge("aoii_outbox_limit_bytes", "What they may occupy; when it is full, nodes get no answer.")
OUTBOX_FULL = counter("aoii_outbox_full", "Readings not accepted because the outbox was full or could not be written.")
OUTBOX_DAMAGED = counter(
    "aoii_outbox_damaged",
    "Readings of a damaged outbox file, by outcome: salvaged, corrupt (listed in the file's table `corrupt`), lost.",
    "outcome",
)
OUTBOX_FETCHES_FAILED = counter(
    "aoii_outbox_fetches_failed", "Times that the backlog could not be read from the outbox file; it is tried again."
)
OUTBOX_STATES_LOST = counter(
    "aoii_outbox_states_lost", "Nodes whose state in the outbox file was damaged; the gateway begins anew with them."
)
COMMIT_ACKS = counter(
    "aoii_commit_acks",
    "Items of commit acknowledgements received, by status; dropped and bad count whole messages.",
    "status",
)
COMMIT_ACKS_MISMATCHED = counter(
    "aoii_commit_acks_mismatched",
    "Items of commit acknowledgements about another payload than this gateway published; the reading was kept.",
)
COMMIT_ACK_SECONDS = histogram(
    "aoii_commit_ack_seconds",
    "Time from acceptance to the commit acknowledgement.",
    (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600),
)
# --- server -----------------------------------------------------------------------------------------------------------
_served("server")
MESSAGES = counter("aoii_messages_received", "Messages from the broker, by event (RX, EST, bad).", "event")
MESSAGES_REJECTED = counter("aoii_messages_rejected", "Payloads that are not messages, by reason.", "reason")
INBOX_OVERRUNS = counter(
    "aoii_inbox_overruns",
    "Messages left because the inbox was full, by QoS; those at QoS 1 are delivered again after a reconnect.",
    "qos",
)
ROWS = counter(
    "aoii_rows",
    "Readings by outcome, each time they are handled: stored, duplicate, parked, mismatch, bad_row; and, of a replay, "
    "malformed, corrupt.",
    "outcome",
)
INSERT_RETRIES = counter("aoii_insert_retries", "Inserts tried again after the database failed.")
BATCH_ROWS = histogram("aoii_batch_rows", "Readings in one database transaction.", (1, 2, 5, 10, 25, 50, 100, 250, 500))
BATCH_SECONDS = histogram(
    "aoii_batch_seconds",
    "Time of one database transaction.",
    (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30),
)
END_TO_END_S = histogram(
    "aoii_end_to_end_seconds",
    "Time from the sample to the database commit, of readings with a clock that was believed.",
    (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 6 * 3600, 86400),
)
CLOCK_OFFSET_S = gauge(
    "aoii_gateway_clock_offset_seconds",
    "Clock of the gateway minus the server's, by the gateway's last estimate, less the time on the way.",
    "gateway",
)
BROKER_DROPPED = gauge(
    "aoii_broker_dropped_messages",
    "Messages that the broker has dropped since it started because a queue was full, by its own account ($SYS).",
)
BROKER_TELLS = gauge("aoii_broker_tells", "1 while the broker gives an account of itself on $SYS.")
DEAD_LETTERS = gauge("aoii_dead_letters", "Dead letters kept, by reason.", "reason")
DEAD_LETTERS_DAMAGED = counter(
    "aoii_dead_letters_damaged",
    "Letters of a damaged file of dead letters, by outcome: salvaged, corrupt (a letter with that reason), lost.",
    "outcome",
)
DEAD_LETTERS_DROPPED = counter(
    "aoii_dead_letters_dropped", "Malformed payloads dropped from the full ring, oldest first."
)
# --- CSV subscriber and log reader ------------------------------------------------------------------------------------
_served("csv")
CSV_ROWS = counter("aoii_csv_rows", "Rows appended to the CSV file, by event.", "event")
CSV_DUPLICATES = counter("aoii_csv_duplicates", "Messages delivered again and not written to the CSV file again.")
CSV_TORN = counter("aoii_csv_torn_lines", "Torn last lines cut off from the CSV file.")
_served("edgelog")
LOG_LINES = counter("aoii_edge_log_lines", "Lines of the nodes' USB log, by outcome: stored, noise, lost.", "outcome")
# --- web page: outside REGISTRY, so that no other station answers with the page's gauges at 0 -----
REFERENCE_GAUGES = {
    "aoii_readings_total": "Readings in the database (a gauge, as in the reference system).",
    "aoii_mae_temp": "Mean absolute error of the gateway's belief when a reading arrived, °C, over all readings.",
    "aoii_mae_humidity": "Mean absolute error of the gateway's belief when a reading arrived, %RH, over all readings.",
    "aoii_avg_temp_celsius": "Mean temperature over all readings.",
    "aoii_avg_humidity_percent": "Mean relative humidity over all readings.",
    "aoii_last_received_timestamp_seconds": "Unix time at which the last reading was inserted.",
}
for _name, _meaning in REFERENCE_GAUGES.items():
    _note(_name, "gauge", (), f"{_meaning} Web page only; while the database is away, as last read.")


def _web_gauge(name: str, meaning: str) -> Gauge:
    _note(name, "gauge", (), meaning)
    return Gauge(name, meaning, registry=None)


WEB_DATABASE_UP = _web_gauge("aoii_web_database_up", "1 while the web page can read the database.")
WEB_BROKER_UP = _web_gauge("aoii_web_broker_up", "1 while the web page hears the gateway's estimates from the broker.")
WEB_STREAMS = _web_gauge("aoii_web_streams", "Pages that are open, by their event streams.")
WEB_REFUSALS = Counter("aoii_web_refusals", "Requests without the token that the page asks for.", registry=None)
_note("aoii_web_refusals_total", "counter", (), "Requests without the token that the page asks for.")


def reference_page() -> str:
    """The text of `docs/reference/metrics.md`."""
    lines = [
        "# Metrics",
        "",
        "Generated by `make docs`; do not edit.",
        "Each station serves its own on its status port.",
        "The web page serves the reference system's gauges on `/metrics`.",
        "",
        "| Metric | Type | Labels | Meaning |",
        "|---|---|---|---|",
    ]
    return (
        "\n".join(
            lines + [f"| `{name}` | {kind} | {labels} | {meaning} |" for name, kind, labels, meaning in CATALOGUE]
        )
        + "\n"
    )
