"""The AHT20 driver against a model of the sensor, and the battery behind its divider."""

import pytest

from aoii.edge.drivers import board_sensor
from aoii.edge.drivers.board_sensor import Aht20, Battery
from parts import models
from parts.models import Clock


class Hygrometer:
    """The sensor's driver on the sensor."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.chip = models.Aht20(self.clock)
        self.driver = Aht20(self.chip, self.clock)


@pytest.fixture
def hygrometer() -> Hygrometer:
    return Hygrometer()


@pytest.mark.parametrize(("temperature", "humidity"), [(20.0, 50.0), (-40.0, 0.0), (84.99, 99.99), (0.0, 33.33)])
def test_the_sensor_is_read_to_a_thousandth(hygrometer: Hygrometer, temperature: float, humidity: float) -> None:
    hygrometer.chip.temperature, hygrometer.chip.humidity = temperature, humidity

    found = hygrometer.driver.read()

    assert found == pytest.approx((temperature, humidity), abs=0.001)
    assert hygrometer.driver.faults == 0


def test_a_sensor_without_calibration_is_initialised_first(hygrometer: Hygrometer) -> None:
    hygrometer.chip.is_calibrated = False

    assert hygrometer.driver.read()[0] == pytest.approx(20, abs=0.001)
    assert hygrometer.chip.is_calibrated


@pytest.mark.parametrize("fault", ["garble", "lose"])
def test_a_fault_that_passes_is_tried_again(hygrometer: Hygrometer, fault: str) -> None:
    setattr(hygrometer.chip, fault, 2)

    found = hygrometer.driver.read()

    assert found == pytest.approx((20, 50), abs=0.001)
    assert 1 <= hygrometer.driver.faults <= 2


@pytest.mark.parametrize(
    ("name", "value"), [("is_there", False), ("is_busy_for_ever", True), ("garble", 99), ("lose", 99)]
)
def test_a_fault_that_stays_gives_no_reading_in_bounded_time(hygrometer: Hygrometer, name: str, value: object) -> None:
    setattr(hygrometer.chip, name, value)

    assert hygrometer.driver.read() == (None, None)
    assert hygrometer.clock.now_ms() < 1500
    assert hygrometer.driver.faults == board_sensor.TRIES


@pytest.mark.parametrize("bit", range(48))
def test_every_wrong_bit_changes_the_check_sum(bit: int) -> None:
    data = bytearray(b"\x1c\x80\x00\x05\x9a\x3b")
    whole = board_sensor.crc8(bytes(data))
    data[bit // 8] ^= 1 << bit % 8

    assert board_sensor.crc8(bytes(data)) != whole


def test_the_check_sum_is_that_of_the_data_sheet() -> None:
    assert board_sensor.crc8(b"123456789") == models.check_sum(b"123456789") == 0xF7  # CRC-8/NRSC-5


def test_the_battery_is_the_mean_of_two_readings_behind_the_divider() -> None:
    assert Battery(models.Adc(1_900_000), 2000).millivolts() == 3800
    assert Battery(models.Adc(1_200_000), 3200).millivolts() == 3840
