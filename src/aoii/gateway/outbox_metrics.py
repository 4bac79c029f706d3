"""Metrics of the outbox file, and a log line when some of it was damaged."""

import logging
from pathlib import Path

from aoii.gateway.drivers.outbox_file import OutboxFile
from aoii.gateway.drivers.outbox_recovery import Recovery
from aoii.runtime import metrics

log = logging.getLogger(__name__)


class OutboxMetrics:
    """The metrics of one outbox file, and of the disk that holds its folder; called from one thread."""

    def __init__(self, outbox_file: OutboxFile, folder: Path) -> None:
        self._outbox_file = outbox_file
        self._folder = folder
        self._recoveries = self._corrupt = self._states_lost = 0  # reported so far

    def update(self) -> None:
        """Set the gauges, and report damage that was found since the last call."""
        metrics.OUTBOX_EVENTS.set(self._outbox_file.events)
        metrics.OUTBOX_BYTES.set(self._outbox_file.used_bytes)
        metrics.OUTBOX_LIMIT_BYTES.set(self._outbox_file.limit_bytes)
        metrics.OUTBOX_OLDEST_S.set(self._outbox_file.oldest_s())
        metrics.record_disk(self._folder)
        if corrupt := self._outbox_file.corrupt_found - self._corrupt:
            self._corrupt += corrupt
            metrics.OUTBOX_DAMAGED.labels(outcome="corrupt").inc(corrupt)
            log.error("readings failed their checksum", extra={"event": "outbox_corrupt", "readings": corrupt})
        if states := self._outbox_file.states_lost - self._states_lost:
            self._states_lost += states
            metrics.OUTBOX_STATES_LOST.inc(states)
            log.warning("states of nodes failed their checksum", extra={"event": "states_lost", "nodes": states})
        for recovery in self._outbox_file.recoveries[self._recoveries :]:
            self._recoveries += 1
            _report(recovery)


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
