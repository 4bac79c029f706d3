"""Declares every metric of every station once: its name and unit, its meaning, its labels with bounded values.

No other file writes a metric's name: code that reads what a station serves (`metric_snapshot.py`) uses the objects that
are declared here. `make docs` makes docs/reference/metrics.md from them. The gauges of the older installation keep
their names; the web page fills them from the database.

The values of a bounded label are declared too, and each is served at 0 from the start: Prometheus sees no increase when
a series begins at 1, so the first event of its kind would be missing on every panel and in every alert.
"""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from aoii import __version__

M = TypeVar("M", bound=MetricWrapperBase)
Values = Iterable[str | tuple[str, ...]]
"""The values of one label, or the combinations of values of several."""


class Declared(NamedTuple):
    """How a metric is served.

    Attributes:
        name: The name under which it is served. The names of a histogram's samples add `_bucket`, `_sum` and `_count`.
        labels: The names of its labels. Those whose values are not known beforehand, such as `node`, come first.
        registries: The registries of the stations that serve it.
        values: The combinations of values that the bounded labels have; empty for a metric without such labels.
    """

    name: str
    labels: tuple[str, ...]
    registries: list[CollectorRegistry]
    values: tuple[tuple[str, ...], ...] = ()


BY_STATION = {name: CollectorRegistry() for name in ("gateway", "server", "csv", "edgelog", "edge")}
DECLARED: dict[MetricWrapperBase, Declared] = {}


