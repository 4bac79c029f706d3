"""The AHT20 over I2C, and the battery behind its voltage divider.

A sensor that does not answer, stays busy, lost its calibration or sends damaged bytes gives no reading. Whether a
reading is plausible is checked by `core.trigger`.

Source: Aosong, AHT20 product manuals, version 1.0, section 5.
"""

MYPY = False
if MYPY:
    from .board_interfaces import Adc, Clock, I2c

ADDRESS = 0x38
INITIALISE = b"\xbe\x08\x00"
MEASURE = b"\xac\x33\x00"
RESET = b"\xba"
BUSY = 0x80
CALIBRATED = 0x08

POWER_ON_MS = 40  # before the first command
INITIALISE_MS = 10
MEASURE_MS = 80
BUSY_MS = 10  # pause before a busy sensor is asked again
BUSY_TRIES = 5
RESET_MS = 20
TRIES = 3

FULL = 1 << 20  # both quantities have 20 bits


class Aht20:
    """One sensor.

    Attributes:
        faults: Number of measurements that failed.
    """

    def __init__(self, i2c: "I2c", clock: "Clock") -> None:
        self._i2c = i2c
        self._clock = clock
        self.faults = 0

    def read(self) -> tuple[float | None, float | None]:
        """Temperature in °C and relative humidity in %, or (None, None) when there is no reading."""
        for _ in range(TRIES):
            try:
                found = self._measured()
            except OSError:  # no answer
                found = b""
            if found:
                humidity = found[1] << 12 | found[2] << 4 | found[3] >> 4
                temperature = (found[3] & 15) << 16 | found[4] << 8 | found[5]
                return temperature * 200 / FULL - 50, humidity * 100 / FULL
            self.faults += 1
            self._reset()
        return None, None

    def _measured(self) -> bytes:
        """The seven bytes of one measurement; empty when they are not valid; OSError: no answer."""
        clock, i2c = self._clock, self._i2c
        if not i2c.readfrom(ADDRESS, 1)[0] & CALIBRATED:
            clock.sleep_ms(POWER_ON_MS)
            i2c.writeto(ADDRESS, INITIALISE)
            clock.sleep_ms(INITIALISE_MS)
        i2c.writeto(ADDRESS, MEASURE)
        clock.sleep_ms(MEASURE_MS)
        for _ in range(BUSY_TRIES):
            found = i2c.readfrom(ADDRESS, 7)
            if not found[0] & BUSY:
                return found if found[0] & CALIBRATED and crc8(found[:6]) == found[6] else b""
            clock.sleep_ms(BUSY_MS)
        return b""

    def _reset(self) -> None:
        try:
            self._i2c.writeto(ADDRESS, RESET)
        except OSError:
            pass
        self._clock.sleep_ms(RESET_MS)


class Battery:
    """A battery at an analogue input.

    Args:
        adc: The input.
        ratio_permille: Battery voltage over input voltage, thousandths; 2000 for two equal resistors.
    """

    def __init__(self, adc: "Adc", ratio_permille: int) -> None:
        self._adc = adc
        self._ratio_permille = ratio_permille

    def millivolts(self) -> int:
        """The battery's voltage, mV: the mean of two measurements, because one can be off by 50 mV on an ESP32."""
        return (self._adc.read_uv() + self._adc.read_uv()) * self._ratio_permille // 2_000_000


def crc8(data: bytes) -> int:
    """The AHT20's CRC-8: polynomial x^8 + x^5 + x^4 + 1, initial value 0xFF."""
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x31 if crc & 0x80 else crc << 1) & 0xFF
    return crc
