"""Decides when the forecast is wrong and when a node sends: at a threshold on the age of incorrect information.

It also checks the sensor, because a false reading must neither be sent nor learned from. How packets get through is up
to `link`; what they say is up to the learner.

Source: the optimal policy over an unreliable channel is a threshold on AoII (Chen, Ephremides, arXiv 2101.08908).
"""

from collections import namedtuple

from .forecast import NodeSettings
from .packed_fields import Packed

# What a node does at a sample, in the words of the older firmware's log.
SKIP = "SKIP"
EVENT = "SEND & TRAIN"
HEARTBEAT = "HEARTBEAT"

OK = ""
ABSENT = "absent"  # the sensor does not answer
RANGE = "range"  # the reading is outside what the sensor can measure
STUCK = "stuck"  # the reading has been the same for STUCK_SAMPLES samples

# Five times the longest run of one reading in 75,000 samples of 28 sensors: 36 samples, in an office at night.
STUCK_SAMPLES = 180


class Limits(namedtuple("Limits", "low_t_c high_t_c low_h_c high_h_c")):
    """What a sensor can measure, both ends included.

    Attributes:
        low_t_c: Lowest temperature, hundredths of °C.
        high_t_c: Highest temperature.
        low_h_c: Lowest humidity, hundredths of %RH.
        high_h_c: Highest humidity.
    """

    __slots__ = ()
    low_t_c: int
    high_t_c: int
    low_h_c: int
    high_h_c: int


AHT20 = Limits(-4000, 8500, 0, 10000)  # Aosong AHT20 data sheet, table 1: -40..85 °C, 0..100 %RH


def is_wrong(temperature_c: int, humidity_c: int, estimate_c: tuple[int, int], settings: NodeSettings) -> bool:
    """Whether a reading differs from the estimate by its threshold or more in either quantity; all in hundredths."""
    return (
        abs(temperature_c - estimate_c[0]) >= settings.beta_t_c or abs(humidity_c - estimate_c[1]) >= settings.beta_h_c
    )


class SensorCheck(Packed):
    """Checks the readings of one sensor, one after the other."""

    NAMES = "_last_t_c _last_h_c _same"
    FORM = "<iiH"

    def __init__(self, limits: Limits = AHT20) -> None:
        self._limits = limits
        self._last_t_c = self._last_h_c = 0
        self._same = 0

    def judge(self, temperature_c: int | None, humidity_c: int | None) -> str:
        """OK, or the fault: ABSENT, RANGE or STUCK. None: the sensor did not answer."""
        if temperature_c is None or humidity_c is None:
            return ABSENT
        limits = self._limits
        if not (limits.low_t_c <= temperature_c <= limits.high_t_c and limits.low_h_c <= humidity_c <= limits.high_h_c):
            return RANGE
        if (temperature_c, humidity_c) != (self._last_t_c, self._last_h_c):
            self._same = 0
        self._same = min(self._same + 1, STUCK_SAMPLES)
        self._last_t_c, self._last_h_c = temperature_c, humidity_c
        return STUCK if self._same >= STUCK_SAMPLES else OK


class Trigger(Packed):
    """Counts the samples at which the forecast is wrong, and decides when to send.

    Attributes:
        age: Samples in a row at which the acknowledged forecast, or one on its way, was wrong.
        offered_age: Samples in a row at which the forecast on its way was wrong.
    """

    NAMES = "age offered_age"
    FORM = "<II"

    def __init__(self) -> None:
        self.age = 0
        self.offered_age = 0

    def decide(self, wrong: bool, offered_wrong: bool, heartbeat_due: bool, tau: int) -> str:
        """EVENT, HEARTBEAT or SKIP, once for each sample.

        Args:
            wrong: Whether the acknowledged forecast is wrong.
            offered_wrong: Whether a forecast is on its way and is wrong.
            heartbeat_due: Whether the node has been silent for long enough.
            tau: Age at which a wrong forecast is corrected, samples, at least 1.
        """
        wrong = wrong or offered_wrong  # the gateway holds one of the two, and the node must assume the worse
        self.age = self.age + 1 if wrong else 0
        self.offered_age = self.offered_age + 1 if offered_wrong else 0
        if self.age >= tau:
            return EVENT
        return HEARTBEAT if heartbeat_due and not wrong else SKIP

    def offer(self) -> None:
        """Record that a new forecast is on its way; at this sample it is correct."""
        self.offered_age = 0

    def acknowledge(self) -> None:
        """Record that the forecast on its way is acknowledged."""
        self.age = self.offered_age
