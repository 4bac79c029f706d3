"""Mends the end of a CSV file that another program or a power cut left unfinished; removes no byte without keeping it.

After a power cut a file may end in NUL bytes, in a torn line, or both. What is removed is first appended to a file
beside it, whose name ends in `.set-aside`. A last line that only lacks its ending stays, and gets the ending.
"""

import logging
import os
from pathlib import Path
from typing import BinaryIO, Protocol

from aoii.runtime import metrics

log = logging.getLogger(__name__)

BLOCK_BYTES = 65536  # read at once, from the end of the file backwards
SHOWN_BYTES = 200  # of a line, in the log


class LineForm(Protocol):
    """How the lines of a file look."""

    @property
    def ending(self) -> str:
        """What ends a line."""

    def is_row(self, line: bytes) -> bool:
        """Whether a line without its ending is complete."""


def remove_nul_tail(file: BinaryIO, path: Path) -> None:
    """Remove the NUL bytes at the end of the file, however many there are."""
    size = file.seek(0, os.SEEK_END)
    end = _end_before_nuls(file, size)
    if end < size:
        _remove(file, path, end, "NUL bytes at the end")


def finish_last_line(file: BinaryIO, path: Path, form: LineForm) -> None:
    """Give a complete last line its ending, or remove one that is torn."""
    size = file.seek(0, os.SEEK_END)
    start = _start_of_last_line(file, size)
    if start == size:
        return
    file.seek(start)
    line = file.read(BLOCK_BYTES)  # a row is far shorter
    if not form.is_row(line.removesuffix(b"\r")):
        _remove(file, path, start, "torn last line")
        return
    ending = form.ending.encode()
    append(file, ending[1:] if line.endswith(b"\r") and form.ending == "\r\n" else ending)
    shown = line[-SHOWN_BYTES:].decode(errors="replace")
    log.warning(
        "the last line of the CSV file had no ending; check its last value",
        extra={"event": "csv_line_ended", "line": shown},
    )


def state_of(path: Path) -> tuple[int, int] | None:
    """Inode and length of a file, which change when another program replaces it or writes; None if there is none."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_size


def append(file: BinaryIO, data: bytes) -> None:
    """Append durably."""
    file.seek(0, os.SEEK_END)
    file.write(data)
    file.flush()
    os.fsync(file.fileno())


def _end_before_nuls(file: BinaryIO, size: int) -> int:
    """Length of the file without the NUL bytes at its end."""
    end = size
    while end > 0:
        start = max(0, end - BLOCK_BYTES)
        file.seek(start)
        kept = len(file.read(end - start).rstrip(b"\0"))
        end = start + kept
        if kept:
            break
    return end


def _start_of_last_line(file: BinaryIO, size: int) -> int:
    """Where the bytes after the last line feed begin; `size` if there are none."""
    end = size
    while end > 0:
        start = max(0, end - BLOCK_BYTES)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _remove(file: BinaryIO, path: Path, keep: int, what: str) -> None:
    """Cut the file off at `keep` bytes, after the rest has been kept."""
    aside = path.with_name(f"{path.name}.set-aside")
    size = file.seek(0, os.SEEK_END)
    file.seek(keep)
    with aside.open("ab") as kept:
        while block := file.read(BLOCK_BYTES):
            kept.write(block)
        kept.write(b"\n")
        kept.flush()
        os.fsync(kept.fileno())
    sync_folder(path.parent)
    file.truncate(keep)
    os.fsync(file.fileno())
    metrics.CSV_TORN.inc()
    log.warning(
        "the end of the CSV file was unreadable and is set aside",
        extra={"event": "csv_set_aside", "what": what, "bytes": size - keep, "at": keep, "file": str(aside)},
    )


def sync_folder(folder: Path) -> None:
    """Make the names of new files in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
