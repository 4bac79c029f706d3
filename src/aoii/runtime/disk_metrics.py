"""Metrics of the disk that holds a station's own file: its size, what is free, and how long until it is full."""

import contextlib
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from aoii.runtime import metrics
from aoii.runtime.time_to_full import DISK_SPAN_S, Growth, time_to_full_s


class DiskMetrics:
    """The metrics of the disk that holds `folder`; called from one thread.

    Args:
        folder: A folder on it.
        now_s: A monotonic clock, s.

    Attributes:
        free_bytes: What was free when the disk last answered; infinite before, so that it limits nothing.
    """

    def __init__(self, folder: Path, now_s: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._now_s = now_s
        self._growth = Growth(DISK_SPAN_S)
        self.free_bytes: float = math.inf

    def update(self) -> None:
        """Set the gauges; they keep their values while the disk does not answer."""
        with contextlib.suppress(OSError):
            usage = shutil.disk_usage(self._folder)
            self.free_bytes = usage.free
            self._growth.record(self._now_s(), -usage.free)
            metrics.DISK_FREE_BYTES.set(usage.free)
            metrics.DISK_BYTES.set(usage.total)
            metrics.set_ahead(metrics.DISK_TIME_TO_FULL_S, time_to_full_s(usage.free, self._growth.steady_rate()))
