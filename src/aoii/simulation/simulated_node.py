"""One simulated node: the code of the board, the recording that it replays, and how well the gateway knows it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from aoii.core.aoii import AoiiMeter
from aoii.edge.node import Node
from aoii.simulation.recordings import Series

Sample = tuple[int, tuple[int, int]]  # instant in ms, and temperature and humidity in hundredths


@dataclass
class SimulatedNode:
    """A node and what surrounds it.

    Attributes:
        number: Of the node.
        node: What runs on the board.
        samples: Its coming samples.
        interval_s: Sampling interval, s.
        meter: Age of incorrect information at the gateway.
        timer_ms: When the node's timer goes off; None: it is not set.
    """

    number: int
    node: Node
    samples: Iterator[Sample]
    interval_s: float
    meter: AoiiMeter = field(default_factory=AoiiMeter)
    timer_ms: int | None = None


def replay_samples(series: Series, first: int, boot_ms: int, period_ms: int) -> Iterator[Sample]:
    """Samples of one node without end: the recording from row `first` on, then from its beginning, again and again.

    A gap in the recording stays a gap.
    """
    base_ms = boot_ms - series.slots[first] * period_ms
    lap_ms = (series.slots[-1] + 1) * period_ms
    row = first
    while True:
        yield base_ms + series.slots[row] * period_ms, (series.temperature_c[row], series.humidity_c[row])
        row += 1
        if row == len(series):
            row = 0
            base_ms += lap_ms
