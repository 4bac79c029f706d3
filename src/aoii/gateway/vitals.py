"""What operators see of each node: its vital signs, as metrics.

Told of every reading after its commit, in the order in which they came. The age of incorrect information is the lower
bound that a gateway can know (docs/explanation/aoii.md): what was not heard is in no metric. Labels are names of nodes
that the gateway believes, so there are never more of them than nodes provisioned and ports. It refuses to judge frames.
"""

from aoii.broker.messages import is_important
from aoii.gateway.events import Event
from aoii.monitoring import metrics


class Vitals:
    """The metrics of the nodes of one gateway.

    Args:
        beta_temp: From this error on a picture is wrong, °C.
        beta_hum: The same, %RH.
    """

    def __init__(self, beta_temp: float, beta_hum: float) -> None:
        self._beta_temp = beta_temp
        self._beta_hum = beta_hum

    def heard(self, event: Event) -> None:
        """A reading was accepted for the first time."""
        aoii_s = self._aoii_s(event)
        if aoii_s is None:
            return
        node = event.identity.node
        metrics.NODE_AOII_REPORTS_S.labels(node=node).observe(aoii_s)
        gauge = metrics.NODE_AOII_S.labels(node=node)
        if event.kind == "backfill":  # belongs to the report before it, and shows that it came later than that knew
            aoii_s = max(aoii_s, metrics.value(gauge))
        gauge.set(aoii_s)

    def _aoii_s(self, event: Event) -> float | None:
        """For how long at least the picture was wrong, seconds; 0: it was right; None: the reading does not tell."""
        if event.believed is None or event.held_ms is None:
            return None
        error_t, error_h = event.actual_t - event.believed[0], event.actual_h - event.believed[1]
        if not is_important(error_t, error_h, self._beta_temp, self._beta_hum):
            return 0.0
        return event.held_ms / 1000