class ServedBy:
    """Declares metrics that only the named stations serve: at another station a gauge at 0 would look like a fault."""

    def __init__(self, *stations: str) -> None:
        self._registries = [BY_STATION[name] for name in stations]

    def declare(self, metric: M, name: str, *labels: str, values: Values = ()) -> M:
        """Register `metric` with its stations and return it."""
        combinations = tuple((one,) if isinstance(one, str) else one for one in values)
        DECLARED[metric] = Declared(name, labels, self._registries, combinations)
        if combinations and len(combinations[0]) == len(labels):
            begin(metric)
        for registry in self._registries:
            registry.register(metric)
        return metric

    def counter(self, name: str, meaning: str, *labels: str, values: Values = ()) -> Counter:
        """Declare a counter; `name` ends in `_total`, and `values` are those of its bounded labels."""
        return self.declare(Counter(name, meaning, labels, registry=None), name, *labels, values=values)

    def gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        """Declare a gauge."""
        return self.declare(Gauge(name, meaning, labels, registry=None), name, *labels)

    def histogram(self, name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        """Declare a histogram; `buckets` are the upper bounds of its buckets."""
        return self.declare(Histogram(name, meaning, labels, buckets=buckets, registry=None), name, *labels)


class _Alias(Collector):
    """Serves a renamed metric under its old name too, with its samples at the instant of the scrape."""

    def __init__(self, old: str, metric: MetricWrapperBase) -> None:
        self._old = old.removesuffix("_total")
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        """The samples under the old name."""
        for family in self._metric.collect():
            alias = Metric(self._old, f"Old name of {name_of(self._metric)}.", family.type)
            alias.samples = [
                sample._replace(name=self._old + sample.name.removeprefix(family.name)) for sample in family.samples
            ]
            yield alias


def begin(metric: MetricWrapperBase, *unbounded: str) -> None:
    """Serve the series of a counter or histogram that can be named now, at 0 until something happens.

    Args:
        metric: A declared metric.
        unbounded: The values of its labels that are not known beforehand, such as the name of a node.
    """
    for bounded in DECLARED[metric].values or ((),):
        metric.labels(*unbounded, *bounded)


def undeclared() -> list[tuple[str, tuple[str, ...]]]:
    """The series that this process serves with values that are not declared: each is a metric and its label values."""
    return [
        (declared.name, tuple(values))
        for metric, declared in DECLARED.items()
        if declared.values
        for values in metric._metrics
        if tuple(values)[-len(declared.values[0]) :] not in declared.values
    ]


def name_of(metric: MetricWrapperBase) -> str:
    """The name under which a declared metric is served."""
    return DECLARED[metric].name


def sample_names() -> Iterator[tuple[str, MetricWrapperBase, str]]:
    """Each sample that a station may serve: its name (old names too), its metric, and its present name.

    A histogram's buckets are left out: aoii itself does not read them, and those of 500 nodes are longer than all other
    samples together.
    """
    served = [(name_of(metric), metric) for metric in DECLARED]
    for name, metric in [*served, *RENAMED.items()]:
        for end in ("_sum", "_count") if isinstance(metric, Histogram) else ("",):
            yield name + end, metric, name_of(metric) + end


def value(metric: MetricWrapperBase, **labels: str) -> float:
    """The present value of a counter or gauge in this process."""
    metrics = (metric.labels(**labels) if labels else metric).collect()
    return next(float(s.value) for m in metrics for s in m.samples if not s.name.endswith("_created"))


_WRITING = ServedBy("gateway", "server", "csv", "edgelog")
_ANY = ServedBy("gateway", "server", "csv", "edgelog", "edge")
BUILD = _ANY.declare(Info("aoii_build", "Version of aoii that runs here.", registry=None), "aoii_build_info", "version")
BUILD.info({"version": __version__})
SETTINGS_USABLE = _ANY.gauge(
    "aoii_settings_usable",
    "1 while the files of settings are right; 0: the station keeps those of its start, and its next start fails.",
)
SETTINGS_NEED_RESTART = _ANY.gauge(
    "aoii_settings_need_restart", "1 while the files of settings say something else than what is in force."
)

WRITTEN_BYTES = _WRITING.counter("aoii_written_bytes_total", "Bytes that this station has written to its disk.")
WRITTEN_BYTES_PER_DAY = _WRITING.gauge(
    "aoii_written_bytes_per_day",
    "What this station writes to its disk in a day, as in the last one; NaN in its first six hours.",
)
WRITE_BUDGET_BYTES = _WRITING.gauge(
    "aoii_write_budget_bytes_per_day", "What it may write in a day (`WRITE_BUDGET_MB`); +Inf: any amount."
)

# --- towards the broker and the database ------------------------------------------------------------------------------
_ON_BROKER = ServedBy("gateway", "server", "csv")
RECONNECTS = _ON_BROKER.counter("aoii_broker_reconnects_total", "Lost connections to the broker.")
BROKER_UP = _ON_BROKER.gauge("aoii_broker_up", "1 while connected to the broker with every subscription granted.")
BROKER_SHORT_CONNECTIONS = _ON_BROKER.gauge(
    "aoii_broker_short_connections",
    "Connections in a row that the broker ended within 90 s; from 3 on something is wrong, and the log says what.",
)
_ON_DISK = ServedBy("gateway", "server")
DISK_FREE_BYTES = _ON_DISK.gauge("aoii_disk_free_bytes", "Free space on the disk that holds the station's own file.")
DISK_BYTES = _ON_DISK.gauge("aoii_disk_size_bytes", "Size of the disk that holds the station's own file.")
_AT_RATE = "at the rate of the last %s; 0: it is full, +Inf: it does not fill, NaN: not known yet."
DISK_TIME_TO_FULL_S = _ON_DISK.gauge(
    "aoii_disk_time_to_full_seconds",
    f"Time until the disk that holds the station's own file is full, {_AT_RATE % 'two hours'}",
)
BROKER_REFUSALS = _ON_DISK.counter(
    "aoii_broker_refusals_total",
    "Failed attempts to use the broker, by reason: tls (one side does not trust the other), login, subscription.",
    "reason",
    values=("tls", "login", "subscription"),
)
_WITH_PEERS = ServedBy("gateway", "server", "csv", "edgelog")
CERTIFICATE_EXPIRY = _WITH_PEERS.gauge(
    "aoii_certificate_expiry_timestamp_seconds",
    "Unix time at which a certificate expires, by peer (broker, database, page) and owner (authority, ours, theirs).",
    "peer",
    "certificate",
)
_ON_PORTS = ServedBy("gateway", "edgelog")
SERIAL_UP = _ON_PORTS.gauge("aoii_gateway_serial_up", "1 while the serial port is open, by port.", "port")
_INTO_DATABASE = ServedBy("server", "edgelog")
DATABASE_UP = _INTO_DATABASE.gauge("aoii_database_up", "1 while the database accepts this station's rows.")


def count_broker_refusal(reason: str) -> None:
    """Count a failed attempt to use the broker; a station gives this function to its MQTT client as `on_refusal`."""
    BROKER_REFUSALS.labels(reason).inc()


def set_ahead(gauge: Gauge, seconds: float | None) -> None:
    """Set one of the gauges in `AHEAD`; None: not known.

    NaN, because it is below no limit, so that no alert fires: a gauge that was never set is served as 0, which would
    say that the buffer is full. What does not fill is +Inf and not NaN: that nothing fills is known, and a panel that
    shows the least of several still works.
    """
    gauge.set(math.nan if seconds is None else seconds)


# --- gateway: serial side ---------------------------------------------------------------------------------------------
_GATEWAY = ServedBy("gateway")
PACKETS = _GATEWAY.counter(
    "aoii_gateway_packets_total",
    "Packets accepted from the radio, by kind: event, heartbeat, backfill, legacy, repeated, time.",
    "kind",
    values=("event", "heartbeat", "backfill", "legacy", "repeated", "time"),
)
_OF_BYTES = ("long", "encoding", "cut", "cobs", "crc")  # core/stream.py
_OF_FRAMES = ("type", "length", "version", "unknown_node", "mac", "trend", "flags", "epoch", "replay")
_OF_LINES = ("noise", "payload", "range", "conflict")  # of old nodes
REJECTED = _GATEWAY.counter(
    "aoii_gateway_rejected_total",
    "Frames and lines rejected, by reason.",
    "reason",
    values=(*_OF_BYTES, *_OF_FRAMES, *_OF_LINES),
)
HEARD_ACKS = _GATEWAY.counter(
    "aoii_gateway_heard_acks_total",
    "Authentic acknowledgements that a receiver heard: of another gateway that answers at once (first), of a witness, "
    "of this gateway (own), or of an old frame, such as a replay (old).",
    "by",
    values=("first", "witness", "own", "old"),
)
WITNESS_ANSWERS = _GATEWAY.counter(
    "aoii_gateway_witness_answers_total",
    "Frames that a witness answered (sent), left to the first gateway, which it heard (heard), or did not answer "
    "because the node had not repeated its reading yet (first).",
    "result",
    values=("sent", "heard", "first"),
)
SETTINGS_CONFLICTS = _GATEWAY.counter(
    "aoii_gateway_settings_conflicts_total",
    "Signs that another gateway gives our nodes other settings: one was heard, or a node had settings of another.",
    "sign",
    values=("heard", "moved"),
)
NODE_KEYS_USABLE = _GATEWAY.gauge(
    "aoii_gateway_node_keys_usable",
    "1 while NODE_KEYS_FILE is right; 0: it has been changed to something wrong, and the gateway uses the keys before.",
)
GATEWAY_RANK = _GATEWAY.gauge("aoii_gateway_rank", "GATEWAY_RANK: 0 answers its nodes at once, 1 is a witness.")
SETTINGS_CHECKSUM = _GATEWAY.gauge(
    "aoii_gateway_settings_checksum",
    "A number made from the settings that this gateway wants its nodes to have; gateways of one field must agree.",
)
REPLIES_LATE = _GATEWAY.counter(
    "aoii_gateway_replies_late_total", "Replies not sent because more than 0.9 s had passed; the reading was kept."
)
SERIAL_OPENS = _GATEWAY.counter("aoii_gateway_serial_opens_total", "Times a serial port was opened.")
NODE_READINGS = _GATEWAY.counter(
    "aoii_node_readings_total",
    "Readings accepted for the first time, by node and kind.",
    "node",
    "kind",
    values=("event", "heartbeat", "backfill", "legacy"),
)
NODE_PERIODS = _GATEWAY.counter(
    "aoii_node_sample_periods_total",
    "Sample periods (SAMPLE_PERIOD_S) since the gateway has known the node: what a periodic node would have sent.",
    "node",
)
NODE_INFO = _GATEWAY.declare(
    Info(
        "aoii_node", "Name and place of the node, as `aoii node` has set them; empty if not.", ["node"], registry=None
    ),
    "aoii_node_info",
    "node",
    "name",
    "place",
)
NODE_LAST_HEARD_S = _GATEWAY.gauge(
    "aoii_node_last_heard_timestamp_seconds",
    "Unix time of the node's last frame; after a restart, of the last reading that the gateway kept.",
    "node",
)
NODE_LIVENESS = _GATEWAY.gauge(
    "aoii_node_liveness",
    "1 for what is known of the node now, 0 for the rest: ok (its silence is within what it has promised), late, dead, "
    "sensor_fault (it sends, and its sensor does not measure), unknown (nobody listens, or nobody has heard it yet).",
    "node",
    "state",
)
NODE_SILENCE_S = _GATEWAY.gauge(
    "aoii_node_silence_seconds",
    "Since the node was heard; time in which its receiver did not listen is not in it.",
    "node",
)
NODE_DEADLINE_S = _GATEWAY.gauge(
    "aoii_node_deadline_seconds", "Silence after which the node is called dead: two heartbeats, or measured.", "node"
)
NODE_HEARTBEAT_S = _GATEWAY.gauge(
    "aoii_node_heartbeat_seconds",
    "Longest silence of a healthy node; not served for nodes without heartbeats (HEARTBEAT_S=0).",
    "node",
)
NODE_RSSI = _GATEWAY.gauge("aoii_node_rssi_dbm", "Signal strength of the node's last frame.", "node")
NODE_SNR = _GATEWAY.gauge("aoii_node_snr_db", "Signal-to-noise ratio of the node's last frame.", "node")
NODE_BATTERY_V = _GATEWAY.gauge("aoii_node_battery_volts", "The node's battery, if the node measures it.", "node")
NODE_BATTERY_LOW = _GATEWAY.gauge("aoii_node_battery_low", "1 while the node reports a low battery.", "node")
NODE_SENSOR_FAULT = _GATEWAY.gauge(
    "aoii_node_sensor_fault",
    "1 while the node reports a sensor fault, or its last reading is a value that faulty sensors give.",
    "node",
)
NODE_FLASH_ERASED = _GATEWAY.gauge(
    "aoii_node_flash_erased",
    "1 while the node repeats numbers of its epoch, as after its flash was erased; until it has a new key, readings "
    "are rejected.",
    "node",
)
NODE_MISSING = _GATEWAY.gauge(
    "aoii_node_readings_missing",
    "Counters that the node skipped within a day and whose readings have not arrived; a restart skips up to 63.",
    "node",
)
NODE_WAITING = _GATEWAY.gauge(
    "aoii_node_readings_waiting",
    "Readings that the node may still hold and this gateway lacks: at most so many, as far as it has heard since its "
    "start and within a day. The node's ring has room for 126.",
    "node",
)
NODE_CLOCK_OFFSET_S = _GATEWAY.gauge(
    "aoii_node_clock_offset_seconds", "Clock of an old node minus the gateway's, transmission time included.", "node"
)
NODE_ERROR_T = _GATEWAY.gauge(
    "aoii_node_error_celsius", "Error of the gateway's estimate at the node's last live reading.", "node"
)
NODE_ERROR_H = _GATEWAY.gauge(
    "aoii_node_error_humidity_percent", "Error of the gateway's estimate at the node's last live reading.", "node"
)
ERROR_T = _GATEWAY.histogram(
    "aoii_estimate_error_celsius",
    "Error of the gateway's estimate when a live reading arrives.",
    (0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10),
)
ERROR_H = _GATEWAY.histogram(
    "aoii_estimate_error_humidity_percent",
    "Error of the gateway's estimate when a live reading arrives.",
    (0.5, 1, 2, 3, 4, 6, 10, 20),
)
THRESHOLD_T = _GATEWAY.gauge("aoii_gateway_threshold_celsius", "BETA_TEMP: an estimate with this error is wrong.")
THRESHOLD_H = _GATEWAY.gauge(
    "aoii_gateway_threshold_humidity_percent", "BETA_HUM: an estimate with this error is wrong."
)
NODE_THRESHOLD_T = _GATEWAY.gauge(
    "aoii_node_threshold_celsius", "Threshold of the node: BETA_TEMP, or its own in OLD_NODE_THRESHOLDS.", "node"
)
NODE_THRESHOLD_H = _GATEWAY.gauge(
    "aoii_node_threshold_humidity_percent",
    "Threshold of the node: BETA_HUM, or its own in OLD_NODE_THRESHOLDS.",
    "node",
)
CLOCK_SYNCED = _GATEWAY.gauge("aoii_gateway_clock_synced", "1 while the gateway trusts the machine's clock.")
NODE_AOII_S = _GATEWAY.gauge(
    "aoii_node_aoii_seconds",
    "How long, at least, the estimate of the node had been wrong when its last report arrived; 0: it was correct.",
    "node",
)
NODE_AOII_REPORTS_S = _GATEWAY.histogram(
    "aoii_node_aoii_reports_seconds",
    "AoII at each reading: 0, or the time from a sample that showed a wrong estimate to the next forecast.",
    (0, 2, 5, 15, 60, 300, 600, 1800, 3600, 6 * 3600, 86400),
    "node",
)
# --- gateway: broker side ---------------------------------------------------------------------------------------------
PUBLISHES = _GATEWAY.counter(
    "aoii_gateway_publishes_total",
    "Publishes by event (RX, EST), QoS, result (sent, refused, failed) and the broker's reason code, if any.",
    "event",
    "qos",
    "result",
    "reason",
    values=(
        *(("RX", "0", result, "") for result in ("sent", "failed")),
        *(("EST", "0", result, "") for result in ("sent", "failed")),
        ("RX", "1", "failed", ""),
        *(("RX", "1", "sent", reason) for reason in ("0", "16")),  # the codes of PUBACK: MQTT 5, 3.4.2.1
        *((event, qos, "refused", "149") for event, qos in (("RX", "0"), ("RX", "1"), ("EST", "0"))),  # not even sent
        *(("RX", "1", "refused", reason) for reason in ("128", "131", "135", "144", "145", "151", "153")),
    ),
)
PUBLISH_REFUSED = _GATEWAY.gauge(
    "aoii_gateway_publish_refused", "1 when the broker refused the last reading that it answered for."
)
OUTBOX_EVENTS = _GATEWAY.gauge("aoii_outbox_events", "Accepted readings that wait for their commit acknowledgement.")
OUTBOX_OLDEST_S = _GATEWAY.gauge("aoii_outbox_oldest_age_seconds", "Age of the oldest reading in the outbox.")
OUTBOX_BYTES = _GATEWAY.gauge("aoii_outbox_bytes", "Space that the readings in the outbox file occupy.")
OUTBOX_LIMIT_BYTES = _GATEWAY.gauge(
    "aoii_outbox_limit_bytes",
    "Space that the readings in the outbox file may occupy; when it is used up, nodes get no answer.",
)
OUTBOX_TIME_TO_FULL_S = _GATEWAY.gauge(
    "aoii_outbox_time_to_full_seconds",
    "Time until the outbox is full, by its limit or because the disk is, and nodes get no answer, "
    f"{_AT_RATE % 'ten minutes'}",
)
OUTBOX_TOO_LARGE = _GATEWAY.gauge(
    "aoii_outbox_too_large_events", "Readings in the outbox that exceed the broker's limit on the size of a packet."
)
OUTBOX_REJECTED_READINGS = _GATEWAY.counter(
    "aoii_outbox_rejected_readings_total", "Readings not accepted because the outbox was full or could not be written."
)
OUTBOX_DAMAGED = _GATEWAY.counter(
    "aoii_outbox_damaged_total",
    "Readings of a damaged outbox file, by outcome: salvaged, corrupt (listed in the file's table `corrupt`), lost.",
    "outcome",
    values=("salvaged", "corrupt", "lost"),
)
OUTBOX_FETCHES_FAILED = _GATEWAY.counter(
    "aoii_outbox_fetches_failed_total", "Failed reads of the backlog in the outbox file; each is tried again."
)
OUTBOX_STATES_LOST = _GATEWAY.counter(
    "aoii_outbox_states_lost_total",
    "Nodes whose state in the outbox file was damaged; the gateway starts over with them.",
)
KEPT_READINGS = _GATEWAY.gauge(
    "aoii_kept_readings", "Readings that the gateway keeps although the database has acknowledged them."
)
KEPT_BYTES = _GATEWAY.gauge("aoii_kept_bytes", "Space that the kept readings occupy in their file.")
KEPT_LIMIT_BYTES = _GATEWAY.gauge(
    "aoii_kept_limit_bytes", "Space that the kept readings may occupy; then the oldest make room. 0: none are kept."
)
KEPT_OLDEST_S = _GATEWAY.gauge(
    "aoii_kept_oldest_age_seconds",
    "Age of the oldest kept reading: a backup of the database that is older cannot be completed from this gateway.",
)
KEPT_HAS_FORGOTTEN = _GATEWAY.gauge(
    "aoii_kept_has_forgotten",
    "1 once kept readings have had to make room: before the oldest one something is missing; 0: all of them are there.",
)
KEPT_REACH_S = _GATEWAY.gauge(
    "aoii_kept_reach_seconds",
    "How far back the kept readings go once they have filled their room, at the rate of the last day; +Inf: no reading "
    "comes, NaN: not known yet.",
)
KEPT_FAILURES = _GATEWAY.counter(
    "aoii_kept_failures_total",
    "Acknowledged readings of which the gateway has no copy, because its file could not be written or was damaged.",
)
COMMIT_ACKS = _GATEWAY.counter(
    "aoii_commit_acks_total",
    "Items in commit acknowledgements received, by status; dropped, bad and kept (retained by the broker, and ignored) "
    "count whole messages.",
    "status",
    values=("stored", "duplicate", "parked", "dropped", "bad", "kept"),
)
COMMIT_ACKS_MISMATCHED = _GATEWAY.counter(
    "aoii_commit_acks_mismatched_total",
    "Items in commit acknowledgements for a payload that this gateway did not publish; the reading was kept.",
)
COMMIT_ACK_SECONDS = _GATEWAY.histogram(
    "aoii_commit_ack_seconds",
    "Time from acceptance to the commit acknowledgement.",
    (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600),
)
REPAIR_QUESTIONS = _GATEWAY.counter(
    "aoii_repair_questions_total",
    "Messages in which the server asks for readings that the database lacks, by result: taken, cut (some of it left "
    "out: too much is asked already), bad, dropped (too many wait), kept (retained by the broker, and ignored).",
    "result",
    values=("taken", "cut", "bad", "dropped", "kept"),
)
REPAIR_QUESTION_S = _GATEWAY.gauge(
    "aoii_repair_question_timestamp_seconds",
    "Unix time at which the latest question of the server arrived; 0: none since the gateway was started.",
)
REPAIR_REPORTS = _GATEWAY.counter(
    "aoii_repair_reports_total",
    "Messages in which the gateway reports what it holds, by result: sent, refused, failed.",
    "result",
    values=("sent", "refused", "failed"),
)
STATUS_MESSAGES = _GATEWAY.counter(
    "aoii_node_status_messages_total",
    "Messages on aoii/nodes/<GATEWAY_ID>/<node> in which the gateway says what it knows of a node, by result: sent, "
    "refused, failed.",
    "result",
    values=("sent", "refused", "failed"),
)
REPAIR_GIVEN_BACK = _GATEWAY.counter(
    "aoii_repair_given_back_total", "Kept readings that were put into the outbox again because the database lacks them."
)
REPAIR_AIR_ASKS = _GATEWAY.counter(
    "aoii_repair_air_asks_total",
    "What became of questions to nodes: asked (in an acknowledgement), answered, recovered (answered with a reading "
    "that was wanted), silent (the node does not answer), limited (not asked: 64 a day and node).",
    "result",
    values=("asked", "answered", "recovered", "silent", "limited"),
)
# --- server -----------------------------------------------------------------------------------------------------------
_SERVER = ServedBy("server")
_SUBSCRIBERS = ServedBy("server", "csv")
MESSAGES = _SERVER.counter(
    "aoii_messages_received_total",
    "Messages from the broker, by event (RX, EST, bad).",
    "event",
    values=("RX", "EST", "bad"),
)
MESSAGES_REJECTED = _SERVER.counter(
    "aoii_messages_rejected_total",
    "Payloads that are not valid messages, by reason.",
    "reason",
    values=("size", "encoding", "json", "shape", "event", "range"),
)
MESSAGES_KEPT = _SUBSCRIBERS.counter(
    "aoii_messages_kept_total",
    "Messages ignored because the broker had retained them: no news. A reading with an identity is not ignored.",
)
DELAYS_UNKNOWN = _SUBSCRIBERS.counter(
    "aoii_delays_unknown_total",
    "Readings of the older installation's gateway whose transmission_delay_ms is impossible; stored without it.",
)
COMMIT_ACKS_TOO_LARGE = _SERVER.counter(
    "aoii_commit_acks_too_large_total", "Commit acknowledgements not sent because they exceed the broker's limit."
)
INBOX_OVERRUNS = _SERVER.counter(
    "aoii_inbox_overruns_total",
    "Messages dropped because the inbox was full, by QoS; those at QoS 1 are delivered again after a reconnect.",
    "qos",
    values=("0", "1"),
)
READINGS_PROCESSED = _SERVER.counter(
    "aoii_readings_processed_total",
    "Readings by outcome, each time they are processed: stored, duplicate, retired (not stored: a number up to its "
    "node's floor), parked (dead-lettered: the database was away), mismatch, bad_row; during a replay also malformed, "
    "corrupt.",
    "outcome",
    values=("stored", "duplicate", "retired", "parked", "mismatch", "bad_row", "malformed", "corrupt"),
)


def count_delivery(status: str, readings: int) -> None:
    """Count readings by their delivery status; `database_away` is `parked` here, as it has always been."""
    READINGS_PROCESSED.labels(outcome="parked" if status == "database_away" else status).inc(readings)


INSERT_RETRIES = _SERVER.counter("aoii_insert_retries_total", "Inserts tried again after the database failed.")
BATCH_ROWS = _SERVER.histogram(
    "aoii_batch_rows", "Readings in one database transaction.", (1, 2, 5, 10, 25, 50, 100, 250, 500)
)
INSERT_TRANSACTION_S = _SERVER.histogram(
    "aoii_insert_transaction_duration_seconds",
    "Time of one database transaction.",
    (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30),
)
END_TO_END_LATENCY_S = _SERVER.histogram(
    "aoii_end_to_end_latency_seconds",
    "Time from the sample to the database commit, for readings with a trusted clock.",
    (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 6 * 3600, 86400),
)
CLOCK_OFFSET_S = _SERVER.gauge(
    "aoii_gateway_clock_offset_seconds",
    "Clock of the gateway minus the server's, from the gateway's last estimate; transmission time makes it smaller.",
    "gateway",
)
BROKER_DROPPED = _SERVER.gauge(
    "aoii_broker_dropped_messages",
    "Messages that the broker has dropped since it started because a queue was full, as it reports on $SYS.",
)
BROKER_SYS_UP = _SERVER.gauge("aoii_broker_sys_up", "1 while the broker publishes its own statistics on $SYS.")
DEAD_LETTERS = _SERVER.gauge("aoii_dead_letters", "Dead letters kept, by reason.", "reason")
DEAD_LETTERS_TIME_TO_FULL_S = _SERVER.gauge(
    "aoii_dead_letters_time_to_full_seconds",
    f"Time until the dead letters are full and the server acknowledges nothing more, {_AT_RATE % 'ten minutes'}",
)
DEAD_LETTERS_DAMAGED = _SERVER.counter(
    "aoii_dead_letters_damaged_total",
    "Dead letters of a damaged file, by outcome: salvaged, corrupt (kept with that reason), lost.",
    "outcome",
    values=("salvaged", "corrupt", "lost"),
)
DEAD_LETTERS_DROPPED = _SERVER.counter(
    "aoii_dead_letters_dropped_total", "Malformed payloads dropped from the full ring, oldest first."
)
AUDIT_LOOKS = _SERVER.counter(
    "aoii_audit_looks_total",
    "Looks of the audit at the tables: incremental (what is new), full (every row), failed.",
    "result",
    values=("incremental", "full", "failed"),
)
AUDIT_LOOK_S = _SERVER.gauge(
    "aoii_audit_look_timestamp_seconds", "Unix time of the audit's latest look; 0: none since the server was started."
)
AUDIT_FULL_LOOK_SECONDS = _SERVER.gauge("aoii_audit_full_look_seconds", "How long the latest full look took.")
AUDIT_NUMBERS = _SERVER.gauge(
    "aoii_audit_numbers",
    "Numbers of readings without a row, by state, as of the latest look: missing (in two looks, and not decided), and "
    "of the recorded ones open, void, unknown, lost, retired.",
    "state",
)
AUDIT_QUESTIONS = _SERVER.counter(
    "aoii_audit_questions_total",
    "Questions to gateways: empty (only whether an answer comes), holes (numbers that the tables lack), node (numbers "
    "that the gateway shall ask a node for), failed (not sent).",
    "kind",
    values=("empty", "holes", "node", "failed"),
)
AUDIT_REPORTS = _SERVER.counter(
    "aoii_audit_reports_total",
    "Reports of gateways, by result: taken, bad, dropped (too many wait), kept (retained by the broker, and ignored).",
    "result",
    values=("taken", "bad", "dropped", "kept"),
)
AUDIT_ROUND_TRIP_S = _SERVER.gauge(
    "aoii_audit_round_trip_timestamp_seconds",
    "Unix time at which a gateway last answered a question of the audit, asked at least hourly; 0: never since the "
    "server was started.",
    "gateway",
)
AUDIT_FAILURES = _SERVER.counter("aoii_audit_failures_total", "Steps of the audit that failed and are tried again.")
BACKUP_INTERVAL_S = _SERVER.gauge(
    "aoii_backup_interval_seconds", "BACKUP_INTERVAL_H: how old the newest backup of the database gets."
)
LEDGER_NUMBERS = _SERVER.gauge(
    "aoii_ledger_numbers",
    "Numbers of all nodes by what became of their readings, as last counted: stored, dead_letters, void, waiting, "
    "open, unknown, lost, retired.",
    "part",
)
LEDGER_UNBALANCED = _SERVER.gauge(
    "aoii_ledger_unbalanced_accounts",
    "Nodes and epochs of which numbers were in two parts of the ledger or in none, as last counted.",
)
LEDGER_COUNTED_S = _SERVER.gauge(
    "aoii_ledger_counted_timestamp_seconds", "Unix time of the last count of the ledger; 0 before the first one."
)

# --- CSV subscriber and log reader ------------------------------------------------------------------------------------
_CSV = ServedBy("csv")
CSV_ROWS = _CSV.counter(
    "aoii_csv_rows_total", "Rows appended to the CSV file, by event.", "event", values=("RX", "EST")
)
CSV_DUPLICATES = _CSV.counter(
    "aoii_csv_duplicates_total", "Messages delivered again and not written to the CSV file again."
)
CSV_TORN = ServedBy("csv", "edgelog").counter(
    "aoii_csv_torn_lines_total", "Unreadable ends of the CSV file that were set aside."
)
_EDGE_LOG = ServedBy("edgelog")
LOG_LINES = _EDGE_LOG.counter(
    "aoii_edge_log_lines_total",
    "Lines of the nodes' USB log, by outcome: stored, noise, lost, time (a request for the time, answered).",
    "outcome",
    values=("stored", "noise", "lost", "time"),
)
LOG_CSV_ROWS = _EDGE_LOG.counter(
    "aoii_edge_log_csv_rows_total",
    "Rows of the nodes' USB log for EDGE_LOG_CSV_FILE, by outcome: written, lost.",
    "outcome",
    values=("written", "lost"),
)
# --- web page: on its own /metrics, not on a status port --------------------------------------------------------------
_PAGE = ServedBy()
_AS_LAST_READ = "Web page only; while the database is away, as last read."
TOTAL_READINGS = _PAGE.gauge(
    "aoii_readings_total", f"Readings in the database (a gauge, as in the older installation). {_AS_LAST_READ}"
)
MAE_TEMP = _PAGE.gauge(
    "aoii_mae_temp",
    f"Mean absolute error of the estimate when a reading arrived, °C, over all readings. {_AS_LAST_READ}",
)
MAE_HUMIDITY = _PAGE.gauge(
    "aoii_mae_humidity",
    f"Mean absolute error of the estimate when a reading arrived, %RH, over all readings. {_AS_LAST_READ}",
)
AVG_TEMP = _PAGE.gauge("aoii_avg_temp_celsius", f"Mean temperature over all readings. {_AS_LAST_READ}")
AVG_HUMIDITY = _PAGE.gauge("aoii_avg_humidity_percent", f"Mean relative humidity over all readings. {_AS_LAST_READ}")
LAST_RECEIVED_S = _PAGE.gauge(
    "aoii_last_received_timestamp_seconds", f"Unix time at which the last reading was inserted. {_AS_LAST_READ}"
)
WEB_DATABASE_UP = _PAGE.gauge("aoii_web_database_up", "1 while the web page can read the database.")
WEB_BROKER_UP = _PAGE.gauge(
    "aoii_web_broker_up", "1 while the web page receives the gateway's estimates from the broker."
)
WEB_STREAMS = _PAGE.gauge("aoii_web_streams", "Open pages, by their event streams.")
WEB_REFUSALS = _PAGE.counter("aoii_web_refusals_total", "Requests without the token that the page requires.")

# What lies ahead at the present rate, in seconds; see `set_ahead`.
AHEAD = (OUTBOX_TIME_TO_FULL_S, DISK_TIME_TO_FULL_S, DEAD_LETTERS_TIME_TO_FULL_S, KEPT_REACH_S)
for _gauge in AHEAD:
    set_ahead(_gauge, None)

# Metrics with a sample for each node; the samples of a retired node are removed.
PER_NODE = tuple(metric for metric, declared in DECLARED.items() if "node" in declared.labels)

# --- old names, served for one release beside the new ones ------------------------------------------------------------
RENAMED: dict[str, MetricWrapperBase] = {
    "aoii_outbox_full_total": OUTBOX_REJECTED_READINGS,
    "aoii_rows_total": READINGS_PROCESSED,
    "aoii_batch_seconds": INSERT_TRANSACTION_S,
    "aoii_end_to_end_seconds": END_TO_END_LATENCY_S,
    "aoii_broker_tells": BROKER_SYS_UP,
}
for _old, _metric in RENAMED.items():
    for _registry in DECLARED[_metric].registries:
        _registry.register(_Alias(_old, _metric))
