"""The node's clocks: milliseconds since its start, and Unix time as far as the gateway has sent it.

A node has no clock of its own but a tick, which may wrap and whose rate is off. The time in an acknowledgement is exact
when it is made and late when it is read, by up to `noise_ms`. So a drift is corrected only as far as that delay cannot
explain it: 555 parts in a million are uncertain after an hour, 23 after a day. A time that neither delay nor drift
explains is a step of the gateway's clock. It is used when the next acknowledgement confirms it; until then the time is
unknown. Everything is an integer and bounded. Who sends the time, and whether that is authentic, is decided by `link`.
"""

from .packed_fields import Packed

DRIFT_LIMIT_PPM = 50_000  # an ESP32's RC oscillator, which counts in deep sleep, is off by up to 5 % (data sheet)
WANDER_PPM = 2_000  # change of the drift with the temperature between two acknowledgements (estimate)
BASE_MS = 86_400_000  # longest time over which drift is measured; 2 s of delay are 23 ppm of it


class MonotonicClock(Packed):
    """Milliseconds since the node started; never goes back."""

    NAMES = "_now_ms _started"
    FORM = "<qB"

    def __init__(self) -> None:
        self._now_ms = 0
        self._started = False

    def unwrapped(self, tick_ms: int) -> int:
        """The time when the tick is `tick_ms`; must be called once in 24 days, half of the period in which it wraps."""
        if not self._started:
            self._started = True
            self._now_ms = tick_ms
        passed_ms = (tick_ms - self._now_ms) & 0xFFFFFFFF
        if passed_ms < 0x80000000:
            self._now_ms += passed_ms
        return self._now_ms


class UnixClock(Packed):
    """Unix time by the node's monotonic clock.

    Args:
        noise_ms: Largest usual delay of a time from the gateway, at least 1.

    Attributes:
        drift_ppm: How much slower than Unix time the tick runs, parts in a million, as far as that is certain.
    """

    NAMES = "_is_set _in_doubt _tick0_ms _unix0_ms _late_ms _tick_ms _unix_ms _doubt_ms drift_ppm _unsure_ppm"
    FORM = "<BBqqqqqqii"

    def __init__(self, noise_ms: int) -> None:
        self.drift_ppm = 0
        self._noise_ms = noise_ms
        self._is_set = False
        self._in_doubt = False
        self._doubt_ms = 0  # step of the gateway's clock that is not confirmed yet
        self._tick0_ms = self._unix0_ms = 0  # the time from which the drift is measured
        self._late_ms = 0  # largest delay of that time
        self._tick_ms = self._unix_ms = 0  # the last time from the gateway
        self._unsure_ppm = DRIFT_LIMIT_PPM  # largest error of `drift_ppm`

    def unix_ms(self, now_ms: int) -> int | None:
        """Unix time at `now_ms`, milliseconds; None while it is unknown or a step is not confirmed."""
        return self._extrapolated_ms(now_ms) if self._is_set and not self._in_doubt else None

    def elapsed_from_tick(self, tick_ms: int) -> int:
        """True milliseconds in `tick_ms` milliseconds of the tick."""
        return tick_ms + tick_ms * self.drift_ppm // 1_000_000

    def tick_from_elapsed(self, elapsed_ms: int) -> int:
        """Milliseconds of the tick in `elapsed_ms` true milliseconds."""
        return elapsed_ms * 1_000_000 // (1_000_000 + self.drift_ppm)

    def synchronize(self, unix_ms: int, now_ms: int, late_ms: int = 0) -> None:
        """Use a time from the gateway.

        Args:
            unix_ms: The gateway's time, milliseconds.
            now_ms: When it was read, on the monotonic clock.
            late_ms: Largest delay of this time. A time with a delay above `noise_ms` is used only while there is none.
        """
        if not self._is_set:
            self._is_set = True
            self._begin(unix_ms, now_ms, late_ms)
            return
        if late_ms > self._noise_ms:
            return
        step_ms = unix_ms - self._extrapolated_ms(now_ms)
        allowed_ms = self._late_ms + (now_ms - self._tick_ms) * self._unsure_ppm // 1_000_000
        if -allowed_ms <= step_ms <= allowed_ms:
            self._in_doubt = False
            self._measure(unix_ms, now_ms)
        elif not self._in_doubt:
            self._in_doubt, self._doubt_ms = True, step_ms
        else:
            if not -allowed_ms <= step_ms - self._doubt_ms <= allowed_ms:  # the drift has changed as well
                self.drift_ppm, self._unsure_ppm = 0, DRIFT_LIMIT_PPM
            self._in_doubt = False
            self._begin(unix_ms, now_ms, late_ms)

    def _extrapolated_ms(self, now_ms: int) -> int:
        return self._unix_ms + self.elapsed_from_tick(now_ms - self._tick_ms)

    def _begin(self, unix_ms: int, now_ms: int, late_ms: int) -> None:
        """Take over this time, and measure the drift from it on."""
        self._tick0_ms = self._tick_ms = now_ms
        self._unix0_ms = self._unix_ms = unix_ms
        self._late_ms = max(late_ms, self._noise_ms)

    def _measure(self, unix_ms: int, now_ms: int) -> None:
        """Move the drift into the range that this time leaves possible, and no further."""
        base_ms = now_ms - self._tick0_ms
        if base_ms > 0:
            drift_ppm = (unix_ms - self._unix0_ms - base_ms) * 1_000_000 // base_ms
            unsure_ppm = self._late_ms * 1_000_000 // base_ms + 1
            nearest_ppm = max(drift_ppm - unsure_ppm, min(drift_ppm + unsure_ppm, self.drift_ppm))
            self.drift_ppm = max(-DRIFT_LIMIT_PPM, min(DRIFT_LIMIT_PPM, nearest_ppm))
            self._unsure_ppm = min(self._unsure_ppm, unsure_ppm + WANDER_PPM)
        self._tick_ms, self._unix_ms = now_ms, unix_ms
        if base_ms >= BASE_MS or self._late_ms > self._noise_ms:
            self._begin(unix_ms, now_ms, 0)
