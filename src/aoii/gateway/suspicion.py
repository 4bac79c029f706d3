"""What a gateway can suspect of a node from its frames: a flash that was erased, a sensor that has failed. Pure.

Nothing is rejected here: a reading that looks like a fault is a reading all the same, and is stored.
"""

ERASED_FRAMES = 3  # numbers used again, rising: one may be a late frame, two of them frames that overtook each other

# What sensors and their drivers give instead of an error. °C alone, or °C and %RH together.
FAULT_TEMPERATURES = {
    85.00: "DS18B20 after its supply failed: the power-on value of its register, datasheet DS18B20",
    -127.00: "DS18B20 that does not answer: DEVICE_DISCONNECTED_C of the library DallasTemperature",
}
FAULT_PAIRS = {
    (-45.00, 0.00): "SHT3x or SHT4x, all bits 0: -45 + 175 * 0, datasheet SHT3x-DIS, 4.13",
    (130.00, 100.00): "SHT3x or SHT4x, all bits 1: -45 + 175 * 1, the same",
    (-50.00, 0.00): "AHT10, AHT20 or AHT21, all bits 0: 200 * 0 - 50, datasheet AHT20, 6.2",
    (150.00, 100.00): "AHT10, AHT20 or AHT21, all bits 1: 200 * 1 - 50, the same",
    (-46.85, -6.00): "SHT2x, HTU21 or Si7021, all bits 0: -46.85 + 175.72 * 0 and -6 + 125 * 0, datasheet SHT21, 6",
}
TEMPERATURE_RANGE = (-100.0, 200.0)  # °C; beyond the range of any sensor that a node may have
HUMIDITY_RANGE = (-10.0, 120.0)  # %RH; sensors overshoot at both ends


def sensor_fault(temperature: float, humidity: float) -> str | None:
    """Why a reading, °C and %RH with two decimals, looks like a fault of the sensor; None if it does not."""
    temperature, humidity = round(temperature, 2), round(humidity, 2)
    if not (
        TEMPERATURE_RANGE[0] <= temperature <= TEMPERATURE_RANGE[1]
        and HUMIDITY_RANGE[0] <= humidity <= HUMIDITY_RANGE[1]
    ):
        return "outside the range of any sensor"
    return FAULT_TEMPERATURES.get(temperature) or FAULT_PAIRS.get((temperature, humidity))


class RepeatedNumbers:
    """Counts, for each node, the frames in a row whose numbers the gateway has seen in the same epoch.

    A board whose flash was erased numbers its frames from 1 again, and a second board with the same key has numbers of
    its own. Both give authentic frames with old numbers that rise. A frame that a stranger replays does so only if he
    replays several in their order; that looks the same, and is as harmless.
    """

    def __init__(self) -> None:
        self._runs: dict[str, tuple[int, int]] = {}  # by node: the last such number, and how many there were

    def record(self, node: str, frame: int) -> bool:
        """Record a frame that was rejected for its number; return whether its node looks erased."""
        last, count = self._runs.get(node, (-1, 0))
        if frame == last:  # sent again, because nobody answers
            return count >= ERASED_FRAMES
        count = count + 1 if frame > last else 1
        self._runs[node] = frame, count
        return count >= ERASED_FRAMES

    def forget(self, node: str) -> None:
        """A frame of the node was accepted, or the node is gone."""
        self._runs.pop(node, None)
