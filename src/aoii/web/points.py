"""What the page draws: samples, the gateway's estimates and packets, and the settings that give them meaning."""

from dataclasses import dataclass
from typing import NamedTuple

from aoii.broker.messages import is_wrong
from aoii.runtime.health_limits import PAGE_SILENCE_GRACE_S, PAGE_SILENCE_WITHOUT_HEARTBEAT_S

Key = tuple[int, int]


class Sample(NamedTuple):
    """One line of a node's own log. °C and %RH.

    Attributes:
        at_ms: Event time, Unix ms.
        temp, hum: What it measured.
        pred_temp, pred_hum: What it knew the gateway to believe before, as far as the gateway had acknowledged.
        sent: Whether it began to send this reading.
        heartbeat: Whether only to say that all is well.
    """

    at_ms: int
    temp: float
    hum: float
    pred_temp: float
    pred_hum: float
    sent: bool
    heartbeat: bool


class EstimatePoint(NamedTuple):
    """What the gateway believed at an instant, from its own `EST`. Unix ms, °C and %RH."""

    at_ms: int
    temp: float
    hum: float


class Packet(NamedTuple):
    """A reading that reached the gateway, and what it believed just before. Unix ms, °C and %RH."""

    at_ms: int
    temp: float
    hum: float
    pred_temp: float
    pred_hum: float
    kind: str
    qos: int
    key: Key


@dataclass(frozen=True)
class Vitals:
    """What a gateway told of a node beside its readings; None: it did not tell.

    Attributes:
        battery_v, rssi_dbm, snr_db: Volts, dBm and dB, of the node's last frame.
        missing: Readings that the node numbered and that have not come.
    """

    battery_v: float | None = None
    rssi_dbm: float | None = None
    snr_db: float | None = None
    missing: float | None = None
    low_battery: bool = False
    sensor_fault: bool = False


@dataclass(frozen=True)
class Rules:
    """Settings: thresholds in °C and %RH, times in seconds, how many times as fast as real time nodes live, and tau."""

    beta_temp: float
    beta_hum: float
    period_s: int
    heartbeat_s: int
    speed: float = 1.0
    tau: int = 1

    @property
    def silent_after_s(self) -> float:
        """Without a packet for this long a node is called silent: one heartbeat and ten minutes."""
        return (self.heartbeat_s or PAGE_SILENCE_WITHOUT_HEARTBEAT_S) + PAGE_SILENCE_GRACE_S

    def is_wrong(self, error_temp: float, error_hum: float) -> bool:
        """Whether an error is at or over a threshold."""
        return is_wrong(error_temp, error_hum, self.beta_temp, self.beta_hum)


def hundredths(point: Sample | Packet) -> tuple[int, int]:
    """The reading in integer hundredths, by which a packet and its sample are known to be the same."""
    return round(point.temp * 100), round(point.hum * 100)


def event_ms(point: Sample | EstimatePoint | Packet) -> int:
    """Event time, as a key to sort by."""
    return point.at_ms
