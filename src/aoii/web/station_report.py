"""What the web page knows of a station: two metric snapshots a minute apart, its checks, whether it answers.

Pure. Rates and increases are differences between the two snapshots.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from prometheus_client import Counter, Gauge, Histogram

from aoii.runtime.metric_snapshot import MetricSnapshot

Contact = Literal["not_polled", "answers", "unreachable"]


@dataclass(frozen=True)
class StationReport:
    """What is known of one station.

    Attributes:
        station: `gateway`, `server`, `csv` or `edgelog`.
        address: Host and port of its status port; None if it has none.
        contact: Whether it answered the last poll.
        reason: Why it did not answer; None if it did or was not polled.
        age_s: Seconds since its last answer; None if it never answered.
        checks: The checks in its last answer, and whether each passes.
        now: The metrics in its last answer.
        before: The metrics about a minute before `now`, or less if the station or the page has started since.
        outbox_track: Readings in its outbox over the last minutes, oldest first; empty if it has no outbox.
    """

    station: str
    address: str | None
    contact: Contact = "not_polled"
    reason: str | None = None
    age_s: float | None = None
    checks: Mapping[str, bool] = field(default_factory=dict)
    now: MetricSnapshot = field(default_factory=MetricSnapshot)
    before: MetricSnapshot = field(default_factory=MetricSnapshot)
    outbox_track: tuple[float, ...] = ()

    def increase(self, metric: Counter | Gauge, **labels: str) -> float:
        """How much a metric rose in the last minute, at least 0; a sample that is new rose from 0."""
        return max(0.0, (self.now.total(metric, **labels) or 0) - (self.before.total(metric, **labels) or 0))

    def per_minute(self, metric: Counter | Gauge, **labels: str) -> float | None:
        """How much a counter rises in a minute; None if there is only one snapshot or the metric is not served."""
        span_s = self.now.at_s - self.before.at_s
        if span_s <= 0 or self.now.total(metric) is None:
            return None
        return 60 * self.increase(metric, **labels) / span_s

    def mean(self, metric: Histogram) -> float | None:
        """The mean of a histogram's observations in the last minute; None if there were none."""
        total, count = (
            (self.now.histogram_total(metric, part) or 0) - (self.before.histogram_total(metric, part) or 0)
            for part in ("sum", "count")
        )
        return total / count if count > 0 else None
