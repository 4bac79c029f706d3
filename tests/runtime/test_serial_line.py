"""A serial port is raw from the first system call after its opening."""

import contextlib
import errno
import fcntl
import os
import pty
import select
import termios
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aoii.runtime.serial_line import open_serial

LINE = b"Received: 21.50,40.00\n"


@pytest.fixture
def cooked() -> Iterator[tuple[int, str]]:
    """Our end and the name of a terminal as it is when it is new: nobody has set it, and it echoes."""
    ours, theirs = pty.openpty()
    yield ours, os.ttyname(theirs)
    for end in (ours, theirs):
        os.close(end)


def arrived(port: int, timeout_s: float = 20) -> bytes:
    return os.read(port, 4096) if select.select([port], [], [], timeout_s)[0] else b""


def test_a_line_that_comes_after_the_opening_is_read_as_it_is_and_not_echoed(cooked: tuple[int, str]) -> None:
    ours, name = cooked
    port = open_serial(name)

    os.write(ours, LINE + b"\x03\x11\x13\r\n")

    assert arrived(port) == LINE + b"\x03\x11\x13\r\n"
    assert arrived(ours, 0) == b""
    os.write(port, b"1700000000\n")
    assert arrived(ours) == b"1700000000\n"
    os.close(port)


def test_nothing_comes_between_opening_and_settings_but_the_lock(
    cooked: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def watched(module: Any, function: str) -> None:
        real = getattr(module, function)

        def call(*given: Any) -> Any:
            calls.append(function)
            return real(*given)

        monkeypatch.setattr(module, function, call)

    for module, function in (
        (os, "open"), (fcntl, "flock"), (fcntl, "fcntl"), (fcntl, "ioctl"),
        (termios, "tcgetattr"), (termios, "tcsetattr"), (termios, "tcflush"),
    ):  # fmt: skip
        watched(module, function)

    os.close(open_serial(cooked[1]))

    assert calls == ["open", "flock", "tcsetattr", "tcflush"]


def test_what_waited_in_the_port_is_dropped_and_not_echoed_if_it_was_set_before(cooked: tuple[int, str]) -> None:
    ours, name = cooked
    before = os.open(name, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(before)  # what a udev rule does
    os.close(before)
    os.write(ours, LINE)

    port = open_serial(name)

    assert arrived(ours, 0.2) == b""
    assert arrived(port, 0) == b""
    os.close(port)


def test_the_speed_is_115200_baud_and_the_control_lines_fall_at_the_close(cooked: tuple[int, str]) -> None:
    port = open_serial(cooked[1])

    found = termios.tcgetattr(port)

    assert found[4:6] == [termios.B115200, termios.B115200]
    assert found[2] & termios.HUPCL
    assert not found[3] & (termios.ECHO | termios.ICANON | termios.ISIG)
    os.close(port)


def test_a_port_that_another_has_open_keeps_its_settings(cooked: tuple[int, str]) -> None:
    first = open_serial(cooked[1])
    tty.setcbreak(first)
    settings = termios.tcgetattr(first)

    with pytest.raises(OSError, match="another process has it open"):
        open_serial(cooked[1])

    assert termios.tcgetattr(first) == settings
    os.close(first)


def test_what_is_no_port_is_an_error_and_nothing_stays_open(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    opened = len(list(Path("/proc/self/fd").iterdir()))

    for path in (tmp_path / "absent", tmp_path / "file", tmp_path):
        with pytest.raises(OSError, match=str(path)) as caught:
            open_serial(str(path))
        assert caught.value.errno in (errno.ENOENT, errno.ENOTTY, errno.EISDIR)
    with contextlib.suppress(ValueError):
        open_serial("a\0b")

    assert len(list(Path("/proc/self/fd").iterdir())) == opened
