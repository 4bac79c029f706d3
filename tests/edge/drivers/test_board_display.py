"""The display driver against a model of the SSD1306."""

import types

from aoii.edge.drivers import board_display
from aoii.edge.drivers.board_display import Display
from parts import models


class Screen:
    """An SSD1306 on its bus, or a bus without one."""

    def __init__(self, is_there: bool) -> None:
        self.is_there = is_there
        self.got: list[bytes] = []

    def writeto(self, address: int, data: bytes) -> int:
        if not self.is_there or address != board_display.ADDRESS:
            raise OSError(19)
        self.got.append(bytes(data))
        return len(data)

    def readfrom(self, address: int, size: int) -> bytes:
        raise OSError(19)


class Dots:
    """`framebuf.FrameBuffer`, as far as it is needed."""

    def __init__(self, dots: bytearray, width: int, height: int, form: int) -> None:
        assert len(dots) == width * height // 8
        self._dots = dots

    def fill(self, value: int) -> None:
        self._dots[:] = bytes(len(self._dots))

    def text(self, text: str, x: int, y: int, value: int) -> None:
        self._dots[y // 8 * 128 : y // 8 * 128 + len(text)] = text.encode()


FRAMEBUF = types.SimpleNamespace(FrameBuffer=Dots, MONO_VLSB=0)


def test_a_display_shows_lines_and_goes_dark() -> None:
    screen = Screen(is_there=True)
    display = Display(screen, FRAMEBUF, models.Pin())

    display.show(["node 7", "21.50 C"])
    display.off()

    assert screen.got[0][1] == 0xAE
    assert len(screen.got[-2]) == 1025
    assert b"node 7" in screen.got[-2]
    assert b"21.50 C" in screen.got[-2]
    assert screen.got[-1] == b"\x00\xae"


def test_a_display_that_is_not_there_is_no_fault() -> None:
    display = Display(Screen(is_there=False), FRAMEBUF)

    display.show(["node 7"])
    display.off()

    assert not display.is_there
