"""The settings that all nodes share: thresholds, periods and clock speed; when a node is wrong."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import tzinfo

from aoii.broker.messages import is_wrong
from aoii.runtime.health_limits import PAGE_SILENCE_GRACE_S, PAGE_SILENCE_WITHOUT_HEARTBEAT_S


@dataclass(frozen=True)
class FleetSettings:
    """Settings of all nodes.

    Attributes:
        beta_temp: Threshold for the temperature, °C.
        beta_hum: Threshold for the humidity, %RH.
        period_s: Time between two samples, s.
        heartbeat_s: Longest time that a healthy node is silent, s; 0: nodes send no heartbeats.
        speed: Seconds of event time in one real second.
        tau: Wrong samples in a row before a node sends.
        old_zone: Zone of the texts of time of old nodes and of the older gateway; None: the machine's.
        own_thresholds: By node, of nodes with thresholds of their own, °C and %RH.
    """

    beta_temp: float
    beta_hum: float
    period_s: int
    heartbeat_s: int
    speed: float = 1.0
    tau: int = 1
    old_zone: tzinfo | None = None
    own_thresholds: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def of(self, node: str | None) -> "FleetSettings":
        """The settings of one node."""
        own = self.own_thresholds.get(node or "")
        return self if own is None else replace(self, beta_temp=own[0], beta_hum=own[1])

    @property
    def silent_after_s(self) -> float:
        """Time without a packet in a past range over which a chart draws no estimate, s.

        One heartbeat interval and ten minutes; for nodes without heartbeats, a day and ten minutes. What a node is now
        is not judged by it but by its gateways.
        """
        return (self.heartbeat_s or PAGE_SILENCE_WITHOUT_HEARTBEAT_S) + PAGE_SILENCE_GRACE_S

    def is_wrong(self, error_temp: float, error_hum: float) -> bool:
        """Whether an error, °C or %RH, is at or over its threshold."""
        return is_wrong(error_temp, error_hum, self.beta_temp, self.beta_hum)

    def instants(self, start_ms: int, end_ms: int) -> int:
        """Number of sample instants from `start_ms` to `end_ms`, Unix ms, both included."""
        return (end_ms - start_ms) // (1000 * self.period_s) + 1
