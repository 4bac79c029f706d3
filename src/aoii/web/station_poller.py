"""Polls the stations, each in a thread, so that one that hangs delays neither the others nor the page.

A station that does not answer is reported as unreachable, not as dead: a dead station and a cut cable look the same.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Collection
from dataclasses import replace

from prometheus_client.metrics import MetricWrapperBase

from aoii.core.errors import UnavailableError
from aoii.runtime import metrics
from aoii.runtime.failure_log import FailureLog
from aoii.runtime.metric_snapshot import MetricSnapshot
from aoii.runtime.station_client import StationClient
from aoii.settings import Settings, StatusAddress
from aoii.web.node_health import NODE_METRICS
from aoii.web.station_report import StationReport

log = logging.getLogger(__name__)

POLL_INTERVAL_S = 3.0
RATE_WINDOW_S = 60.0  # between the two snapshots from which rates are computed
TRACK_LENGTH = 120  # polls of which the outbox's depth is kept: six minutes
STOP_S = 1.0  # for the thread of one station to end
# Metrics of nodes that the page does not show: with 500 nodes most lines of a gateway's answer are theirs.
SKIPPED: Collection[MetricWrapperBase] = set(metrics.PER_NODE) - set(NODE_METRICS.values())


class StationPoller:
    """Polls all stations and keeps the latest report of each."""

    def __init__(self, settings: Settings) -> None:
        self._stopping = threading.Event()
        level = logging.WARNING if settings.web.stations else logging.INFO  # not named: it may not be meant to run
        self._polled = [_PolledStation(address, self._stopping, level) for address in addresses(settings)]

    def start(self) -> None:
        """Start polling."""
        for station in self._polled:
            station.thread.start()

    def request_stop(self) -> None:
        """Tell the threads to stop polling; return at once."""
        self._stopping.set()

    def stop(self) -> None:
        """Stop polling; a thread whose exchange hangs is left behind."""
        self._stopping.set()
        for station in self._polled:
            station.thread.join(STOP_S)

    def reports(self) -> list[StationReport]:
        """What is known of each station now."""
        return [station.report() for station in self._polled]


def addresses(settings: Settings) -> tuple[StatusAddress, ...]:
    """The addresses in WEB_STATIONS; if it is empty, those of the status ports of this machine."""
    return settings.web.stations or tuple(
        StatusAddress(name, "127.0.0.1", port) for name, port in settings.status_ports.items() if name != "edge"
    )


class _PolledStation:
    """One station: the thread that polls it, and its report."""

    def __init__(self, address: StatusAddress, stopping: threading.Event, never_level: int) -> None:
        self._client = StationClient(address.host, address.port)
        self._stopping = stopping
        self._lock = threading.Lock()
        host = f"[{address.host}]" if ":" in address.host else address.host
        self._report = StationReport(address.station, f"{host}:{address.port}" if address.port else None)
        self._past: deque[MetricSnapshot] = deque()
        self._outbox_track: deque[float] = deque(maxlen=TRACK_LENGTH)
        self._answered_s: float | None = None
        over = "station answers again", "station_answers"
        words, event, fields = "station does not answer", "station_unreachable", {"station": address.station}
        self._never = FailureLog(log, words, event, over, fields=fields, level=never_level)
        self._away = FailureLog(log, words, event, over, 0, fields)
        self.thread = threading.Thread(target=self._run, name=f"polls {address.station}", daemon=True)

    def report(self) -> StationReport:
        """What is known of the station now."""
        with self._lock:
            age_s = None if self._answered_s is None else time.monotonic() - self._answered_s
            return replace(self._report, age_s=age_s)

    def _run(self) -> None:
        """Poll until the stop; a station without an address is not polled."""
        while self._report.address and not self._stopping.is_set():
            try:
                samples = self._client.metrics(SKIPPED)
                checks = self._client.checks("/healthz") | self._client.checks("/readyz")
            except UnavailableError as error:
                self._record_miss(str(error))
            else:
                self._record_answer(MetricSnapshot(time.monotonic(), samples), checks)
            self._stopping.wait(POLL_INTERVAL_S)

    def _record_answer(self, now: MetricSnapshot, checks: dict[str, bool]) -> None:
        depth = now.total(metrics.OUTBOX_EVENTS)
        with self._lock:
            if self._past and _has_restarted(self._past[-1], now):
                self._past.clear()
            self._past.append(now)
            while len(self._past) > 2 and now.at_s - self._past[1].at_s >= RATE_WINDOW_S:
                self._past.popleft()
            if depth is not None:
                self._outbox_track.append(depth)
            self._never.record_success()
            self._away.record_success()
            self._answered_s = now.at_s
            self._report = replace(
                self._report,
                contact="answers",
                reason=None,
                checks=checks,
                now=now,
                before=self._past[0],
                outbox_track=tuple(self._outbox_track),
            )

    def _record_miss(self, reason: str) -> None:
        with self._lock:
            (self._never if self._answered_s is None else self._away).record_failure(reason)
            self._report = replace(self._report, contact="unreachable", reason=reason)


def _has_restarted(before: MetricSnapshot, now: MetricSnapshot) -> bool:
    """Whether the station started again between the two snapshots: then a counter fell."""
    counters = (metrics.PACKETS, metrics.PUBLISHES, metrics.MESSAGES)
    return any((now.total(counter) or 0) < (before.total(counter) or 0) for counter in counters)
