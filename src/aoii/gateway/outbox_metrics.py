"""Metrics of the outbox file and of the kept readings, and a log line when something is wrong with either file."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from aoii.gateway.drivers.outbox_file import OutboxFile
from aoii.gateway.drivers.outbox_recovery import Recovery
from aoii.runtime import metrics, time_to_full
from aoii.runtime.disk_metrics import DiskMetrics
from aoii.runtime.failure_log import FailureLog
from aoii.runtime.time_to_full import Growth

log = logging.getLogger(__name__)


class OutboxMetrics:
    """The metrics of one outbox file, and of the disk that holds its folder; called from one thread.

    Args:
        outbox_file: The file, open.
        folder: Its folder.
        now_s: A monotonic clock, s.
    """

    def __init__(self, outbox_file: OutboxFile, folder: Path, now_s: Callable[[], float] = time.monotonic) -> None:
        self._outbox_file = outbox_file
        self._disk = DiskMetrics(folder, now_s)
        self._now_s = now_s
        self._growth = Growth(time_to_full.OUTBOX_SPAN_S)
        self._recoveries = self._corrupt = self._states_lost = 0  # reported so far
        self._kept = _KeptMetrics(outbox_file, now_s)
        if outbox_file.is_older_copy:
            log.warning(
                "outbox file is an older copy of itself, forecasts in it are dropped",
                extra={"event": "outbox_restored"},
            )

    def update(self) -> None:
        """Set the gauges, and report damage that was found since the last call."""
        metrics.OUTBOX_EVENTS.set(self._outbox_file.events)
        metrics.OUTBOX_BYTES.set(self._outbox_file.used_bytes)
        metrics.OUTBOX_LIMIT_BYTES.set(self._outbox_file.limit_bytes)
        metrics.OUTBOX_OLDEST_S.set(self._outbox_file.oldest_s())
        self._disk.update()
        self._update_time_to_full()
        if corrupt := self._outbox_file.corrupt_found - self._corrupt:
            self._corrupt += corrupt
            metrics.OUTBOX_DAMAGED.labels(outcome="corrupt").inc(corrupt)
            log.error("readings failed their checksum", extra={"event": "outbox_corrupt", "readings": corrupt})
        if states := self._outbox_file.states_lost - self._states_lost:
            self._states_lost += states
            metrics.OUTBOX_STATES_LOST.inc(states)
            log.warning("states of nodes failed their checksum", extra={"event": "states_lost", "nodes": states})
        self._kept.update()
        for recovery in self._outbox_file.recoveries[self._recoveries :]:
            self._recoveries += 1
            _report(recovery)

    def _update_time_to_full(self) -> None:
        """What is accepted less what is acknowledged fills the outbox; both are in the room that its rows occupy."""
        file = self._outbox_file
        self._growth.record(self._now_s(), file.used_bytes)
        room = time_to_full.outbox_room(
            file.limit_bytes, file.used_bytes, file.spare_bytes, self._disk.free_bytes, file.kept.used_bytes
        )
        seconds = time_to_full.time_to_full_s(room if file.is_writable else 0, self._growth.steady_rate())
        metrics.set_ahead(metrics.OUTBOX_TIME_TO_FULL_S, seconds)


class _KeptMetrics:
    """The same for the kept readings."""

    def __init__(self, outbox_file: OutboxFile, now_s: Callable[[], float]) -> None:
        self._outbox_file = outbox_file
        self._kept = kept = outbox_file.kept
        self._now_s = now_s
        self._accepted = Growth(time_to_full.REACH_SPAN_S)
        self._recoveries = self._failures = 0  # reported so far
        self._failure = FailureLog(
            log,
            "acknowledged readings cannot be kept; they are in the database",
            "kept_failed",
            over=("acknowledged readings are kept again", "kept_works"),
            lasts_s=0,
        )
        if not kept.is_on:
            log.info("readings are not kept after their acknowledgement, KEEP_MB is 0", extra={"event": "kept_off"})

    def update(self) -> None:
        """Set the gauges, and report damage and failures."""
        metrics.KEPT_READINGS.set(self._kept.readings)
        metrics.KEPT_BYTES.set(self._kept.used_bytes)
        metrics.KEPT_LIMIT_BYTES.set(self._kept.limit_bytes)
        metrics.KEPT_OLDEST_S.set(self._kept.oldest_s())
        metrics.KEPT_HAS_FORGOTTEN.set(self._kept.has_forgotten)
        self._update_reach()
        if failures := self._kept.failures - self._failures:
            self._failures += failures
            metrics.KEPT_FAILURES.inc(failures)
        if (failure := self._kept.failure) is not None:
            self._failure.record_failure(failure)
        else:
            self._failure.record_success()
        for recovery in self._kept.recoveries[self._recoveries :]:
            self._recoveries += 1
            fields = {"salvaged": recovery.salvaged, "corrupt": recovery.corrupt, "lost": recovery.lost}
            extra = {"event": "kept_damaged", "kept_as": str(recovery.kept_as)} | fields
            log.error("file of kept readings was damaged and replaced", extra=extra)

    def _update_reach(self) -> None:
        """Every accepted reading is kept in the end; what leaves the outbox at once after an outage is no rate."""
        kept, accepted = self._kept, self._outbox_file.accepted
        self._accepted.record(self._now_s(), accepted)
        rate = self._accepted.mean_rate(time_to_full.REACH_LEAST_S)
        reach_s = time_to_full.reach_s(kept.limit_bytes, kept.used_bytes, kept.readings, rate)
        metrics.set_ahead(metrics.KEPT_REACH_S, reach_s)


def _report(recovery: Recovery) -> None:
    readings = {"salvaged": recovery.salvaged, "corrupt": recovery.corrupt, "lost": recovery.lost}
    for outcome, count in readings.items():
        metrics.OUTBOX_DAMAGED.labels(outcome=outcome).inc(count)
    metrics.OUTBOX_STATES_LOST.inc(recovery.states_lost)
    fields = readings | {
        "event": "outbox_damaged",
        "is_lost_exact": recovery.is_lost_exact,
        "forecasts_lost": recovery.states_lost,
        "kept_as": str(recovery.kept_as),
    }
    log.error("outbox file was damaged and replaced", extra=fields)
