"""The fewest packets of any policy that knows the future, with one value or one line a packet.

A segment grows while one value (or one line) of each quantity stays nearer than the threshold to every reading in it;
then the next segment begins. This is optimal, because every part of a feasible segment is feasible. It bounds policies
with one value or line a packet, not all conceivable ones. A line need not begin at the reading, and both quantities
begin a new segment together.

Source: O'Rourke, "An on-line algorithm for fitting straight lines between data ranges", CACM 24(9), 1981; Elmeleegy
et al., "Online piece-wise linear approximation of numerical streams with precision guarantees", VLDB 2009.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from aoii.simulation.recordings import Series


class Bounds:
    """Both bounds of a series; each is computed at its first use.

    Args:
        series: The recording.
        starts: Index of the first sample of each piece, 0 first; no segment reaches from one piece into another.
        epsilon: Thresholds, hundredths.
    """

    def __init__(self, series: Series, starts: Sequence[int], epsilon: tuple[int, int]) -> None:
        self._series, self._starts, self._epsilon = series, frozenset(starts), epsilon

    @cached_property
    def hold(self) -> int:
        """The fewest packets when the gateway holds one value from packet to packet."""
        packets = 0
        low, high = [0, 0], [0, 0]
        for i, reading in enumerate(zip(self._series.temperature_c, self._series.humidity_c, strict=True)):
            for q in (0, 1):
                low[q], high[q] = min(low[q], reading[q]), max(high[q], reading[q])
            if i in self._starts or any(high[q] - low[q] >= 2 * self._epsilon[q] for q in (0, 1)):
                packets += 1
                low, high = list(reading), list(reading)
        return packets

    @cached_property
    def linear(self) -> int:
        """The fewest packets when the gateway follows one line from packet to packet.

        A line a + b*k passes within epsilon of all points of a segment when for every two of them, i < j,
        (y_j - y_i - 2 epsilon) / (k_j - k_i) < b < (y_j - y_i + 2 epsilon) / (k_j - k_i). Two such fractions
        are equal or differ by more than the rounding of double precision, so the comparison is exact.
        """
        at = np.array(self._series.slots, dtype=np.float64)
        y = np.array([self._series.temperature_c, self._series.humidity_c], dtype=np.float64)
        width = 2.0 * np.array(self._epsilon, dtype=np.float64)
        packets, first = 0, 0
        lowest, highest = np.zeros(2), np.zeros(2)
        for i in range(len(self._series)):
            if i not in self._starts:
                apart = at[i] - at[first:i]
                rise = y[:, i : i + 1] - y[:, first:i]
                low = np.maximum(lowest, ((rise - width[:, None]) / apart).max(axis=1))
                high = np.minimum(highest, ((rise + width[:, None]) / apart).min(axis=1))
            if i in self._starts or (low >= high).any():
                packets, first = packets + 1, i
                lowest, highest = np.full(2, -np.inf), np.full(2, np.inf)
            else:
                lowest, highest = low, high
        return packets
