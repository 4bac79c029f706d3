"""The forecast that a packet makes node and gateway hold; its value at an instant is the estimate.

Node and gateway evaluate the same forecast on different machines and must get the same number, so everything here is an
integer: temperatures and humidities in hundredths (`_c`), the trend in fractions of the thresholds, its damping in a
fixed-point table. The trend is made by `learner`; when a packet is sent is decided by `trigger`.
"""

from array import array
from collections import namedtuple

DAMPED = 1  # damping code: each step of the slope is 0.98 of the one before; with code 0 there is no slope

UNIT = 65536  # fixed point of GROWTH; 98 * 50 * UNIT stays below 2**30, a small integer on every board


def _growth() -> list[int]:
    """G(k) = sum of 0.98**i for i < k in units of 1/UNIT, rounded down at each step, until it stops growing."""
    table = [0]
    value = UNIT
    while value != table[-1]:
        table.append(value)
        value = UNIT + value * 98 // 100
    return table


GROWTH = array("i", _growth())  # 2.3 kB; computed on import, because threads of the gateway share it
LAST = len(GROWTH) - 1  # from this step on the estimate does not move any more, at almost 50 first steps


class Trend(namedtuple("Trend", "level_t slope_t level_h slope_h damping")):
    """How the estimate moves on from the reading.

    Attributes:
        level_t: Step of the temperature at the reading itself, in 1/16 of its threshold, -128..127.
        slope_t: First step of its slope, one sample later, in 1/128 of its threshold, -128..127.
        level_h: As `level_t`, for the humidity.
        slope_h: As `slope_t`, for the humidity.
        damping: 0 (slopes are ignored) or DAMPED.
    """

    __slots__ = ()
    level_t: int
    slope_t: int
    level_h: int
    slope_h: int
    damping: int


HOLD = Trend(0, 0, 0, 0, 0)


def estimate(reading_c: int, level: int, slope: int, damping: int, epsilon_c: int, steps: int) -> int:
    """The estimate `steps` samples after the reading, in hundredths.

    est(k) = reading + level * epsilon / 16 + slope * epsilon / 128 * G(k), rounded to the nearest, halves up.

    Args:
        reading_c: The reading that the packet carried, hundredths.
        level: -128..127, in epsilon / 16.
        slope: -128..127, in epsilon / 128 a sample.
        damping: 0 or DAMPED.
        epsilon_c: Threshold in force at the node when it made the trend, hundredths.
        steps: Samples since the packet's sample; 0 at the sample itself; no upper limit.

    Source: docs/reference/wire-format.md, "The trend".
    """
    if damping == 0 or slope == 0:
        return reading_c + ((level * epsilon_c + 8) >> 4) if level else reading_c
    growth = GROWTH[min(steps, LAST)]
    return reading_c + (epsilon_c * (level * (8 * UNIT) + slope * growth) + 64 * UNIT) // (128 * UNIT)


def estimate_pair(
    temperature_c: int, humidity_c: int, trend: Trend, epsilon_t_c: int, epsilon_h_c: int, steps: int
) -> tuple[int, int]:
    """Both quantities `steps` samples after the reading, in hundredths: (temperature, humidity)."""
    damping = trend.damping
    return (
        estimate(temperature_c, trend.level_t, trend.slope_t, damping, epsilon_t_c, steps),
        estimate(humidity_c, trend.level_h, trend.slope_h, damping, epsilon_h_c, steps),
    )


def steps_between(elapsed_ms: int, period_s: int) -> int:
    """Whole sampling steps in `elapsed_ms`, rounded to the nearest, never below 0.

    Both ends count steps by elapsed time, never by samples: a sample that was not taken still moves the estimate on.
    """
    period_ms = period_s * 1000
    return max(0, (elapsed_ms + period_ms // 2) // period_ms)


class NodeSettings(namedtuple("NodeSettings", "beta_t_c beta_h_c period_s heartbeat_s heartbeat_min_s tau")):
    """The settings that an operator may change in a node.

    Attributes:
        beta_t_c: Threshold of the temperature, hundredths of °C, 1..65535.
        beta_h_c: Threshold of the humidity, hundredths of %RH, 1..65535.
        period_s: Seconds between two samples, 1..65535.
        heartbeat_s: Longest silence, seconds, 0..65535; 0: no heartbeats.
        heartbeat_min_s: Longest silence on a bad link, seconds, 0..65535; 0: always `heartbeat_s`.
        tau: Age at which a wrong forecast is corrected, samples, 1..255.
    """

    __slots__ = ()
    beta_t_c: int
    beta_h_c: int
    period_s: int
    heartbeat_s: int
    heartbeat_min_s: int
    tau: int


# Until a gateway sends others: 0.5 °C, 3 %RH, a minute, an hour (on a bad link ten minutes), the first wrong sample.
PROVISIONED = NodeSettings(50, 300, 60, 3600, 600, 1)


class Forecast(namedtuple("Forecast", "temperature_c humidity_c trend settings sampled_ms")):
    """What one packet makes both ends hold; the same on both but for the clock of `sampled_ms`.

    Attributes:
        temperature_c: The reading, hundredths of °C.
        humidity_c: The reading, hundredths of %RH.
        trend: The packet's trend.
        settings: Settings in force at the node when it made the packet; later ones do not change this forecast.
        sampled_ms: When the reading was taken, on the clock of the holder.
    """

    __slots__ = ()
    temperature_c: int
    humidity_c: int
    trend: Trend
    settings: NodeSettings
    sampled_ms: int

    def at(self, now_ms: int) -> tuple[int, int]:
        """The estimate at `now_ms` on the clock of `sampled_ms`: (temperature, humidity), hundredths."""
        settings = self.settings
        steps = steps_between(now_ms - self.sampled_ms, settings.period_s)
        return estimate_pair(
            self.temperature_c, self.humidity_c, self.trend, settings.beta_t_c, settings.beta_h_c, steps
        )
