"""Series for tests: the shipped day, all of it or its beginning, and series made of readings."""

from collections.abc import Sequence
from dataclasses import replace

from aoii.simulation import recordings
from aoii.simulation.recordings import Series


def shipped(samples: int = 1440) -> Series:
    """The first samples of the shipped day."""
    (day,) = recordings.parse()
    return replace(
        day,
        slots=day.slots[:samples],
        timestamps=day.timestamps[:samples],
        temperature_c=day.temperature_c[:samples],
        humidity_c=day.humidity_c[:samples],
    )


def made(readings: Sequence[tuple[int, int]], slots: Sequence[int] | None = None) -> Series:
    """One reading a minute, or at the given minutes; hundredths."""
    n = len(readings)
    return Series(
        node="made",
        start_unix_s=0.0,
        interval_s=60.0,
        slots=tuple(slots or range(n)),
        timestamps=tuple(map(str, range(n))),
        temperature_c=tuple(t for t, _ in readings),
        humidity_c=tuple(h for _, h in readings),
    )
