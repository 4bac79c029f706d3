"""Daily writes: what a station writes to its disk in a day, and whether that is more than its budget.

Pure. The station measures (`written_bytes.py`); this is what the web page and `aoii doctor` say of it.
"""

import math
from typing import NamedTuple

from aoii.runtime import metrics
from aoii.runtime.metric_snapshot import MetricSnapshot

MEGABYTE = 10**6


class DailyWrites(NamedTuple):
    """What a station writes in a day, and what it may write, MB; `budget_mb` is None if there is no limit."""

    written_mb: float
    budget_mb: float | None

    @property
    def is_too_much(self) -> bool:
        """Whether it is more than the budget."""
        return self.budget_mb is not None and self.written_mb > self.budget_mb


def daily_writes(snapshot: MetricSnapshot) -> DailyWrites | None:
    """What a station writes in a day, from its metrics; None if it is not known yet."""
    written, budget = snapshot.total(metrics.WRITTEN_BYTES_PER_DAY), snapshot.total(metrics.WRITE_BUDGET_BYTES)
    if written is None or not math.isfinite(written):
        return None
    return DailyWrites(written / MEGABYTE, None if budget is None or math.isinf(budget) else budget / MEGABYTE)
