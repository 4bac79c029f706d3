"""One serial port and its thread: bytes in, whole lines and frames out, and answers back.

The port need not exist yet, may vanish and come back, and may be a symbolic link to a pseudo-terminal that is replaced.
Answers are written by this thread, so no other thread waits for a port. An answer that is too late is not written.
"""

import contextlib
import math
import os
import random
import select
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence

from aoii.core.stream import Damaged, Frame, Line, Reader
from aoii.runtime import failpoints
from aoii.runtime.serial_line import open_serial
from aoii.runtime.station import PartThread

CHUNK_BYTES = 4096
ANSWER_LIMIT = 64  # answers that wait for a blocked port; one more replaces the oldest
BACKOFF_FIRST_S = 0.1
BACKOFF_LAST_S = 2.0
CHECK_S = 1.0  # between two checks of the device: some adapters vanish without a hang-up
STOP_LIMIT_S = 5.0
STOPPED = "stopped"  # the reason why a port was closed by `stop`

OnItems = Callable[[Sequence[Line | Frame | Damaged], float], None]


class SerialPort:
    """A port, kept open from `start` to `stop`.

    Args:
        path: The device, or a link to it.
        on_items: Called in the port's thread with the lines and frames that are complete, and the monotonic second at
            which their last byte was read.
        on_state: Called in the port's thread: with True and no text when the port was opened; with False and the reason
            when it was closed (STOPPED: by `stop`), and each time that it cannot be opened.
        on_late: Called in the port's thread for each answer that was too late to be written.

    Attributes:
        thread: The port's thread.
        is_open: Whether the port is open now.
    """

    def __init__(
        self, path: str, on_items: OnItems, on_state: Callable[[bool, str], None], on_late: Callable[[], None]
    ) -> None:
        self.path = path
        self._on_items = on_items
        self._on_state = on_state
        self._on_late = on_late
        self._answers: deque[tuple[bytes, float]] = deque(maxlen=ANSWER_LIMIT)
        self._later: deque[tuple[float, Callable[[], bytes | None]]] = deque(maxlen=ANSWER_LIMIT)  # by their instant
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # Not closed in `stop`: the number may be in use again, and a later `answer` would write there.
        for end in (self._wake_read, self._wake_write):
            weakref.finalize(self, os.close, end)
        self._stopping = threading.Event()
        self.thread = PartThread(f"thread of {path}", self._run)
        self.is_open = False

    def start(self) -> None:
        """Begin; the port need not exist."""
        self.thread.start()

    def stop(self, limit_s: float = STOP_LIMIT_S) -> None:
        """Close the port and end the thread; leave the thread behind after `limit_s` if `on_items` hangs."""
        self._stopping.set()
        self._wake()
        self.thread.join(limit_s)

    def answer(self, data: bytes, before_s: float = math.inf) -> None:
        """Have `data` written soon, but not after the monotonic second `before_s`; never waits.

        It is dropped if the port is away or is opened again first, or if ANSWER_LIMIT later answers wait.
        """
        self._answers.append((data, before_s))
        self._wake()

    def answer_later(self, make: Callable[[], bytes | None], wait_s: float) -> None:
        """Call `make` in the port's thread after so many seconds, always the same for a port, and write what it gives.

        It gives None if there is nothing to say any more. Otherwise as `answer`.
        """
        self._later.append((time.monotonic() + wait_s, make))
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # the pipe is full: the thread is awake already
            os.write(self._wake_write, b"\0")

    def _run(self) -> None:
        backoff_s = BACKOFF_FIRST_S
        while not self._stopping.is_set():
            self.thread.record_progress()
            self._later.clear()
            self._answers.clear()  # they belong to the previous connection
            try:
                port = open_serial(self.path)
            except (OSError, ValueError) as error:
                self._on_state(False, str(error))
            else:
                backoff_s = BACKOFF_FIRST_S
                try:
                    self.is_open = True
                    self._on_state(True, "")
                    reason = self._serve(port)
                finally:
                    self.is_open = False
                    os.close(port)
                self._on_state(False, reason)
            self._stopping.wait(backoff_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
            backoff_s = min(2 * backoff_s, BACKOFF_LAST_S)

    def _serve(self, port: int) -> str:
        """Read and write until the port is gone or `stop` is called; return the reason."""
        reader = Reader()
        device = _device(os.fstat(port))
        unwritten = b""
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        checked_s = time.monotonic()
        try:
            while not self._stopping.is_set():
                self.thread.record_progress()
                poll.register(port, select.POLLIN | (select.POLLOUT if unwritten else 0))
                ready = dict(poll.poll(1000 * self._wait_s()))
                if port in ready and ready[port] != select.POLLOUT:  # bytes, or a hang-up, which the read reports
                    chunk = os.read(port, CHUNK_BYTES)
                    if not chunk:
                        return "end of file"
                    read_s = time.monotonic()
                    self._on_items(reader.feed(chunk), read_s)
                if self._wake_read in ready:
                    os.read(self._wake_read, CHUNK_BYTES)
                self._make_due_answers()
                unwritten = self._write(port, unwritten)
                if time.monotonic() - checked_s >= CHECK_S:
                    checked_s = time.monotonic()
                    if _device(os.stat(self.path)) != device:  # noqa: PTH116 - beside fstat
                        return "another device took its name"
        except OSError as error:
            return str(error)
        return STOPPED

    def _wait_s(self) -> float:
        """How long there is nothing to do unless something happens."""
        if not self._later:
            return CHECK_S
        return min(CHECK_S, max(0.0, self._later[0][0] - time.monotonic()) + 0.001)  # poll rounds down to milliseconds

    def _make_due_answers(self) -> None:
        while self._later and self._later[0][0] <= time.monotonic():
            _, make = self._later.popleft()
            data = make()
            if data is not None:
                self._answers.append((data, math.inf))

    def _write(self, port: int, data: bytes) -> bytes:
        """Write `data` and then the answers that wait; return the rest that the port does not take now."""
        while data or self._answers:
            if not data:
                data, before_s = self._answers.popleft()
                if time.monotonic() > before_s:
                    self._on_late()
                    data = b""
                    continue
            try:
                failpoints.reach("before_radio_ack")
                data = data[os.write(port, data) :]
                failpoints.reach("after_radio_ack")
            except BlockingIOError:
                break
        return data


def _device(stat: os.stat_result) -> tuple[int, int, int]:
    return stat.st_dev, stat.st_ino, stat.st_rdev
