"""What a station tells its service manager: systemd's `sd_notify`, datagrams of `NAME=value` lines to NOTIFY_SOCKET.

It has no thread of its own: the loop that would end the station turns it, so that a loop that hangs falls silent, too.
It says READY=1 once, when the station can do its work for the first time; one human line whenever that changes; and
WATCHDOG=1, twice in the time that the manager allows, while the station makes progress. Until the first READY=1 the
manager has no watchdog: then the same rule prolongs the start instead, so that a station whose broker is away may wait
for it as long as it lives. Without NOTIFY_SOCKET nothing happens.

Source: sd_notify(3), sd_watchdog_enabled(3).
"""

import os
import socket
import time
from collections.abc import Mapping

from aoii.runtime.status_port import NOT_ALIVE, NOT_READY, Check, reason

OPENING_S = 3600.0  # checking and salvaging a large file on a slow card takes minutes


class ServiceManager:
    """The manager's end, as a station sees it.

    Args:
        alive: Names what must make progress, and whether it does.
        ready: Names what must be there for work, and whether it is.
        environ: Where the manager says how to reach it; `os.environ` by default.
    """

    def __init__(self, alive: Check, ready: Check, environ: Mapping[str, str] = os.environ) -> None:
        self._alive = alive
        self._ready = ready
        self._address = environ.get("NOTIFY_SOCKET", "")
        is_ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._watchdog_us = int(environ.get("WATCHDOG_USEC", "0")) if is_ours else 0
        self._due_s = 0.0
        self._is_started = False
        self._told = ""

    def turn(self) -> None:
        """Tell what is due; to be called several times in half the watchdog's time. Never waits, never raises."""
        if not self._address:
            return
        dead = reason(NOT_ALIVE, self._alive())
        missing = reason(NOT_READY, self._ready())
        is_started = self._is_started or not (dead or missing)
        status = dead or missing or "ready"
        lines = []
        if is_started != self._is_started:
            lines.append("READY=1")
        if status != self._told:
            lines.append(f"STATUS={status}")
        now_s = time.monotonic()
        is_due = self._watchdog_us > 0 and not dead and now_s >= self._due_s
        if is_due:
            lines.append("WATCHDOG=1")
            if not is_started:
                lines.append(f"EXTEND_TIMEOUT_USEC={self._watchdog_us}")
        if lines and self._tell(lines):
            self._is_started, self._told = is_started, status
            if is_due:
                self._due_s = now_s + self._watchdog_us / 2e6

    def stopping(self) -> None:
        """Tell that the station ends because it was asked to."""
        if self._address:
            self._tell(["STOPPING=1", "STATUS=stops"])

    def _tell(self, lines: list[str]) -> bool:
        """Send one datagram; False when the manager does not take it now."""
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address  # Linux's abstract names
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as manager:
                manager.sendto("\n".join(lines).encode(), address)
        except OSError:
            return False
        return True


def opening(environ: Mapping[str, str] = os.environ, limit_s: float = OPENING_S) -> ServiceManager:
    """What tells the manager of a start while the station's files are opened, before there is a station.

    A large file is checked then, and saved if it is damaged: a start that is killed for that would be killed again each
    time, with nothing done.

    Args:
        environ: As for `ServiceManager`.
        limit_s: After so many seconds it counts as hanging.
    """
    until_s = time.monotonic() + limit_s
    return ServiceManager(lambda: {"files": time.monotonic() < until_s}, lambda: {"its files": False}, environ)
