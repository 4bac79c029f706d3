"""What the drivers need from MicroPython, and that the models of the parts in these tests have no less."""

import inspect

import pytest

from aoii.edge.drivers import board_interfaces
from aoii.edge.drivers.board_flash import Files
from parts import models


@pytest.mark.parametrize(
    ("interface", "part"),
    [
        (board_interfaces.Disk, Files),
        (board_interfaces.Disk, models.Disk),
        (board_interfaces.Memory, models.Rtc),
        (board_interfaces.Spi, models.Sx127x),
        (board_interfaces.I2c, models.Aht20),
        (board_interfaces.Adc, models.Adc),
        (board_interfaces.Clock, models.Clock),
    ],
)
def test_a_part_takes_what_the_drivers_pass_in(interface: type, part: type) -> None:
    for name, method in inspect.getmembers(interface, inspect.isfunction):
        if not name.startswith("_"):
            needed = list(inspect.signature(method).parameters)
            assert list(inspect.signature(getattr(part, name)).parameters) == needed
