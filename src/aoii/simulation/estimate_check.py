"""Whether both ends of the simulated radio hold the same estimate, and whether it is right.

The receiver knows what the gateway acknowledged, and so what the gateway holds. That is compared with what each node
takes the gateway to hold, and with the readings themselves. Pure.
"""

from collections.abc import Mapping

from aoii.core import trigger
from aoii.core.forecast import Forecast


class EstimateCheck:
    """Compares the gateway's estimates with the nodes'.

    Args:
        held: The gateway's forecast of each node, kept up to date by the receiver.

    Attributes:
        checks: Comparisons between the two ends.
        mismatches: Comparisons that found different estimates.
    """

    def __init__(self, held: Mapping[int, Forecast]) -> None:
        self._held = held
        self.checks = 0
        self.mismatches = 0

    def agrees(self, node: int, estimate_c: tuple[int, int], at_ms: int) -> bool:
        """Count a comparison; whether the gateway's estimate at `at_ms` equals the node's, to the hundredth."""
        is_same = estimate_c == self._held[node].at(at_ms)
        self.checks += 1
        self.mismatches += not is_same
        return is_same

    def is_wrong(self, node: int, reading_c: tuple[int, int], sampled_ms: int) -> bool:
        """Whether the gateway's estimate misses a reading by a threshold; it does while there is none."""
        held = self._held.get(node)
        return held is None or trigger.is_wrong(*reading_c, held.at(sampled_ms), held.settings)
