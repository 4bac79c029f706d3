"""A station as a process: its parts, its checks, and the one way to run it.

A station is built, started, watched and stopped. Building opens files, so it may hang. Starting begins threads, and
each thread records when it last made progress. `/healthz`, `/readyz` and systemd get the same answers. Nothing here
knows what a station does.
"""

import contextlib
import faulthandler
import functools
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from aoii.runtime import shutdown, status_port, systemd

log = logging.getLogger(__name__)

WATCH_S = 0.2  # between two looks at the parts, and two calls of the systemd notifier
SILENCE_LIMIT_S = 60.0  # longer than any one call to a frozen database, or than connecting to an absent broker
SLOW_OPENING_S = 60.0  # files that are not open by then are worth a line in the log
STDERR = 2  # the file itself, which is there whatever a test makes of sys.stderr


@dataclass(frozen=True, slots=True)
class Part:
    """Something in a station that must make progress, usually a thread.

    Attributes:
        name: Shown to people. If several parts share a name, all of them must make progress.
        is_running: Whether its thread runs; a part that ends by itself ends the station.
        last_progress_s: When it last made progress, monotonic seconds.
        silence_limit_s: Seconds without progress after which it counts as hanging; None: SILENCE_LIMIT_S.
    """

    name: str
    is_running: bool
    last_progress_s: float
    silence_limit_s: float | None = None


class PartThread(threading.Thread):
    """A thread that is a part of a station: it records its progress, and an error that ends it is logged.

    Args:
        name: The name of the part.
        work: Calls `record_progress` again and again, and returns when it is told to stop.
    """

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        super().__init__(name=name, target=work, daemon=True)
        self._last_progress_s = time.monotonic()

    @property
    def part(self) -> Part:
        """The state of the thread as a part."""
        return Part(self.name, self.is_alive(), self._last_progress_s)

    def record_progress(self) -> None:
        """Record that the thread makes progress now; called in the thread."""
        self._last_progress_s = time.monotonic()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the thread ends, at most `timeout` seconds; return at once if it was never started.

        A station whose start failed is stopped as well, and then some of its threads were never started.
        """
        if self.ident is not None:
            super().join(timeout)

    def run(self) -> None:
        """Work until told to stop, and log an error that ends the work; `start` calls it in the thread."""
        try:
            super().run()
        except Exception:  # our mistake: the station ends, and readings that are not durable come again
            log.exception("a thread was ended by an error", extra={"event": "thread_error", "part": self.name})


def liveness_of(parts: Iterable[Part]) -> dict[str, bool]:
    """Whether each part makes progress, by name."""
    now_s = time.monotonic()
    alive: dict[str, bool] = {}
    for part in parts:
        limit_s = SILENCE_LIMIT_S if part.silence_limit_s is None else part.silence_limit_s
        moves = part.is_running and now_s - part.last_progress_s < limit_s
        alive[part.name] = moves and alive.get(part.name, True)
    return alive


class Station(Protocol):
    """What `run_station` runs. A subclass names its parts; its liveness follows from them."""

    def start(self) -> None:
        """Begin, without waiting for anything; no peer has to be there."""

    def stop(self) -> None:
        """Finish the work in hand and end within ten seconds; a thread that hangs is left behind."""

    def parts(self) -> Iterable[Part]:
        """Everything that must make progress."""

    def readiness(self) -> Mapping[str, bool]:
        """Each thing that the station needs for its work, and whether it is there."""

    def liveness(self) -> dict[str, bool]:
        """Each part, by name, and whether it makes progress."""
        return liveness_of(self.parts())

    def ended(self) -> list[str]:
        """Names of the parts that have ended by themselves, which only a mistake of ours can cause."""
        return [part.name for part in self.parts() if not part.is_running]


S = TypeVar("S", bound=Station)


def run_station(
    name: str,
    port: int,
    build: Callable[[], S],
    signal_actions: Mapping[signal.Signals, Callable[[S], None]] | None = None,
    meter: Callable[[], None] | None = None,
) -> int:
    """Run a station until SIGTERM or SIGINT.

    Args:
        name: The name of the station; with a status port, a key of `metrics.BY_STATION`.
        port: Its status port on loopback; 0: none, or the station serves /metrics and the checks itself.
        build: Makes the station. If it hangs on a disk that does not answer, a stop abandons it.
        signal_actions: Other signals, and what to do with the station at each; ignored before it is built.
        meter: Measures something of the process; called several times a second while the station runs.

    Returns:
        The exit code: 0, or 1 if a part ended by itself.

    Raises:
        AoiiError: The station cannot be built, or the status port is taken.
    """
    built: list[S] = []
    stop = shutdown.on_signals(
        {number: functools.partial(_apply, act, built) for number, act in (signal_actions or {}).items()}
    )
    with _hang_guard(systemd.OPENING_LIMIT_S):
        station = shutdown.run_unless_stopped(stop, build, _OpeningWatch())
    if station is None:
        log.error("stopped while its files were being opened; check the disk", extra={"event": "start_hangs"})
        return 0
    built.append(station)
    with status_port.served(name, port, station.liveness, station.readiness):
        try:
            with _hang_guard(SILENCE_LIMIT_S):
                station.start()
            return _watch(name, station, stop, meter)
        finally:
            station.stop()


@contextlib.contextmanager
def _hang_guard(limit_s: float) -> Iterator[None]:
    """End the process if the block takes longer than `limit_s`, with the traceback of every thread on standard error.

    Nothing else watches a start: systemd's watchdog begins when the station runs. The guard is a thread of the
    interpreter that needs none of Python's locks, so it also ends a process in which no Python code runs any more.
    """
    faulthandler.dump_traceback_later(limit_s, exit=True, file=STDERR)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


class _OpeningWatch:
    """Called while a station opens its files: informs systemd, and says once in the log that it takes long."""

    def __init__(self) -> None:
        self._notifier = systemd.startup_notifier()
        self._slow_from_s = time.monotonic() + SLOW_OPENING_S

    def __call__(self) -> None:
        self._notifier.notify()
        if time.monotonic() >= self._slow_from_s:
            self._slow_from_s = float("inf")
            log.warning(
                "files are still not open; a large file is being checked, or the disk does not answer",
                extra={"event": "start_slow"},
            )


def _apply(act: Callable[[S], None], built: list[S]) -> None:
    """Act on the station, if it is built by now."""
    for station in built:
        act(station)


def _watch(name: str, station: Station, stop: threading.Event, meter: Callable[[], None] | None) -> int:
    """Keep systemd informed until the stop, or until a part ends by itself; return the exit code."""
    notifier = systemd.Notifier(station.liveness, station.readiness)
    log.info("%s started", name, extra={"event": "started"})
    while not stop.wait(WATCH_S):
        notifier.notify()
        if meter is not None:
            meter()
        if ended := station.ended():
            log.error("a thread has ended by itself", extra={"event": "thread_ended", "threads": ended})
            return 1
    notifier.notify_stopping()
    log.info("%s stops", name, extra={"event": "stopping"})
    return 0
