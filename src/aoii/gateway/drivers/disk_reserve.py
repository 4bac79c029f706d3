"""A file that reserves room on the disk, so that an outbox on a full disk can still be emptied.

SQLite must write to delete a row. On a full disk it cannot, and no reading could ever leave the outbox. So a file of a
few megabytes lies beside the outbox, and is deleted when the disk is full. While it is missing, no reading is accepted.
"""

import contextlib
import os
from pathlib import Path

SIZE_BYTES = 4 << 20  # room for a write-ahead log up to its checkpoint: 1,000 pages of 4 kB


class DiskReserve:
    """The file, created by `acquire` and deleted by `release`; `is_held` says whether it is there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.is_held = False

    def is_needed(self) -> bool:
        """Whether the disk has less than SIZE_BYTES free, so that the reserve must be released."""
        return self._free_bytes() < SIZE_BYTES

    def acquire(self) -> None:
        """Create the file if the disk has twice its size free, or take over the one of an earlier run.

        If that fails, there is no file, and `is_held` stays false.
        """
        if self.is_held:
            return
        try:
            if self._free_bytes() < 2 * SIZE_BYTES and not self._path.exists():
                return
            with self._path.open("ab") as file:
                os.posix_fallocate(file.fileno(), 0, SIZE_BYTES)
        except OSError:
            self.release()
        else:
            self.is_held = True

    def release(self) -> None:
        """Delete the file."""
        self.is_held = False
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _free_bytes(self) -> int:
        disk = os.statvfs(self._path.parent)
        return disk.f_bavail * disk.f_frsize
