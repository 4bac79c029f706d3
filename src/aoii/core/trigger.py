"""When the gateway's forecast is wrong, and when a node speaks: a threshold on the age of incorrect information.

It also judges the sensor, because a reading that is not one must neither be sent nor learned from. It refuses to know
how packets get through (`link`) and what they promise (`trend`).

Source: the optimal policy over an unreliable channel is a threshold on AoII (Chen, Ephremides, arXiv 2101.08908).
"""

from collections import namedtuple

from . import packed_fields
from .forecast import HOLD, NodeSettings, Trend

SKIP = "SKIP"  # the words of the older firmware's log
EVENT = "SEND & TRAIN"
HEARTBEAT = "HEARTBEAT"

OK = ""
ABSENT = "absent"  # the sensor did not answer
RANGE = "range"  # it answered what it cannot measure
STUCK = "stuck"  # it gives the same numbers for ever

# Five times the longest run of equal pairs in 75,000 samples of 28 sensors (36, an office at night).
STUCK_SAMPLES = 180


class Limits(namedtuple("Limits", ("low_t_c", "high_t_c", "low_h_c", "high_h_c"))):
    """What a sensor can measure, hundredths, both ends included."""

    __slots__ = ()
    low_t_c: int
    high_t_c: int
    low_h_c: int
    high_h_c: int


AHT20 = Limits(-4000, 8500, 0, 10000)  # Aosong AHT20 data sheet, table 1: -40..85 °C, 0..100 %RH


def is_wrong(temperature_c: int, humidity_c: int, estimate_c: tuple[int, int], settings: NodeSettings) -> bool:
    """Whether reading and estimate (temperature, humidity) differ by a threshold or more, all in hundredths."""
    return (
        abs(temperature_c - estimate_c[0]) >= settings.beta_t_c or abs(humidity_c - estimate_c[1]) >= settings.beta_h_c
    )


class Sensor:
    """Judges one reading after the other."""

    def __init__(self, limits: Limits = AHT20) -> None:
        self._limits = limits
        self._last_t_c = self._last_h_c = 0
        self._same = 0

    def judge(self, temperature_c: int | None, humidity_c: int | None) -> str:
        """OK, or what is wrong: ABSENT, RANGE or STUCK."""
        if temperature_c is None or humidity_c is None:
            return ABSENT
        limits = self._limits
        if not (limits.low_t_c <= temperature_c <= limits.high_t_c and limits.low_h_c <= humidity_c <= limits.high_h_c):
            return RANGE
        is_same = temperature_c == self._last_t_c and humidity_c == self._last_h_c
        self._same = min(self._same + 1, STUCK_SAMPLES) if is_same else 1
        self._last_t_c, self._last_h_c = temperature_c, humidity_c
        return STUCK if self._same >= STUCK_SAMPLES else OK

    def dump(self) -> bytes:
        """What it remembers."""
        return packed_fields.dump(self, "<iiH", ("_last_t_c", "_last_h_c", "_same"))

    def load(self, state: bytes, at: int) -> int:
        """Go on from a `dump` that begins at `at`; where it ends."""
        return packed_fields.load(self, "<iiH", ("_last_t_c", "_last_h_c", "_same"), state, at)


class Trigger:
    """Counts the instants at which the forecast is wrong and says when to speak."""

    def __init__(self) -> None:
        self.age = 0  # samples for which the gateway's forecast has been wrong, as far as acknowledged
        self.offered_age = 0  # the same for the forecast that is on its way

    def decide(self, wrong: bool, offered_wrong: bool, heartbeat_due: bool, tau: int) -> str:
        """EVENT, HEARTBEAT or SKIP, once for each sample.

        Args:
            wrong: Whether the acknowledged forecast is wrong.
            offered_wrong: Whether there is one on its way, and that is wrong.
            heartbeat_due: Whether the node has been silent for long enough.
            tau: Samples for which a forecast may be wrong before it is corrected, at least 1.
        """
        wrong = wrong or offered_wrong  # the gateway holds one of the two, and the node must assume the worse
        self.age = self.age + 1 if wrong else 0
        self.offered_age = self.offered_age + 1 if offered_wrong else 0
        if self.age >= tau:
            return EVENT
        return HEARTBEAT if heartbeat_due and not wrong else SKIP

    def offer(self) -> None:
        """A new forecast is on its way; at this sample it is right."""
        self.offered_age = 0

    def acknowledge(self) -> None:
        """The forecast that was on its way has been acknowledged."""
        self.age = self.offered_age

    def dump(self) -> bytes:
        """What it remembers."""
        return packed_fields.dump(self, "<II", ("age", "offered_age"))

    def load(self, state: bytes, at: int) -> int:
        """Go on from a `dump` that begins at `at`; where it ends."""
        return packed_fields.load(self, "<II", ("age", "offered_age"), state, at)


class Hold:
    """The predictor that learns nothing: the estimate is the last reading, so the node sends on delta."""

    def observe(self, temperature_c: int, humidity_c: int, steps: int, day_ms: int | None) -> None:
        """Take the next valid sample."""

    def trend(self, error_t_c: int, error_h_c: int) -> Trend:
        """No trend and no step."""
        return HOLD

    def retune(self, epsilon_t_c: int, epsilon_h_c: int) -> None:
        """Thresholds mean nothing to it."""
