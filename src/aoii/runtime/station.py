"""A station as its process sees it, and the one way to run it.

A station is built, started, watched and stopped. What it is built from may hang, because it opens files; what it starts
are threads, each of which shows when it moved last. The same answers go to `/healthz`, `/readyz` and the service
manager. Nothing here knows what a station does.
"""

import contextlib
import logging
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from aoii.runtime import shutdown, status_port, systemd

log = logging.getLogger(__name__)

TURN_S = 0.2
SILENCE_LIMIT_S = 60.0  # longer than any single call to a frozen database, and than a connect to an absent broker


@dataclass(frozen=True, slots=True)
class Part:
    """What must keep going in a station: usually a thread.

    Attributes:
        name: For people; parts of one name are judged together.
        is_running: Whether it is there at all; one that has ended ends the station.
        beat_s: When it moved last, monotonic seconds.
        silence_limit_s: It hangs when it has not moved for so long; None: SILENCE_LIMIT_S.
    """

    name: str
    is_running: bool
    beat_s: float
    silence_limit_s: float | None = None


def checks(parts: Iterable[Part]) -> dict[str, bool]:
    """Whether each part makes progress, by name."""
    now_s = time.monotonic()
    alive: dict[str, bool] = {}
    for part in parts:
        limit_s = SILENCE_LIMIT_S if part.silence_limit_s is None else part.silence_limit_s
        moves = part.is_running and now_s - part.beat_s < limit_s
        alive[part.name] = moves and alive.get(part.name, True)
    return alive


class Station(Protocol):
    """What `run_station` runs. A subclass says what it consists of; whether that lives follows from it."""

    def start(self) -> None:
        """Begin, without waiting for anything; peers need not be there."""

    def stop(self) -> None:
        """Finish what is in hand and end, within ten seconds; a thread that hangs is left behind."""

    def parts(self) -> Iterable[Part]:
        """Everything that must keep going."""

    def is_ready(self) -> Mapping[str, bool]:
        """Names what must be there for work, and whether it is."""

    def is_alive(self) -> dict[str, bool]:
        """Names what must make progress, and whether it does."""
        return checks(self.parts())

    def ended(self) -> list[str]:
        """The parts that have ended though nobody asked them to, which is a fault of ours."""
        return [part.name for part in self.parts() if not part.is_running]


S = TypeVar("S", bound=Station)


def run_station(
    name: str,
    port: int,
    build: Callable[[], S],
    also: Mapping[signal.Signals, Callable[[S], None]] | None = None,
) -> int:
    """Run a station until SIGTERM or SIGINT.

    Args:
        name: Of the station, as in `metrics.BY_STATION`.
        port: Of its status page on loopback; 0: it has none, or serves one itself.
        build: Makes the station; may hang on a disk that does not answer, and is left behind then.
        also: Other signals that the station takes, each with what it does.

    Returns:
        The exit code: 0, or 1 when a part of it ended by itself.

    Raises:
        AoiiError: It cannot be built, or the status port is taken.
    """
    built: list[S] = []

    def passed_on(act: Callable[[S], None]) -> Callable[[], None]:
        def pass_on() -> None:
            for station in built:
                act(station)

        return pass_on

    stop = shutdown.on_signals({number: passed_on(act) for number, act in (also or {}).items()})
    station = shutdown.run_unless_stopped(stop, build, systemd.opening().notify)
    if station is None:
        log.error("stopped while its files were being opened; check the disk", extra={"event": "start_hangs"})
        return 0
    built.append(station)
    notifier = systemd.Notifier(station.is_alive, station.is_ready)
    with served(name, port, station):
        try:
            station.start()
            log.info("%s started", name, extra={"event": "started"})
            while not stop.wait(TURN_S):
                notifier.notify()
                if ended := station.ended():
                    log.error("a thread has ended by itself", extra={"event": "thread_ended", "threads": ended})
                    return 1
            notifier.stopping()
            log.info("%s stops", name, extra={"event": "stopping"})
        finally:
            station.stop()
    return 0


@contextlib.contextmanager
def served(name: str, port: int, station: Station) -> Iterator[None]:
    """Serve the status page of a station on loopback while the context lasts; port 0: none.

    Raises:
        UnavailableError: The port is taken.
    """
    page = status_port.serve(name, port, station.is_alive, station.is_ready)
    try:
        yield
    finally:
        if page is not None:
            page.shutdown()
            page.server_close()
