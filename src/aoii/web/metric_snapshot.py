"""What a station says of itself on its status port, as values: its metrics and its checks.

Pure. A metric that a station does not serve is None, not 0: nothing was said of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]
Samples = Mapping[str, Mapping[Labels, float]]
Told = Literal["unasked", "answers", "unreachable"]

WANTED = (
    "aoii_broker_",
    "aoii_gateway_",
    "aoii_outbox_",
    "aoii_commit_ack",
    "aoii_database_up",
    "aoii_messages_",
    "aoii_inbox_",
    "aoii_rows_",
    "aoii_insert_",
    "aoii_batch_",
    "aoii_dead_letters",
    "aoii_node_battery",
    "aoii_node_readings_missing",
    "aoii_node_rssi",
    "aoii_node_sensor_fault",
    "aoii_node_snr",
    "aoii_csv_",
    "aoii_edge_log_",
)
UNWANTED = ("_bucket", "_created")  # a histogram of each of 500 nodes would cost more than all the rest


def parse(text: str) -> Samples:
    """The wanted metrics of a page in Prometheus's text form.

    Raises:
        ValueError: It is no such page.
    """
    lines = [line for line in text.splitlines() if line.startswith(WANTED) and not _name(line).endswith(UNWANTED)]
    samples: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families("\n".join([*lines, ""])):
        for sample in family.samples:
            samples.setdefault(sample.name, {})[frozenset(sample.labels.items())] = float(sample.value)
    return samples


def _name(line: str) -> str:
    return line.partition("{")[0].partition(" ")[0]


@dataclass(frozen=True)
class Figures:
    """A station's metrics at one moment, on any monotonic clock."""

    at_s: float = 0.0
    samples: Samples = field(default_factory=dict)

    def total(self, name: str, **labels: str) -> float | None:
        """The sum over all samples of the metric that carry these labels; None when there is none."""
        found = [value for these, value in self.samples.get(name, {}).items() if labels.items() <= dict(these).items()]
        return sum(found) if found else None

    def by(self, name: str, label: str) -> dict[str, float]:
        """The metric's values by one of its labels."""
        found: dict[str, float] = {}
        for labels, value in self.samples.get(name, {}).items():
            key = dict(labels).get(label, "")
            found[key] = found.get(key, 0) + value
        return found


@dataclass(frozen=True)
class Report:
    """What is known of one station.

    Attributes:
        station: `gateway`, `server`, `csv` or `edgelog`.
        address: Of its status port; None: it has none.
        told: Whether it answered when it was asked last.
        reason: Why it did not.
        age_s: Seconds since it answered last; None: it never did.
        checks: The names of what it looks at itself, and whether each is well; as it said last.
        now: Its metrics, as it said last.
        before: The same about a minute earlier, or as early as it is known since it was started.
        waiting: `aoii_outbox_events` over the last minutes, oldest first; empty where there is no outbox.
    """

    station: str
    address: str | None
    told: Told = "unasked"
    reason: str | None = None
    age_s: float | None = None
    checks: Mapping[str, bool] = field(default_factory=dict)
    now: Figures = field(default_factory=Figures)
    before: Figures = field(default_factory=Figures)
    waiting: tuple[float, ...] = ()

    def value(self, name: str, **labels: str) -> float | None:
        """A metric as it stood last."""
        return self.now.total(name, **labels)

    def grown(self, name: str, **labels: str) -> float:
        """By how much a counter rose in the last minute; a label that is new rose from 0."""
        return max(0.0, (self.now.total(name, **labels) or 0) - (self.before.total(name, **labels) or 0))

    def per_minute(self, name: str, **labels: str) -> float | None:
        """The rate of a counter; None while only one moment is known, or when nothing was said of it."""
        span_s = self.now.at_s - self.before.at_s
        if span_s <= 0 or name not in self.now.samples:
            return None
        return 60 * self.grown(name, **labels) / span_s
