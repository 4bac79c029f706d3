"""Unix time on a node without a clock of its own: offset and drift of its tick, from what acknowledgements tell.

An acknowledgement's time is exact when it is made and late when it is read, by up to `noise_ms`. So a drift is believed
only as far as that cannot explain it, which takes an hour for 555 parts in a million and a day for 23. A time that
neither noise nor drift explains is a step of the gateway's clock: believed when the next one says so too, and until
then the node says that it does not know the time. All integers, all bounded. It refuses to know who tells the time.
"""

from . import packed_fields

DRIFT_LIMIT_PPM = 50_000  # an ESP32's RC oscillator, which counts in deep sleep, is off by up to 5 % (data sheet)
WANDER_PPM = 2_000  # and by so much more when the temperature changes between two acknowledgements (estimate)
BASE_MS = 86_400_000  # drift is measured over up to so long: 23 ppm where times are 2 s late at most

_FORM = "<BBqqqqqqii"
_NAMES = (
    "_is_set",
    "_in_doubt",
    "_tick0_ms",
    "_unix0_ms",
    "_late_ms",
    "_tick_ms",
    "_unix_ms",
    "_doubt_ms",
    "drift_ppm",
    "_unsure_ppm",
)


class UnixClock:
    """Unix time by the node's tick.

    Args:
        noise_ms: How late a told time may be read, at least 1.

    Attributes:
        drift_ppm: How much slower than Unix time the tick runs, parts in a million, as far as that is certain.
    """

    def __init__(self, noise_ms: int) -> None:
        self.drift_ppm = 0
        self._noise_ms = noise_ms
        self._is_set = False
        self._in_doubt = False
        self._doubt_ms = 0  # by how much the time would have to be stepped
        self._tick0_ms = self._unix0_ms = 0  # where the measurement of the drift began,
        self._late_ms = 0  # and how late that time may have been
        self._tick_ms = self._unix_ms = 0  # the last time that was told
        self._unsure_ppm = DRIFT_LIMIT_PPM

    def unix_ms(self, now_ms: int) -> int | None:
        """Unix time in milliseconds at this tick; None while nobody told it, or what was told contradicts itself."""
        return self._believed_ms(now_ms) if self._is_set and not self._in_doubt else None

    def elapsed_from_tick(self, tick_ms: int) -> int:
        """How long so many milliseconds of the tick really are."""
        return tick_ms + tick_ms * self.drift_ppm // 1_000_000

    def tick_from_elapsed(self, elapsed_ms: int) -> int:
        """How many milliseconds of the tick pass in this time."""
        return elapsed_ms * 1_000_000 // (1_000_000 + self.drift_ppm)

    def synchronize(self, unix_ms: int, now_ms: int, late_ms: int = 0) -> None:
        """Take a time that was told; one that may be later than `noise_ms` only in want of a better one."""
        if not self._is_set:
            self._is_set = True
            self._begin(unix_ms, now_ms, late_ms)
            return
        if late_ms > self._noise_ms:
            return
        step_ms = unix_ms - self._believed_ms(now_ms)
        allowed_ms = self._late_ms + (now_ms - self._tick_ms) * self._unsure_ppm // 1_000_000
        if -allowed_ms <= step_ms <= allowed_ms:
            self._in_doubt = False
            self._measure(unix_ms, now_ms)
        elif not self._in_doubt:
            self._in_doubt, self._doubt_ms = True, step_ms
        else:
            if not -allowed_ms <= step_ms - self._doubt_ms <= allowed_ms:  # nor does the tick run as it did
                self.drift_ppm, self._unsure_ppm = 0, DRIFT_LIMIT_PPM
            self._in_doubt = False
            self._begin(unix_ms, now_ms, late_ms)

    def dump(self) -> bytes:
        """Everything."""
        return packed_fields.dump(self, _FORM, _NAMES)

    def load(self, state: bytes, at: int) -> int:
        """Go on from a `dump` that begins at `at`; where it ends."""
        return packed_fields.load(self, _FORM, _NAMES, state, at)

    def _believed_ms(self, now_ms: int) -> int:
        return self._unix_ms + self.elapsed_from_tick(now_ms - self._tick_ms)

    def _begin(self, unix_ms: int, now_ms: int, late_ms: int) -> None:
        self._tick0_ms = self._tick_ms = now_ms
        self._unix0_ms = self._unix_ms = unix_ms
        self._late_ms = max(late_ms, self._noise_ms)

    def _measure(self, unix_ms: int, now_ms: int) -> None:
        """Move the drift into what this time leaves possible, and no further."""
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
