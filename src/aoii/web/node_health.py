"""What a gateway reports of a node beside its readings: battery, radio and faults."""

from dataclasses import dataclass


@dataclass(frozen=True)
class NodeHealth:
    """Health of one node at its last frame; None where the gateway reports nothing.

    Attributes:
        battery_v: Battery voltage, V.
        rssi_dbm: Signal strength, dBm.
        snr_db: Signal-to-noise ratio, dB.
        missing: Readings that the node has numbered and the gateway has not received.
        low_battery: Whether the node reports a low battery.
        sensor_fault: Whether the node reports a sensor fault.
    """

    battery_v: float | None = None
    rssi_dbm: float | None = None
    snr_db: float | None = None
    missing: float | None = None
    low_battery: bool = False
    sensor_fault: bool = False
