"""The drivers on the models of their parts: a script of what happens and what came of it, for both interpreters."""

from aoii.core.errors import UnavailableError
from aoii.edge.drivers.board_flash import DoubleBuffer
from aoii.edge.drivers.board_radio import Air, Radio, airtime_ms
from aoii.edge.drivers.board_sensor import Aht20, Battery
from parts import models

MYPY = False
if MYPY:
    from typing import Any

AIRS = (
    Air(433_000_000, 9, 125_000, 5, 0x12, 8, 14),
    Air(868_100_000, 7, 250_000, 8, 0x34, 12, 2),
    Air(922_100_000, 12, 62_500, 6, 0, 6, 17),
)


def results() -> "list[Any]":
    """What the drivers did, in the form of JSON."""
    return [radio(air) for air in AIRS] + [silent_radio(), sensor(), flash()]


def radio(air: Air) -> "list[Any]":
    """One radio sends, listens, receives, and asks whether the channel is free."""
    clock = models.Clock()
    sent: list[bytes] = []
    chip = models.Sx127x(clock, sent.append)
    driver = Radio(chip.spi, chip.select, chip.reset, clock, air)
    found = [list(chip.registers[1:64]), airtime_ms(air, 32), driver.send(bytes(range(32))), clock.now_ms()]
    clock.schedule(clock.now_ms() + 300, lambda: chip.arrive(b"damaged", -90, 3, False))
    clock.schedule(clock.now_ms() + 700, lambda: chip.arrive(b"\x00\xffwhole", -117, -8))
    packet = driver.receive(2000)
    if packet is not None:
        found += [packet.data.hex(), packet.rssi_dbm, packet.snr_db]
    found += [clock.now_ms(), driver.receive(50) is None, driver.damaged]
    for level_dbm, has_preamble in ((-120, False), (-50, False), (-120, True)):
        chip.level_dbm, chip.has_preamble = level_dbm, has_preamble
        found.append(driver.is_free())
    driver.sleep()
    return found + [chip.mode, sent[0].hex(), chip.faults, clock.now_ms()]  # noqa: RUF005


def silent_radio() -> str:
    """Nobody answers on SPI."""
    clock = models.Clock()
    chip = models.Sx127x(clock, print)
    chip.version = 0
    try:
        Radio(chip.spi, chip.select, None, clock, AIRS[0])
    except UnavailableError as error:
        return str(error)
    return ""


def sensor() -> "list[Any]":
    """A sensor with every fault it can have."""
    clock = models.Clock()
    chip = models.Aht20(clock)
    driver = Aht20(chip, clock)
    found: list[Any] = [Battery(models.Adc(1_234_000), 3200).millivolts()]
    for name, value in (
        ("temperature", -39.99),
        ("humidity", 99.5),
        ("is_calibrated", False),
        ("garble", 2),
        ("lose", 1),
        ("garble", 3),
        ("is_busy_for_ever", True),
        ("is_there", False),
    ):
        setattr(chip, name, value)
        found += [name, list(driver.read()), driver.faults, clock.now_ms()]
    return found


def flash() -> "list[Any]":
    """A buffer whose writing is cut at any place."""
    found: list[Any] = []
    for cut_at in range(4):
        for share in range(5):
            disk = models.Disk()
            disk.cut_at, disk.cut_share = cut_at, share
            try:
                for number in range(4):
                    DoubleBuffer(disk, "learner").save(bytes((number + 65,)) * 300)
            except models.PowerCut:
                pass
            content = DoubleBuffer(disk, "learner").load()
            found.append([content[:1].decode(), len(content)])
    return found
