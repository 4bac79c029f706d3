"""The points that the page draws: a node's samples, the gateway's estimates, and the packets that arrived.

Temperatures are in °C, humidities in %RH, times in Unix ms.
"""

from datetime import UTC, datetime
from typing import NamedTuple

Key = tuple[int, int]


class Sample(NamedTuple):
    """One line of a node's own log.

    Attributes:
        at_ms: Event time.
        temp: Measured temperature.
        hum: Measured humidity.
        pred_temp: Estimate before the sample, from the last forecast that the gateway acknowledged to the node.
        pred_hum: The same for humidity.
        sent: Whether the node began to send this reading.
        heartbeat: Whether it was sent only as a heartbeat.
    """

    at_ms: int
    temp: float
    hum: float
    pred_temp: float
    pred_hum: float
    sent: bool
    heartbeat: bool


class EstimatePoint(NamedTuple):
    """The gateway's estimate at an instant, from its `EST` message."""

    at_ms: int
    temp: float
    hum: float


class Packet(NamedTuple):
    """A reading that reached the gateway, with the estimate just before it.

    Attributes:
        at_ms: Event time.
        temp: Measured temperature.
        hum: Measured humidity.
        pred_temp: Estimate just before.
        pred_hum: The same for humidity.
        kind: Why it was sent: `event`, `heartbeat`, `backfill`, or `legacy` (old firmware).
        qos: 1 at or over a threshold, 0 below both.
        key: Epoch and counter; for a row without identity another pair that is unique within its node.
    """

    at_ms: int
    temp: float
    hum: float
    pred_temp: float
    pred_hum: float
    kind: str
    qos: int
    key: Key


class Points(NamedTuple):
    """Points of one node."""

    samples: list[Sample]
    estimates: list[EstimatePoint]
    packets: list[Packet]


class Extremes(NamedTuple):
    """One column of a long range: the lowest and highest values in it, placed at its middle. None: a gap."""

    at_ms: int
    min_temp: float | None
    max_temp: float | None
    min_hum: float | None
    max_hum: float | None


def hundredths(point: Sample | Packet) -> tuple[int, int]:
    """The reading in integer hundredths, to match a packet with its sample."""
    return round(point.temp * 100), round(point.hum * 100)


def unix_ms(at: datetime) -> int:
    """Unix ms of an instant in UTC without zone, as in the database."""
    return round(at.replace(tzinfo=UTC).timestamp() * 1000)


def event_ms(point: Sample | EstimatePoint | Packet) -> int:
    """Event time, as a sort key."""
    return point.at_ms
