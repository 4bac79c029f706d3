"""What the board's drivers need from MicroPython and from each other, as types; for type checkers only."""

from typing import Protocol


class Disk(Protocol):
    """Files that are read and written in place; see `board_flash.Files`."""

    def read(self, name: str, at: int, size: int) -> bytes:
        """Up to `size` bytes from position `at`; fewer at the end, none without a file; OSError: it is unreadable."""

    def write(self, name: str, at: int, content: bytes) -> None:
        """Replace the bytes from position `at` on; a power cut may leave any part of them."""


class Memory(Protocol):
    """`machine.RTC`: bytes that survive a deep sleep."""

    def memory(self, content: bytes | None = ..., /) -> bytes:
        """Write `content` if there is one; return the content."""


class Pin(Protocol):
    """`machine.Pin`."""

    def __call__(self, value: int = ..., /) -> int:
        """Set the pin, or read it."""


class Spi(Protocol):
    """`machine.SPI`."""

    def write(self, data: bytes, /) -> None:
        """Send."""

    def read(self, size: int, /) -> bytes:
        """Receive while sending zeros."""


class I2c(Protocol):
    """`machine.I2C`."""

    def writeto(self, address: int, data: bytes, /) -> int:
        """Send; OSError when no device answers."""

    def readfrom(self, address: int, size: int, /) -> bytes:
        """Receive; OSError when no device answers."""


class Adc(Protocol):
    """`machine.ADC`."""

    def read_uv(self) -> int:
        """Microvolts at the pin, by the chip's own calibration."""


class Clock(Protocol):
    """Time that goes on while the board sleeps."""

    def now_ms(self) -> int:
        """Milliseconds since power-on; never goes back."""

    def sleep_ms(self, duration_ms: int) -> None:
        """Wait."""


class Port(Protocol):
    """The receiver's USB port."""

    def read(self) -> bytes:
        """The bytes received so far, without waiting."""

    def write(self, data: bytes) -> None:
        """Send."""
