"""Serial ports on a host that other programs can open, for simulated nodes and their receiver."""

import asyncio
import contextlib
import os
import pty
import tty
from collections.abc import Callable
from pathlib import Path

BUFFER_LIMIT_BYTES = 1 << 20  # for a slow reader; a real USB port drops bytes much earlier
READ_BYTES = 4096


class SimulatedPort:
    """A pseudo-terminal whose far end is the serial port `link`.

    `unplug` removes the link and hangs up, as a USB adapter does; `plug` makes a new terminal of the same name.

    Args:
        link: Path that other programs open as a serial port.
        on_bytes: Called with the bytes that they write.

    Attributes:
        dropped_bytes: Number of bytes that were not sent.
    """

    def __init__(self, link: Path, on_bytes: Callable[[bytes], None] | None = None) -> None:
        self._link = link
        self._on_bytes = on_bytes
        self._ours: int | None = None
        self._theirs: int | None = None
        self._waiting = bytearray()
        self.dropped_bytes = 0

    @property
    def is_plugged(self) -> bool:
        """Whether other programs can open the port."""
        return self._ours is not None

    def plug(self) -> None:
        """Make the port appear; must be called in a running event loop."""
        if self._ours is not None:
            return
        self._ours, self._theirs = pty.openpty()
        tty.setraw(self._theirs)
        os.set_blocking(self._ours, False)
        asyncio.get_running_loop().add_reader(self._ours, self._read, self._ours)
        self._link.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._link.with_name(f".{self._link.name}.new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(os.ttyname(self._theirs))
        fresh.replace(self._link)

    def unplug(self) -> None:
        """Make the port vanish, also for programs that have it open."""
        if self._ours is None or self._theirs is None:
            return
        self._link.unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._ours)
        loop.remove_writer(self._ours)
        os.close(self._theirs)
        os.close(self._ours)
        self._ours = self._theirs = None
        self._waiting.clear()

    def write(self, data: bytes) -> None:
        """Send to the program that has the port open; drop and count `data` when the buffer is full."""
        if self._ours is None or len(self._waiting) + len(data) > BUFFER_LIMIT_BYTES:
            self.dropped_bytes += len(data)
            return
        self._waiting += data
        self._flush()

    def _flush(self) -> None:
        if self._ours is None:
            return
        loop = asyncio.get_running_loop()
        try:
            written = os.write(self._ours, self._waiting) if self._waiting else 0
        except BlockingIOError:
            written = 0
        del self._waiting[:written]
        if self._waiting:
            loop.add_writer(self._ours, self._flush)
        else:
            loop.remove_writer(self._ours)

    def _read(self, ours: int) -> None:
        with contextlib.suppress(BlockingIOError):
            data = os.read(ours, READ_BYTES)
            if data and self._on_bytes is not None:
                self._on_bytes(data)
