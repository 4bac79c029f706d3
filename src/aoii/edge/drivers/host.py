"""A node's hardware on a host: serial ports that other programs can open, and flash in a file."""

import asyncio
import contextlib
import os
import pty
import tty
from collections.abc import Callable
from pathlib import Path

from aoii.core.store import NUMBER_SLOTS, SLOT_BYTES

BACKLOG_SLOTS = 64
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
        """Make the port appear; must be called in the running event loop."""
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


class FileStore:
    """A node's flash as one file of slots: counters and backlog survive the process, but not a power cut.

    Args:
        path: The file; created when there is none.
        slots: Number of records.
    """

    def __init__(self, path: Path, slots: int = NUMBER_SLOTS + BACKLOG_SLOTS) -> None:
        self.slots = slots
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if os.fstat(self._file).st_size == 0:
            os.pwrite(self._file, b"\xff" * slots * SLOT_BYTES, 0)  # flash that was never written

    def read(self, slot: int) -> bytes:
        """The record written last; all ones before the first."""
        return os.pread(self._file, SLOT_BYTES, slot * SLOT_BYTES)

    def write(self, slot: int, record: bytes) -> None:
        """Store `record`."""
        os.pwrite(self._file, record.ljust(SLOT_BYTES, b"\0"), slot * SLOT_BYTES)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
