"""Whether the files of settings have changed under a running station, and whether its next start would take them.

A station keeps the settings with which it started; new ones need a restart (docs/decisions/0026-no-hot-reload.md).
What would keep the next start from succeeding is said now, in the log and as a metric, and not at the next power cut.
"""

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

from aoii import settings
from aoii.runtime import metrics, shutdown
from aoii.runtime.failure_log import FailureLog
from aoii.settings import reader
from aoii.settings.faults import SettingsError

log = logging.getLogger(__name__)

LOOK_S = 30.0  # between two looks at the files' times
JOIN_S = 1.0  # a disk that does not answer must not keep the station from ending
Stamp = tuple[int, int, int] | None


class SettingsWatch:
    """Looks at the files of one station's settings; used by one thread.

    Args:
        env_file: The file that all stations share; None: `.env`.
        station: The station that has started with them.

    Raises:
        SettingsError: A file cannot be read.
    """

    def __init__(self, env_file: Path | None, station: str) -> None:
        self._env_file = env_file
        self._station = station
        self._stamps = self._now()
        self._in_force = self._texts()
        self._is_stale = False
        over = "files of settings are right again", "settings_right"
        words = "new settings are wrong, old ones stay"
        self._wrong = FailureLog(log, words, "settings_wrong", over, 0, level=logging.ERROR)
        metrics.SETTINGS_USABLE.set(1)
        metrics.SETTINGS_NEED_RESTART.set(0)

    def look(self) -> None:
        """Judge the files if one has changed since the last look."""
        stamps = self._now()
        if stamps != self._stamps:
            self._stamps = stamps
            self.judge()

    def judge(self) -> None:
        """Say what the files are now: wrong, other than those in force, or the same."""
        try:
            reader.load(env_file=self._env_file, station=self._station)
            is_stale = self._texts() != self._in_force
        except SettingsError as error:
            metrics.SETTINGS_USABLE.set(0)
            self._wrong.record_failure(str(error))
            return
        metrics.SETTINGS_USABLE.set(1)
        metrics.SETTINGS_NEED_RESTART.set(is_stale)
        self._wrong.record_success()
        if is_stale and not self._is_stale:
            log.warning("settings have changed; restart the station to use them", extra={"event": "settings_changed"})
        self._is_stale = is_stale

    def _texts(self) -> dict[str, str]:
        """The text of each setting that is set."""
        files = reader.texts(self._env_file, self._station)
        return {name: text for name, (text, _) in reader.in_force(files, os.environ).items()}

    def _now(self) -> list[Stamp]:
        """What changes when a file does; None for one that is not there or cannot be looked at."""
        shared = Path(settings.ENV_FILE) if self._env_file is None else self._env_file
        return [_stamp(path) for path in (shared, settings.station_file(self._env_file, self._station))]


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns


@contextlib.contextmanager
def running(env_file: Path | None, station: str) -> Iterator[None]:
    """Watch the files while the `with` block runs; SIGHUP has them judged at once. Call this in the main thread.

    In a terminal SIGHUP ends the station as ever: it says that the terminal is gone.
    """
    watch = SettingsWatch(env_file, station)
    taken = set[signal.Signals]() if _has_terminal() else {signal.SIGHUP}
    stopping = threading.Event()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, taken)  # which every thread that starts later inherits

    def work() -> None:
        while not stopping.is_set():
            # After SIGSTOP and SIGCONT it may return a signal that was never sent: then the files are judged, no more.
            if taken and signal.sigtimedwait(taken, LOOK_S) is not None and not stopping.is_set():
                watch.judge()
                log.info("files of settings were judged", extra={"event": "settings_judged"})
            elif not taken:
                stopping.wait(LOOK_S)
            watch.look()

    thread = threading.Thread(target=work, name="settings", daemon=True)
    # A signal that the station waits for ends the process if only one thread does not block it.
    unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, {*shutdown.STOP_SIGNALS, signal.SIGUSR1, signal.SIGUSR2})
    thread.start()
    signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
    try:
        yield
    finally:
        stopping.set()
        if taken and thread.ident is not None:
            signal.pthread_kill(thread.ident, signal.SIGHUP)  # ends its wait
            thread.join(JOIN_S)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, taken - before)


def _has_terminal() -> bool:
    """Whether this process has a controlling terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
