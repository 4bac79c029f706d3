"""Files that nobody but their user can read, from their first byte on; and how a file comes to the disk."""

import os
from pathlib import Path
from typing import IO


def create(path: Path) -> IO[bytes]:
    """A new file with mode 0600, open for writing.

    Raises:
        OSError: It exists, or cannot be made.
    """
    return os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk.

    Raises:
        OSError: It cannot be done.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
