"""The SSD1306 display, 128 x 64, for boards that have one.

Source: Solomon Systech SSD1306 data sheet, revision 1.1, chapters 9 and 10, and its application note.
"""

MYPY = False
if MYPY:
    from typing import Any

    from .board_interfaces import I2c, Pin

ADDRESS = 0x3C
WIDTH, HEIGHT = 128, 64
LINE_DOTS = 12
COMMAND, CONTENT = b"\x00", b"\x40"
START = (
    b"\xae"  # off
    b"\xd5\x80"  # clock as at reset
    b"\xa8\x3f"  # 64 rows
    b"\xd3\x00\x40"  # no shift
    b"\x8d\x14"  # charge pump on
    b"\x20\x00"  # addresses run along the rows
    b"\xa1\xc8"  # cable at the top
    b"\xda\x12"  # every other row
    b"\x81\x40"  # contrast: a quarter, which is easy to read and saves current
    b"\xd9\xf1\xdb\x30"  # recommended for the charge pump
    b"\xa4\xa6\xaf"  # content as written, white on black, on
)
WHOLE = b"\x21\x00\x7f\x22\x00\x07"  # all columns, all pages
OFF = b"\xae"


class Display:
    """Shows up to five lines of 16 characters; a display that fails to answer once is not used again.

    Args:
        i2c: The bus.
        frame: MicroPython's module `framebuf`.
        reset: Its reset pin; None when it is not wired.

    Attributes:
        is_there: Whether it has always answered so far.
    """

    def __init__(self, i2c: "I2c", frame: "Any", reset: "Pin | None" = None) -> None:
        self._i2c = i2c
        self._dots = bytearray(WIDTH * HEIGHT // 8)
        self._frame = frame.FrameBuffer(self._dots, WIDTH, HEIGHT, frame.MONO_VLSB)
        self.is_there = True
        if reset is not None:
            reset(0)
            reset(1)
        self._write(COMMAND + START)

    def show(self, lines: list[str]) -> None:
        """Replace the lines on the display."""
        if not self.is_there:
            return
        self._frame.fill(0)
        for number, line in enumerate(lines):
            self._frame.text(line, 0, number * LINE_DOTS, 1)
        self._write(COMMAND + WHOLE)
        self._write(CONTENT + bytes(self._dots))

    def off(self) -> None:
        """Switch the display off."""
        self._write(COMMAND + OFF)

    def _write(self, data: bytes) -> None:
        if self.is_there:
            try:
                self._i2c.writeto(ADDRESS, data)
            except OSError:
                self.is_there = False
