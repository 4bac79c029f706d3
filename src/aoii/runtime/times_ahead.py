"""Times ahead: how long until the buffers of a station are full, and how far back its kept readings will go.

Pure. The station measures (`time_to_full.py`); this is what the web page and `aoii doctor` say of it.
"""

import math
from collections.abc import Iterator
from typing import Literal

from prometheus_client import Gauge

from aoii.runtime import health_limits, metrics
from aoii.runtime.metric_snapshot import MetricSnapshot

Ahead = Literal["outboxFull", "diskFull", "lettersFull", "keptReach"]
FULL: dict[Ahead, Gauge] = {
    "outboxFull": metrics.OUTBOX_TIME_TO_FULL_S,
    "diskFull": metrics.DISK_TIME_TO_FULL_S,
    "lettersFull": metrics.DEAD_LETTERS_TIME_TO_FULL_S,
}


def times_ahead(snapshot: MetricSnapshot, *names: Ahead) -> dict[Ahead, float]:
    """Those of these times that are known and finite, seconds.

    A time to full that is further off than `health_limits.PAGE_AHEAD_S` is left out: nobody acts on it, and at such
    rates the growth of ten minutes is a few pages of a file, now more and now less.
    """
    found: dict[Ahead, float] = {}
    for name in names:
        seconds = snapshot.total(FULL.get(name, metrics.KEPT_REACH_S))
        limit_s = health_limits.PAGE_AHEAD_S if name in FULL else math.inf
        if seconds is not None and math.isfinite(seconds) and seconds <= limit_s:
            found[name] = seconds
    return found


def full_soon(snapshot: MetricSnapshot, *names: Ahead) -> Iterator[tuple[Ahead, float]]:
    """Those of these buffers that need a person today, with their time to full, seconds.

    A disk only if less than half of it is free, as in the alert: with more free, the growth of two hours rarely lasts.
    """
    size = snapshot.total(metrics.DISK_BYTES) or 0
    is_roomy = (snapshot.total(metrics.DISK_FREE_BYTES) or 0) >= health_limits.DISK_FORECAST_FREE_SHARE * size
    for name, seconds in times_ahead(snapshot, *names).items():
        if seconds < health_limits.FULL_SOON_S and not (name == "diskFull" and is_roomy):
            yield name, seconds
