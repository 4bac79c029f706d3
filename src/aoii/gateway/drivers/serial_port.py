"""One serial port and its thread: bytes in, whole lines and frames out, answers back, for ever.

The port need not exist yet, may vanish and come back, and may be a symbolic link to a pseudo-terminal that is replaced.
Answers are written by the same thread, so nobody else ever waits for a port. It refuses to know what it carries, and
writes no answer after the instant up to which it is good.
"""

import contextlib
import math
import os
import random
import select
import termios
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence

import serial

from aoii.core.stream import Damaged, Frame, Line, Reader
from aoii.runtime import failpoints

BAUD = 115_200
CHUNK_BYTES = 4096
ANSWER_LIMIT = 64  # answers that wait for a port that takes nothing; the oldest gives way
BACKOFF_FIRST_S = 0.1
BACKOFF_LAST_S = 2.0
LOOK_S = 1.0  # how often an idle port is looked at: some adapters vanish without a hang-up
STOP_LIMIT_S = 5.0
STOPPED = "stopped"

Heard = Callable[[Sequence[Line | Frame | Damaged], float], None]


class SerialPort:
    """A port, from `start` to `stop`.

    Args:
        path: The device, or a link to it.
        on_heard: Called in the port's thread with what became whole, and the monotonic second at which its last byte
            was read.
        on_state: Called in the port's thread: True and no text when it was opened, False and why when that ended
            (STOPPED: by `stop`) or, once, when it cannot be opened.
        on_missed: Called in the port's thread for each answer that was not written because it would have come too late.
    """

    def __init__(
        self, path: str, on_heard: Heard, on_state: Callable[[bool, str], None], on_missed: Callable[[], None]
    ) -> None:
        self.path = path
        self._on_heard = on_heard
        self._on_state = on_state
        self._on_missed = on_missed
        self._answers: deque[tuple[bytes, float]] = deque(maxlen=ANSWER_LIMIT)
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for end in (self._wake_read, self._wake_write):  # not in `stop`: an answer may still come, to a number reused
            weakref.finalize(self, os.close, end)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"serial-{path}", daemon=True)
        self.is_open = False
        self.last_progress_s = time.monotonic()

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin; the port need not exist."""
        self._thread.start()

    def stop(self, limit_s: float = STOP_LIMIT_S) -> None:
        """Close the port and end the thread, or leave it behind after `limit_s` when `on_heard` hangs: `is_alive`."""
        self._stopping.set()
        self._wake()
        if self._thread.is_alive():
            self._thread.join(limit_s)

    def answer(self, data: bytes, before_s: float = math.inf) -> None:
        """Have `data` written, unless the monotonic second `before_s` has passed; never waits."""
        self._answers.append((data, before_s))
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # full: it is awake already
            os.write(self._wake_write, b"\0")

    def _run(self) -> None:
        backoff_s = BACKOFF_FIRST_S
        is_said = False
        while not self._stopping.is_set():
            self.last_progress_s = time.monotonic()
            self._answers.clear()  # they belong to the connection before
            try:
                with contextlib.closing(self._opened()) as port:
                    self.is_open = True
                    self._on_state(True, "")
                    backoff_s, is_said = BACKOFF_FIRST_S, True
                    reason = self._serve(port.fileno())
                    self.is_open = False
                    self._on_state(False, reason)
            except (OSError, ValueError, termios.error) as error:
                if not is_said:
                    self._on_state(False, str(error))
                    is_said = True
            self._stopping.wait(backoff_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
            backoff_s = min(2 * backoff_s, BACKOFF_LAST_S)

    def _opened(self) -> serial.Serial:
        # exclusive: a second reader would take every other byte
        return serial.Serial(self.path, BAUD, timeout=0, write_timeout=0, exclusive=True)

    def _serve(self, port: int) -> str:
        """Read and write until the port is gone; why it is."""
        reader = Reader()
        device = _device(os.fstat(port))
        unwritten = b""
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        looked_s = time.monotonic()
        try:
            while not self._stopping.is_set():
                self.last_progress_s = time.monotonic()
                poll.register(port, select.POLLIN | (select.POLLOUT if unwritten else 0))
                ready = dict(poll.poll(LOOK_S * 1000))
                if port in ready and ready[port] != select.POLLOUT:
                    chunk = os.read(port, CHUNK_BYTES)
                    if not chunk:
                        return "end of file"
                    read_s = time.monotonic()
                    self._on_heard(reader.feed(chunk), read_s)
                if self._wake_read in ready:
                    os.read(self._wake_read, CHUNK_BYTES)
                unwritten = self._write(port, unwritten)
                if time.monotonic() - looked_s >= LOOK_S:
                    looked_s = time.monotonic()
                    if _device(os.stat(self.path)) != device:  # noqa: PTH116 - beside fstat
                        return "another device took its name"
        except OSError as error:
            return str(error)
        return STOPPED

    def _write(self, port: int, data: bytes) -> bytes:
        """Write `data` and then the answers that wait; what the port did not take of the one begun."""
        while True:
            if not data:
                try:
                    data, before_s = self._answers.popleft()
                except IndexError:
                    return b""
                if time.monotonic() > before_s:
                    self._on_missed()
                    data = b""
                    continue
            try:
                failpoints.reach("before_radio_ack")
                data = data[os.write(port, data) :]
                failpoints.reach("after_radio_ack")
            except BlockingIOError:
                return data


def _device(stat: os.stat_result) -> tuple[int, int, int]:
    return stat.st_dev, stat.st_ino, stat.st_rdev
