"""Files that nobody but their user can read, from their first byte on; and how a file comes to the disk."""

import os
import secrets
from pathlib import Path
from typing import IO


def create(path: Path) -> IO[bytes]:
    """A new file with mode 0600, open for writing.

    Raises:
        OSError: It exists, or cannot be made.
    """
    return os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")


def write(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a new file, and have it on the disk; it gets a wider mode only when it is complete.

    Raises:
        OSError: It exists, or cannot be written; then it is not there.
    """
    with create(path) as file:
        try:
            file.write(content)
            os.fchmod(file.fileno(), mode)  # whatever the umask is
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            path.unlink()
            raise
    sync(path.parent)


def replace(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Put a file in the place of another, at once, and have it on the disk; it keeps its owner.

    Raises:
        OSError: It cannot be written; what was there stays.
    """
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        write(new, content, mode)
        _keep_owner(path, new)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    sync(path.parent)


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


def _keep_owner(path: Path, new: Path) -> None:
    """Give a file that is to replace another to its owner: what root writes, a station's user could not read."""
    if os.geteuid() == 0 and path.exists():
        old = path.stat()
        os.chown(new, old.st_uid, old.st_gid)
