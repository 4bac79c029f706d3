"""Room on the disk that is kept back, so that an outbox on a full disk can still be emptied.

To delete a row SQLite must write, and on a full disk it cannot: nothing would ever leave again. So a file of a few
megabytes is kept beside the outbox and given up when the disk is full; as long as it is missing, nothing is accepted.
"""

import contextlib
import os
from pathlib import Path

SIZE_BYTES = 4 << 20  # a write-ahead log at its checkpoint, 1,000 pages of 4 kB


class DiskReserve:
    """The file that keeps the room."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.is_held = False

    def is_needed(self) -> bool:
        """Whether the disk has less free than is kept back."""
        return self._free_bytes() < SIZE_BYTES

    def take(self) -> None:
        """Keep the room back, if there is twice as much; otherwise `is_held` stays False."""
        if self.is_held:
            return
        try:
            if self._free_bytes() < 2 * SIZE_BYTES and not self._path.exists():
                return
            with self._path.open("ab") as file:
                os.posix_fallocate(file.fileno(), 0, SIZE_BYTES)
        except OSError:
            self.give()
        else:
            self.is_held = True

    def give(self) -> None:
        """Give the room up."""
        self.is_held = False
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _free_bytes(self) -> int:
        disk = os.statvfs(self._path.parent)
        return disk.f_bavail * disk.f_frsize
