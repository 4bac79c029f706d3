"""The serial port over pseudo-terminals: absent, unplugged, replaced, busy, and never late."""

import contextlib
import os
import pty
import select
import time
import tty
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aoii.core.stream import Damaged, Frame, Line, encode_usb
from aoii.gateway.drivers.serial_port import ANSWER_LIMIT, SerialPort
from servers import pty_port, until


@dataclass
class Reports:
    """Collects what a port reports."""

    items: list[Line | Frame | Damaged] = field(default_factory=list)
    states: list[bool] = field(default_factory=list)
    read_s: list[float] = field(default_factory=list)
    late: int = 0

    def on_items(self, items: Sequence[Line | Frame | Damaged], read_s: float) -> None:
        self.items += items
        self.read_s.append(read_s)

    def on_state(self, is_open: bool, reason: str) -> None:
        assert bool(reason) != is_open
        self.states.append(is_open)

    def on_late(self) -> None:
        self.late += 1


@contextlib.contextmanager
def listening(path: Path, reports: Reports) -> Iterator[SerialPort]:
    port = SerialPort(str(path), reports.on_items, reports.on_state, reports.on_late)
    port.start()
    try:
        yield port
    finally:
        port.stop()
        assert not port.thread.is_alive()


def read_within(descriptor: int, timeout_s: float) -> bytes:
    ready, _, _ = select.select([descriptor], [], [], timeout_s)
    return os.read(descriptor, 4096) if ready else b""


def test_lines_and_frames_come_out_whole_and_answers_go_back(link: Path) -> None:
    reports = Reports()
    with pty_port(link) as far, listening(link, reports) as port:
        until(lambda: port.is_open)

        os.write(far, b"Received: 21.5")
        os.write(far, b"0,40.00\n" + encode_usb(b"U", b"content"))
        until(lambda: len(reports.items) == 2)
        port.answer(b"one\n")
        port.answer(b"two\n", time.monotonic() + 5)

        assert reports.items == [Line("Received: 21.50,40.00"), Frame(b"U", b"content")]
        assert 0 <= time.monotonic() - reports.read_s[-1] < 15
        until(lambda: read_within(far, 1).endswith(b"two\n"))
    assert reports.states == [True, False]


def test_an_answer_that_would_come_too_late_is_not_written(link: Path) -> None:
    reports = Reports()
    with pty_port(link) as far, listening(link, reports) as port:
        until(lambda: port.is_open)

        port.answer(b"late\n", time.monotonic() - 0.001)
        port.answer(b"good\n", time.monotonic() + 5)

        assert read_within(far, 5) == b"good\n"
        assert reports.late == 1


def test_a_port_that_does_not_exist_yet_is_opened_when_it_comes(link: Path) -> None:
    reports = Reports()
    with listening(link, reports) as port:
        until(lambda: reports.states == [False] * 3)  # each try reports; its owner logs it once

        with pty_port(link):
            until(lambda: port.is_open)


def test_an_adapter_that_is_unplugged_and_plugged_in_again_goes_on(link: Path) -> None:
    reports = Reports()
    with listening(link, reports) as port:
        with pty_port(link) as far:
            until(lambda: port.is_open)
            os.write(far, b"torn li")
            until(lambda: reports.read_s)
        until(lambda: not port.is_open)
        port.answer(b"too late\n")

        with pty_port(link) as far:
            until(lambda: port.is_open)
            os.write(far, b"whole line\n")
            until(lambda: reports.items)

            assert reports.items == [Line("whole line")]
            port.answer(b"for you\n")
            assert read_within(far, 5) == b"for you\n"


def test_a_link_that_points_to_another_device_is_followed_even_if_the_old_one_lives(link: Path) -> None:
    reports = Reports()
    with pty_port(link), listening(link, reports) as port:
        until(lambda: port.is_open)
        ours, theirs = pty.openpty()
        tty.setraw(theirs)
        new = link.with_name("new")
        new.symlink_to(os.ttyname(theirs))
        new.rename(link)

        until(lambda: reports.states == [True, False, True])

        os.write(ours, b"hello\n")
        until(lambda: reports.items == [Line("hello")])
        os.close(ours)
        os.close(theirs)


def test_a_port_that_takes_nothing_does_not_stop_what_comes_in_or_grow(link: Path) -> None:
    reports = Reports()
    with pty_port(link) as far, listening(link, reports) as port:
        until(lambda: port.is_open)
        for _ in range(10 * ANSWER_LIMIT):
            port.answer(bytes(4096))

        os.write(far, b"still here\n")

        until(lambda: reports.items == [Line("still here")])
    assert not port.thread.is_alive()


def test_a_second_reader_is_kept_away(link: Path) -> None:
    first, second = Reports(), Reports()
    with pty_port(link), listening(link, first) as port:
        until(lambda: port.is_open)

        with listening(link, second) as other:
            until(lambda: second.states == [False])
            assert not other.is_open


def test_a_later_answer_is_made_when_it_is_due_and_may_turn_out_to_be_nothing(link: Path) -> None:
    reports = Reports()
    with pty_port(link) as far, listening(link, reports) as port:
        until(lambda: port.is_open)
        asked_s = time.monotonic()
        made_s: list[float] = []

        def make(data: bytes | None) -> bytes | None:
            made_s.append(time.monotonic() - asked_s)
            return data

        port.answer_later(lambda: make(None), 0.3)
        port.answer_later(lambda: make(b"later\n"), 0.3)
        port.answer(b"now\n")

        assert read_within(far, 5) == b"now\n"
        assert read_within(far, 5) == b"later\n"
        assert min(made_s) >= 0.3
        assert len(made_s) == 2
