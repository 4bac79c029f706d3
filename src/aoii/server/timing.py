"""What the server sees of time: how far each gateway's clock is from its own, and how long readings take.

A gateway says its time with every estimate, once a minute; readings say when they were sampled. It refuses to believe a
time whose gateway did not believe it.
"""

from aoii.broker.messages import Estimate, Reading
from aoii.runtime import metrics
from aoii.runtime.clock import Clock

GATEWAYS_LIMIT = 100  # names come from messages; more of them than this are not told apart


class Timing:
    """The metrics of time.

    Args:
        clock: Of the nodes' world.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._gateways: set[str] = set()

    def estimated(self, estimate: Estimate) -> None:
        """An estimate came, just now."""
        if estimate.gateway is None or estimate.unix_ms is None:
            return
        if len(self._gateways) < GATEWAYS_LIMIT:
            self._gateways.add(estimate.gateway)
        if estimate.gateway in self._gateways:
            offset_s = (estimate.unix_ms - self._clock.unix_ms()) / 1000
            metrics.CLOCK_OFFSET_S.labels(gateway=estimate.gateway).set(offset_s)

    def stored(self, reading: Reading) -> None:
        """A reading was committed, just now and for the first time."""
        if reading.event_unix_ms is not None and reading.clock_synced:
            metrics.END_TO_END_LATENCY_S.observe(max(0, self._clock.unix_ms() - reading.event_unix_ms) / 1000)
