"""The reference system's six gauges for Prometheus, from the totals in the database."""

from collections.abc import Iterable

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from aoii.core.errors import UnavailableError
from aoii.runtime import metrics
from aoii.server.rows import Stats
from aoii.web.source import Source


class Totals(Collector):
    """The gauges that only the page serves, with the values of this moment."""

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
            metrics.TOTAL_READINGS: stats.total,
            metrics.MAE_TEMP: stats.mae_temp,
            metrics.MAE_HUMIDITY: stats.mae_humidity,
            metrics.AVG_TEMP: stats.avg_temp,
            metrics.AVG_HUMIDITY: stats.avg_humidity,
            metrics.LAST_RECEIVED_S: stats.last_at.timestamp() if stats.last_at else None,
        }
        for gauge, value in values.items():
            if value is not None:
                gauge.set(value)
                yield from gauge.collect()
