"""Of the estimates of several gateways for one node: the one that follows from the newest reading. Pure.

Two gateways that hear one node may hold different forecasts, because one of them missed the last packet. Readers of
estimates take one a node: that with the highest epoch and counter. Of two that are equal, the gateway that was there
first goes on, so that a node has one estimate a minute and not two.
"""

from dataclasses import dataclass

from aoii.broker.messages import Estimate

# Three estimates at one a minute (gateway/estimates.py). A gateway that has been silent for so long is not waited for:
# what it knew is lost to the readers, and an older forecast is better than a page that stands still.
SILENT_S = 180.0
NODES_LIMIT = 10_000  # names come from messages; of further nodes every estimate is taken


@dataclass
class _Held:
    gateway: str | None
    follows_from: tuple[int, int]
    heard_s: float


class NewestEstimates:
    """Chooses among estimates as they arrive."""

    def __init__(self) -> None:
        self._held: dict[str | None, _Held] = {}

    def is_newest(self, estimate: Estimate, now_s: float) -> bool:
        """Whether to use an estimate that has just arrived.

        Args:
            estimate: The estimate.
            now_s: A monotonic clock, s.
        """
        held = self._held.get(estimate.node)
        if held is not None and held.gateway != estimate.gateway and now_s - held.heard_s <= SILENT_S:
            if estimate.follows_from <= held.follows_from:
                return False
        elif held is None and len(self._held) >= NODES_LIMIT:
            return True
        self._held[estimate.node] = _Held(estimate.gateway, estimate.follows_from, now_s)
        return True
