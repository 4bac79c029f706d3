"""Time as a value: the wall clock and the elapsed time, both real or both simulated.

Deciding code never reads a clock. A wiring file owns one `Clock` and passes `unix_ms` and `elapsed_ms` down. Deadlines
for sockets, disks and child processes do not use it: they are real seconds, from `time.monotonic()`.

The demo runs recordings faster than real time. All its processes then share one simulated clock, defined by three
settings: when the machine's monotonic clock showed `origin_s`, the simulated wall clock showed `start_unix_s`; the
simulated clocks run `speed` times as fast as the machine's. On Linux all processes of a machine share CLOCK_MONOTONIC,
so their simulated clocks agree without any message.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo


@dataclass(frozen=True)
class Clock:
    """The real clock by default; a simulated one if `start_unix_s` is given.

    Attributes:
        speed: Simulated seconds in one real second, > 0.
        start_unix_s: Simulated Unix time at `origin_s`, s; None: read the machine's wall clock.
        origin_s: What `time.monotonic()` returned when the simulation began, s.
    """

    speed: float = 1.0
    start_unix_s: float | None = None
    origin_s: float = 0.0

    def unix_ms(self) -> int:
        """Wall clock, milliseconds since 1970 (UTC). It may jump, as the machine's clock does."""
        if self.start_unix_s is None:
            return time.time_ns() // 1_000_000
        return int(1000 * (self.start_unix_s + (time.monotonic() - self.origin_s) * self.speed))

    def elapsed_ms(self) -> int:
        """Milliseconds since an arbitrary instant, simulated if the clock is; never jumps. For intervals only."""
        return int(1000 * (time.monotonic() - self.origin_s) * self.speed)

    def real_s(self, simulated_s: float) -> float:
        """Real seconds in which `simulated_s` seconds pass on this clock."""
        return simulated_s / self.speed


def local_text(unix_ms: int, zone: tzinfo | None = None) -> str:
    """`unix_ms` as `YYYY-MM-DD HH:MM:SS`, the form of the MQTT payload and the CSV file; the machine's zone if None."""
    return datetime.fromtimestamp(unix_ms / 1000, zone).strftime("%Y-%m-%d %H:%M:%S")


def day_fraction(unix_ms: int, zone: tzinfo | None = None) -> float:
    """Time of day, in the machine's zone if None, as a fraction 0..1: the `time_n` of the older installation."""
    at = datetime.fromtimestamp(unix_ms / 1000, zone)
    return (at.hour * 3600 + at.minute * 60 + at.second + at.microsecond / 1e6) / 86400


def utc(unix_ms: int) -> datetime:
    """`unix_ms` as a naive UTC datetime with milliseconds, the form of `event_time` in the database."""
    return datetime.fromtimestamp(unix_ms // 1000, UTC).replace(tzinfo=None, microsecond=unix_ms % 1000 * 1000)
