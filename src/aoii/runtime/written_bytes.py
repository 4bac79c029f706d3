"""How much a station writes to its disk: it wears out a memory card, which lasts for so many bytes and no more.

The kernel counts the pages that this process made dirty (`write_bytes`). What the file system adds for its journal, and
what a card writes internally for each of them, is not in it.
"""

import contextlib
import math
import time
from collections.abc import Callable
from pathlib import Path

from aoii.runtime import disks, metrics
from aoii.runtime.daily_writes import MEGABYTE
from aoii.runtime.health_limits import DAY_S
from aoii.runtime.time_to_full import Growth

COUNTERS = Path("/proc/self/io")
CARD_BUDGET_MB = 500  # a day and station: three stations write 5 TB to a card in ten years
LEAST_S = 21_600.0  # of a day: what a start writes, and an outage that is made up for, are little of six hours
LOOK_S = 10.0


class WrittenBytes:
    """What this process writes, as metrics; called from one thread.

    Args:
        folder: Where the station's files are.
        budget_mb: What it may write in a day, MB; 0: any amount; None: `CARD_BUDGET_MB` on a memory card, else any.
        now_s: A monotonic clock, s.
        counters: What the kernel counts of this process; without such a file nothing is known.
    """

    def __init__(
        self,
        folder: Path,
        budget_mb: int | None,
        now_s: Callable[[], float] = time.monotonic,
        counters: Path = COUNTERS,
    ) -> None:
        self._now_s = now_s
        self._counters = counters
        self._growth = Growth(DAY_S)
        self._counted = 0
        self._next_s = -math.inf
        if budget_mb is None:
            budget_mb = CARD_BUDGET_MB if disks.is_memory_card(folder) else 0
        metrics.WRITE_BUDGET_BYTES.set(budget_mb * MEGABYTE if budget_mb else math.inf)
        metrics.WRITTEN_BYTES_PER_DAY.set(math.nan)

    def update(self) -> None:
        """Bring the metrics up to date; at most every `LOOK_S`, so that it may be called at any time."""
        now_s = self._now_s()
        if now_s < self._next_s:
            return
        self._next_s = now_s + LOOK_S
        with contextlib.suppress(OSError, ValueError, StopIteration):
            lines = self._counters.read_text(encoding="ascii").splitlines()
            written = next(int(line.split()[1]) for line in lines if line.startswith("write_bytes:"))
            metrics.WRITTEN_BYTES.inc(max(0, written - self._counted))
            self._counted = written
            self._growth.record(now_s, written)
            rate = self._growth.mean_rate(LEAST_S)
            metrics.WRITTEN_BYTES_PER_DAY.set(math.nan if rate is None else rate * DAY_S)
