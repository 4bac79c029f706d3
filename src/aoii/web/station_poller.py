"""Asks the stations how they are: a thread for each, so that one that hangs delays no other and no page.

An answer that does not come is a fact like another. It refuses to guess why: a station that is dead and one behind a
cut cable look the same from here.
"""

import contextlib
import http.client
import json
import logging
import threading
import time
from collections import deque
from dataclasses import replace

from aoii.settings import Settings, StatusAddress
from aoii.web.metric_snapshot import Figures, Report, Samples, parse

log = logging.getLogger(__name__)

ASK_S = 3.0
TIMEOUT_S = 2.0  # of each step of an exchange on a machine nearby
PATIENCE_S = 6.0  # of a whole answer; one that drips is cut off
BODY_LIMIT = 4_000_000  # metrics of 500 nodes are about 1 MB
CHUNK = 65_536
WINDOW_S = 60.0  # of rates
TRACK = 120  # depths of the outbox that are kept: six minutes
STOP_S = 1.0


class Stations:
    """All stations that the page asks, and what they said last."""

    def __init__(self, settings: Settings) -> None:
        self._stopping = threading.Event()
        self._asked = [_Asked(address, self._stopping) for address in addresses(settings)]

    def start(self) -> None:
        """Begin to ask."""
        for asked in self._asked:
            asked.thread.start()

    def say_stop(self) -> None:
        """Ask no more; returns at once."""
        self._stopping.set()

    def stop(self) -> None:
        """Ask no more; an exchange that hangs is left behind."""
        self._stopping.set()
        for asked in self._asked:
            asked.thread.join(STOP_S)

    def reports(self) -> list[Report]:
        """What is known of each station now."""
        return [asked.report() for asked in self._asked]


def addresses(settings: Settings) -> tuple[StatusAddress, ...]:
    """Those of WEB_STATIONS, or else the status ports of this machine."""
    own, server = settings.gateway, settings.server
    return settings.web.stations or (
        StatusAddress("gateway", "127.0.0.1", own.status_port),
        StatusAddress("server", "127.0.0.1", server.status_port),
        StatusAddress("csv", "127.0.0.1", server.csv_status_port),
        StatusAddress("edgelog", "127.0.0.1", server.edge_log_status_port),
    )


class _Asked:
    """One station."""

    def __init__(self, address: StatusAddress, stopping: threading.Event) -> None:
        self._address = address
        self._stopping = stopping
        self._lock = threading.Lock()
        host = f"[{address.host}]" if ":" in address.host else address.host
        self._report = Report(address.station, f"{host}:{address.port}" if address.port else None)
        self._past: deque[Figures] = deque()
        self._waiting: deque[float] = deque(maxlen=TRACK)
        self._answered_s: float | None = None
        self.thread = threading.Thread(target=self._run, name=f"asks {address.station}", daemon=True)

    def report(self) -> Report:
        with self._lock:
            age_s = None if self._answered_s is None else time.monotonic() - self._answered_s
            return replace(self._report, age_s=age_s)

    def _run(self) -> None:
        while self._address.port and not self._stopping.is_set():
            try:
                self._hear(*self._ask())
            except (OSError, http.client.HTTPException, ValueError) as error:
                self._miss(_said(error))
            self._stopping.wait(ASK_S)

    def _ask(self) -> tuple[Samples, dict[str, bool]]:
        checks: dict[str, bool] = {}
        samples = parse(self._get("/metrics"))
        for path in ("/healthz", "/readyz"):
            content = json.loads(self._get(path))
            found = content.get("checks") if isinstance(content, dict) else None
            if not isinstance(found, dict):
                raise http.client.HTTPException(f"{path} is not that of a station")
            checks |= {str(name): bool(is_well) for name, is_well in found.items()}
        return samples, checks

    def _get(self, path: str) -> str:
        """The body of an answer, whatever its status: a station that is not well says so with 503."""
        deadline_s = time.monotonic() + PATIENCE_S
        link = http.client.HTTPConnection(self._address.host, self._address.port, timeout=TIMEOUT_S)
        with contextlib.closing(link):
            link.request("GET", path, headers={"Connection": "close"})
            answer = link.getresponse()
            if answer.status not in (200, 503):
                raise ValueError(f"{path} answers with status {answer.status}")
            body = b""
            while chunk := answer.read1(CHUNK):
                body += chunk
                if len(body) > BODY_LIMIT or time.monotonic() > deadline_s:
                    raise ValueError(f"{path} is too long or too slow")
            return body.decode("utf-8", "replace")

    def _hear(self, samples: Samples, checks: dict[str, bool]) -> None:
        now = Figures(time.monotonic(), samples)
        depth = now.total("aoii_outbox_events")
        with self._lock:
            if self._past and _began_anew(self._past[-1], now):
                self._past.clear()
            self._past.append(now)
            while len(self._past) > 2 and now.at_s - self._past[1].at_s >= WINDOW_S:
                self._past.popleft()
            if depth is not None:
                self._waiting.append(depth)
            if self._report.told == "unreachable":
                log.info("station answers again", extra={"event": "station_answers", "station": self._address.station})
            self._answered_s = now.at_s
            self._report = Report(
                self._report.station,
                self._report.address,
                "answers",
                checks=checks,
                now=now,
                before=self._past[0],
                waiting=tuple(self._waiting),
            )

    def _miss(self, reason: str) -> None:
        with self._lock:
            if self._report.told == "answers":
                fields = {"event": "station_unreachable", "station": self._address.station, "reason": reason}
                log.warning("station does not answer", extra=fields)
            self._report = replace(self._report, told="unreachable", reason=reason)


def _began_anew(before: Figures, now: Figures) -> bool:
    """Whether the station was started again between: a counter fell."""
    names = ("aoii_gateway_packets_total", "aoii_gateway_publishes_total", "aoii_messages_received_total")
    return any((now.total(name) or 0) < (before.total(name) or 0) for name in names)


def _said(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT_S:g} s"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
