"""Time as the server measures it: the offset of each gateway's clock, and the latency of readings.

A gateway sends its time with every estimate, once a minute. A reading carries its sampling time, which counts only if
`clock_synced` is true: the gateway's clock was synchronized, and the node knew how old the reading was.
"""

from aoii.broker.messages import Estimate, Reading
from aoii.runtime import metrics
from aoii.runtime.clock import Clock

GATEWAYS_LIMIT = 100  # names come from messages; further gateways get no metric


class Timing:
    """Sets the metrics of time.

    Args:
        clock: The clock of the nodes' world.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._gateways: set[str] = set()

    def record_clock_offset(self, estimate: Estimate) -> None:
        """Record the offset of a gateway's clock, from an estimate that has just arrived."""
        if estimate.gateway is None or estimate.unix_ms is None:
            return
        if len(self._gateways) < GATEWAYS_LIMIT:
            self._gateways.add(estimate.gateway)
        if estimate.gateway in self._gateways:
            offset_s = (estimate.unix_ms - self._clock.unix_ms()) / 1000
            metrics.CLOCK_OFFSET_S.labels(gateway=estimate.gateway).set(offset_s)

    def record_latency(self, reading: Reading) -> None:
        """Record the latency of a reading that has just been stored for the first time."""
        if reading.event_unix_ms is not None and reading.clock_synced:
            metrics.END_TO_END_LATENCY_S.observe(max(0, self._clock.unix_ms() - reading.event_unix_ms) / 1000)
