"""The systemd notifier: tells systemd that a station runs, is alive or is stopping (`sd_notify`).

It has no thread of its own: the loop that watches the station calls it. So if that loop hangs, WATCHDOG=1 stops as
well. The notifier sends

- READY=1 once, when the station runs. What it still waits for is no part of its start: a gateway accepts readings
  without a broker, and systemd must not end a start that lasts until somebody mends a cable;
- STATUS=, one line for people, whenever that line changes;
- WATCHDOG=1 twice in the watchdog time that systemd allows, as long as the station is alive.

Before READY=1, while a station opens its files, systemd has no watchdog but a limit for the start. The units set none,
because systemd 252 forgets at a `daemon-reload` that a start was prolonged, and ends it. For a unit that has a limit,
every WATCHDOG=1 prolongs such a start. Without NOTIFY_SOCKET nothing is sent.

Source: sd_notify(3), sd_watchdog_enabled(3).
"""

import os
import socket
import time
from collections.abc import Mapping

from aoii.runtime.status_port import NOT_ALIVE, NOT_READY, Check, failure_reason

OPENING_LIMIT_S = 3600.0  # checking and salvaging a large file on a slow card takes minutes


class Notifier:
    """Sends what systemd needs to know, from the station's own checks.

    Args:
        alive: Each part of the station, and whether it makes progress.
        ready: Each thing that the station needs for its work, and whether it is there.
        environ: Has NOTIFY_SOCKET, WATCHDOG_PID and WATCHDOG_USEC if systemd started us.
        is_opening: Whether the station only opens its files, and does not run yet.
    """

    def __init__(
        self, alive: Check, ready: Check, environ: Mapping[str, str] = os.environ, *, is_opening: bool = False
    ) -> None:
        self._alive = alive
        self._ready = ready
        self._is_opening = is_opening
        self._address = environ.get("NOTIFY_SOCKET", "")
        is_ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._watchdog_us = int(environ.get("WATCHDOG_USEC", "0")) if is_ours else 0
        self._due_s = 0.0
        self._has_told_ready = False
        self._last_status = ""

    def notify(self) -> None:
        """Send what is due. Call this several times in half the watchdog time; it never waits and never raises."""
        if not self._address:
            return
        dead = failure_reason(NOT_ALIVE, self._alive())
        missing = failure_reason(NOT_READY, self._ready())
        status = dead or missing or "ready"
        lines = []
        if not (self._is_opening or self._has_told_ready):
            lines.append("READY=1")
        if status != self._last_status:
            lines.append(f"STATUS={status}")
        now_s = time.monotonic()
        is_due = self._watchdog_us > 0 and not dead and now_s >= self._due_s
        if is_due:
            lines.append("WATCHDOG=1")
            if self._is_opening:
                lines.append(f"EXTEND_TIMEOUT_USEC={self._watchdog_us}")
        if lines and self._send(lines):
            self._has_told_ready, self._last_status = not self._is_opening, status
            if is_due:
                self._due_s = now_s + self._watchdog_us / 2e6

    def notify_stopping(self) -> None:
        """Tell systemd that the station is stopping because it was told to."""
        if self._address:
            self._send(["STOPPING=1", "STATUS=stops"])

    def _send(self, lines: list[str]) -> bool:
        """Send one datagram; return False if systemd does not take it now."""
        is_abstract = self._address.startswith("@")  # a name outside the file system: unix(7)
        address = "\0" + self._address[1:] if is_abstract else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                sender.sendto("\n".join(lines).encode(), address)
        except OSError:
            return False
        return True


def startup_notifier(environ: Mapping[str, str] = os.environ, limit_s: float = OPENING_LIMIT_S) -> Notifier:
    """The notifier while a station opens its files, before it has parts of its own.

    A station may have to check a large file then, and salvage it if it is damaged. If systemd killed such a start,
    every later start would begin from the same point and be killed as well.

    Args:
        environ: As for `Notifier`.
        limit_s: Seconds after which the start counts as hanging, and is prolonged no more.
    """
    until_s = time.monotonic() + limit_s
    return Notifier(
        lambda: {"files": time.monotonic() < until_s}, lambda: {"its files": False}, environ, is_opening=True
    )
