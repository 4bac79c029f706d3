"""A metric snapshot: the metrics of a station at one instant, looked up by the objects that `metrics.py` declares.

Pure. A metric that the station does not serve is None, not 0: nothing is known of it. Stations of the previous release
serve some metrics under old names only (`metrics.RENAMED`); these are looked up by the same objects.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from aoii.runtime import metrics

Labels = frozenset[tuple[str, str]]
Samples = Mapping[str, Mapping[Labels, float]]


def decode_metrics(text: str, skip: Collection[MetricWrapperBase] = ()) -> Samples:
    """The samples of our metrics in a text of Prometheus's format, by their present names.

    Args:
        text: What a station serves on /metrics.
        skip: Metrics that are not wanted. Their lines are not parsed, because parsing takes most of the time.

    Raises:
        ValueError: The text is not of that format.
    """
    wanted = {served: name for served, metric, name in metrics.sample_names() if metric not in skip}
    lines = [line for line in text.splitlines() if line.partition("{")[0].partition(" ")[0] in wanted]
    samples: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families("\n".join([*lines, ""])):
        for sample in (sample for sample in family.samples if sample.name in wanted):
            samples.setdefault(wanted[sample.name], {})[frozenset(sample.labels.items())] = float(sample.value)
    return samples


@dataclass(frozen=True)
class MetricSnapshot:
    """The metrics of a station.

    Attributes:
        at_s: When they were read, seconds on a monotonic clock.
        samples: As `decode_metrics` returns them.
    """

    at_s: float = 0.0
    samples: Samples = field(default_factory=dict)

    def total(self, metric: Counter | Gauge, **labels: str) -> float | None:
        """The sum of all samples of `metric` that have these labels; None if there is none."""
        return self._total(metrics.name_of(metric), labels)

    def histogram_total(self, metric: Histogram, kind: Literal["sum", "count"]) -> float | None:
        """The sum or the number of a histogram's observations; None if the metric is not served."""
        return self._total(f"{metrics.name_of(metric)}_{kind}", {})

    def by_label(self, metric: Counter | Gauge, label: str, **others: str) -> dict[str, float]:
        """The values of a metric by one of its labels, each the sum over all samples that have the `others`."""
        found: dict[str, float] = {}
        for labels, value in self.samples.get(metrics.name_of(metric), {}).items():
            key = dict(labels).get(label)
            if key is not None and others.items() <= dict(labels).items():
                found[key] = found.get(key, 0) + value
        return found

    def _total(self, name: str, labels: Mapping[str, str]) -> float | None:
        samples = self.samples.get(name, {})
        found = [value for carried, value in samples.items() if labels.items() <= dict(carried).items()]
        return sum(found) if found else None
