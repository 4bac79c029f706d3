"""Host twins of what a node is wired to: serial ports that others can open, and flash in a file."""

import asyncio
import contextlib
import os
import pty
import tty
from collections.abc import Callable
from pathlib import Path

from aoii.core.store import NUMBER_SLOTS, SLOT_BYTES

BACKLOG_SLOTS = 64
BACKLOG_LIMIT_BYTES = 1 << 20  # what waits for a slow reader; a real USB port would have dropped it long before
READ_BYTES = 4096


class SimulatedPort:
    """A pseudo-terminal whose far end is the serial port `link`.

    Unplugging removes the link and hangs up, as a USB adapter does; plugging in makes a new terminal of the same name.

    Args:
        link: Path that others open as a serial port.
        on_bytes: Called with whatever they wrote.
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
        """Whether others can open the port."""
        return self._ours is not None

    def plug(self) -> None:
        """Make the port appear; call it in the running event loop."""
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
        """Make the port vanish under those who have it open."""
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
        """Send to whoever has the port open; what does not fit in a bounded buffer is dropped whole and counted."""
        if self._ours is None or len(self._waiting) + len(data) > BACKLOG_LIMIT_BYTES:
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
    """A node's flash as one file of slots: numbers and backlog survive this process, not the machine's power.

    Args:
        path: The file; made when there is none.
        slots: How many records it holds.
    """

    def __init__(self, path: Path, slots: int = NUMBER_SLOTS + BACKLOG_SLOTS) -> None:
        self.slots = slots
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if os.fstat(self._file).st_size == 0:
            os.pwrite(self._file, b"\xff" * slots * SLOT_BYTES, 0)  # flash that was never written

    def read(self, slot: int) -> bytes:
        """What was written last; all ones when nothing ever was."""
        return os.pread(self._file, SLOT_BYTES, slot * SLOT_BYTES)

    def write(self, slot: int, record: bytes) -> None:
        """Keep `record`."""
        os.pwrite(self._file, record.ljust(SLOT_BYTES, b"\0"), slot * SLOT_BYTES)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)
