"""An ESP32 as MicroPython shows it: `machine`, time and files, with the models of its parts wired to its pins.

The same source runs on CPython and on MicroPython.
"""

from parts import models

MYPY = False
if MYPY:
    from collections.abc import Callable
    from typing import Any


class Slept(BaseException):
    """The board sleeps deeply; only a new start of the program follows."""


class _Pins:
    OUT = 3

    def __init__(self, wired: "dict[int, models.Pin]") -> None:
        self._wired = wired

    def __call__(self, number: int, mode: int | None = None, value: int | None = None) -> "models.Pin | int":
        if number not in self._wired:
            self._wired[number] = models.Pin()
        pin = self._wired[number]
        if value is not None:
            pin(value)
        return pin


class _Adcs:
    ATTN_11DB = 3

    def __call__(self, pin: object, atten: int) -> models.Adc:
        return models.Adc(1_900_000)


class _Watchdog:
    def __init__(self, clock: models.Clock, timeout_ms: int) -> None:
        self._clock = clock
        self._timeout_ms = timeout_ms
        self._fed_ms = clock.now_ms()

    def feed(self) -> None:
        assert self._clock.now_ms() - self._fed_ms <= self._timeout_ms, "the watchdog has bitten"
        self._fed_ms = self._clock.now_ms()


class Machine:
    """The module `machine`.

    Args:
        clock: Time.
        pins: As in the board's configuration.
        on_sent: Called with what left the antenna.
    """

    PWRON_RESET, DEEPSLEEP_RESET = 1, 4

    def __init__(self, clock: models.Clock, pins: "dict[str, int]", on_sent: "Callable[[bytes], None]") -> None:
        self.clock = clock
        self.chip = models.Sx127x(clock, on_sent)
        self.aht20 = models.Aht20(clock)
        self.rtc = models.Rtc()
        self.disk = models.Disk()
        self._drawn = 0
        self.cause = self.PWRON_RESET
        self.Pin = _Pins({pins["select"]: self.chip.select, pins["reset"]: self.chip.reset})
        self.ADC = _Adcs()

    def SPI(self, number: int, baudrate: int, sck: object, mosi: object, miso: object) -> models.Sx127x:  # noqa: N802 - MicroPython's name
        assert baudrate <= 10_000_000
        return self.chip.spi

    def I2C(self, number: int, scl: object, sda: object, freq: int) -> models.Aht20:  # noqa: N802
        assert freq <= 400_000
        return self.aht20

    def RTC(self) -> models.Rtc:  # noqa: N802
        return self.rtc

    def WDT(self, timeout: int) -> _Watchdog:  # noqa: N802
        return _Watchdog(self.clock, timeout)

    def reset_cause(self) -> int:
        return self.cause

    def deepsleep(self, duration_ms: int) -> None:
        self.clock.sleep_ms(duration_ms)
        self.cause = self.DEEPSLEEP_RESET
        raise Slept

    # Other modules, as far as the program uses them

    def time_ns(self) -> int:
        return self.clock.now_ms() * 1_000_000

    def sleep_ms(self, duration_ms: int) -> None:
        self.clock.sleep_ms(duration_ms)

    def urandom(self, size: int) -> bytes:
        self._drawn += 1
        return bytes((self._drawn * 37 & 255, self._drawn * 101 & 255))

    def mem_free(self) -> int:
        return 60_000

    def mem_alloc(self) -> int:
        return 50_000


class File:
    """An open file of the model's disk."""

    def __init__(self, disk: models.Disk, name: str) -> None:
        self._disk = disk
        self._name = name
        self._at = 0

    def seek(self, at: int) -> None:
        self._at = at

    def read(self, size: int) -> bytes:
        return self._disk.read(self._name, self._at, size)

    def write(self, content: bytes) -> None:
        self._disk.write(self._name, self._at, content)

    def __enter__(self) -> "File":
        return self

    def __exit__(self, *error: object) -> None:
        pass


def opener(disk: models.Disk) -> "Callable[[str, str], File]":
    """`open` for the model's disk."""

    def opened(name: str, mode: str) -> File:
        if name not in disk.files:
            if mode != "w+b":
                raise OSError(2)
            disk.files[name] = bytearray()
        return File(disk, name)

    return opened


def boot(machine: Machine, modules: "Any", config: str) -> None:
    """Power on, or the end of a sleep: run the board's program until it sleeps.

    Args:
        machine: The board; it must be the module `machine` already.
        modules: `board` and `board_flash`, freshly imported or not: they keep nothing.
        config: Where the configuration lies.
    """
    program, flash = modules
    program.CONFIG = config
    program.machine = program.time = program.gc = program.os = machine
    flash.open = opener(machine.disk)
    try:
        program.run()
    except Slept:
        pass
