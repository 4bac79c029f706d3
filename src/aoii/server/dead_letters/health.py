"""The health of the dead letters: whether they can be used, logged once when they cannot; and their metrics."""

import logging
import time
from collections.abc import Callable
from typing import Literal

from aoii.core.errors import UnavailableError
from aoii.runtime import metrics
from aoii.runtime.disk_metrics import DiskMetrics
from aoii.runtime.time_to_full import OUTBOX_SPAN_S, Growth, file_room, time_to_full_s
from aoii.server.dead_letters.store import DeadLetters

log = logging.getLogger(__name__)

Act = Literal["add", "replay", "count"]


class DeadLetterHealth:
    """Keeps record of whether the server's dead letters can be used; for one thread.

    Args:
        dead_letters: The server's dead letters.
        now_s: A monotonic clock, s.
    """

    def __init__(self, dead_letters: DeadLetters, now_s: Callable[[], float] = time.monotonic) -> None:
        self._dead_letters = dead_letters
        self._disk = DiskMetrics(dead_letters.folder, now_s)
        self._now_s = now_s
        self._growth = Growth(OUTBOX_SPAN_S)  # they take what comes from the outbox while the database is away
        self._is_below_cap = True
        self._failing: set[Act] = set()  # the acts whose last try failed
        self._recoveries_reported = 0

    @property
    def can_add(self) -> bool:
        """Whether the dead letters are clearly below their cap, and the last `add` succeeded."""
        return self._is_below_cap and "add" not in self._failing

    def record(self, act: Act, problem: str | None) -> None:
        """Record what went wrong in an act, or None. Logged once, until every act that failed has succeeded."""
        if problem is None:
            self._failing.discard(act)
            return
        if not self._failing:
            fields = {"event": "dead_letters_unavailable", "act": act, "reason": problem}
            log.error("dead letters unavailable", extra=fields)
        self._failing.add(act)

    def update_metrics(self) -> None:
        """Set the metrics of the dead letters and of their disk, and log new recoveries."""
        self._disk.update()
        self._report_recoveries()
        try:
            for reason, count in self._dead_letters.counts().items():
                metrics.DEAD_LETTERS.labels(reason=reason).set(count)
            self._is_below_cap = self._dead_letters.has_room()
            self._update_time_to_full(*self._dead_letters.used_and_cap())
        except UnavailableError as error:
            self.record("count", str(error))
            self._is_below_cap = False
        else:
            self.record("count", None)

    def _update_time_to_full(self, used: int, cap: int) -> None:
        self._growth.record(self._now_s(), used)
        seconds = time_to_full_s(file_room(cap, used), self._growth.steady_rate())
        metrics.set_ahead(metrics.DEAD_LETTERS_TIME_TO_FULL_S, seconds)

    def _report_recoveries(self) -> None:
        new = self._dead_letters.recoveries[self._recoveries_reported :]
        self._recoveries_reported += len(new)
        for recovery in new:
            counts = {"salvaged": recovery.salvaged, "corrupt": recovery.corrupt, "lost": recovery.lost}
            for outcome, letters in counts.items():
                metrics.DEAD_LETTERS_DAMAGED.labels(outcome=outcome).inc(letters)
            fields = counts | {"is_lost_exact": recovery.is_lost_exact, "kept_as": str(recovery.kept_as)}
            log.error(
                "dead letters file was damaged, and a new one begun", extra={"event": "dead_letters_damaged", **fields}
            )
