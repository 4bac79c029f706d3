"""The reference system's six gauges for Prometheus, from the totals in the database."""

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from aoii.core.errors import UnavailableError
from aoii.runtime import metrics
from aoii.server.db import Stats
from aoii.web.source import Source


class Totals(Collector):
    """The gauges of `metrics.REFERENCE_GAUGES`."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def collect(self) -> Iterable[Metric]:
        """The present totals, or while the database is away the last known: the alert on their age must still fire."""
        try:
            stats: Stats | None = self._source.stats()
        except UnavailableError:
            stats = self._source.last_stats
        if stats is None:
            return
        values = {
            "aoii_readings_total": stats.total,
            "aoii_mae_temp": stats.mae_temp,
            "aoii_mae_humidity": stats.mae_humidity,
            "aoii_avg_temp_celsius": stats.avg_temp,
            "aoii_avg_humidity_percent": stats.avg_humidity,
            "aoii_last_received_timestamp_seconds": stats.last_at.timestamp() if stats.last_at else None,
        }
        for name, meaning in metrics.REFERENCE_GAUGES.items():
            value = values[name]
            if value is not None:
                yield GaugeMetricFamily(name, meaning, value=value)
