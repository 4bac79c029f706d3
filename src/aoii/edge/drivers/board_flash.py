"""The node's memory without power: slots for counters and readings, double buffers, and the sleep store.

littlefs promises that a write is done as a whole or not at all. This code does not depend on it: slots have the CRCs of
`core.store`, a double buffer writes two files in turn, and the content of RTC memory is used once. Wear of the flash:
docs/explanation/board.md.
"""

import struct
from binascii import crc32

from ...core.store import NUMBER_SLOTS, SLOT_BYTES

MYPY = False
if MYPY:
    from .board_interfaces import Disk, Memory

RING_SLOTS = 126  # with the slots for numbers 3,072 bytes, which fit into one block of 4 kB
SLOTS_FILE = "slots.bin"
NO_SUCH_FILE = 2  # ENOENT
RTC_BYTES = 2048  # MicroPython's RTC().memory() on an ESP32

_HEAD = "<IHI"  # sequence number, length, CRC of both and of the content
_HEAD_BYTES = struct.calcsize(_HEAD)


class Files:
    """Files in the board's file system, read and written in place.

    Args:
        folder: Their folder, without a slash at its end.
    """

    def __init__(self, folder: str = "") -> None:
        self._folder = folder

    def read(self, name: str, at: int, size: int) -> bytes:
        """Up to `size` bytes from position `at`; fewer at the end of the file, none when there is no such file.

        Raises:
            OSError: The file cannot be read.
        """
        try:
            with open(f"{self._folder}/{name}", "rb") as file:  # noqa: PTH123 - MicroPython has no pathlib
                file.seek(at)
                return file.read(size)
        except OSError as error:
            if error.args[0] != NO_SUCH_FILE:  # the file may hold numbers in use: it must not pass for a new one
                raise
            return b""

    def write(self, name: str, at: int, content: bytes) -> None:
        """Replace the bytes from position `at` on; create the file when it is missing.

        Raises:
            OSError: The file cannot be written. Its content stays.
        """
        path = f"{self._folder}/{name}"
        try:
            file = open(path, "r+b")  # noqa: PTH123, SIM115
        except OSError as error:
            if error.args[0] != NO_SUCH_FILE:  # the file may exist: creating it would empty it
                raise
            file = open(path, "w+b")  # noqa: PTH123, SIM115
        with file:
            file.seek(at)
            file.write(content)


class FlashStore:
    """A node's counters and readings in one file of slots, on a board and for a simulated node.

    The file is read once, at the start: opening it for each of 128 slots would cost more energy than the sample.

    Args:
        disk: The board's files.
        name: Name of the file.

    Raises:
        OSError: The file cannot be read or made.
    """

    slots = NUMBER_SLOTS + RING_SLOTS

    def __init__(self, disk: "Disk", name: str = SLOTS_FILE) -> None:
        self._disk = disk
        self._name = name
        self._content = bytearray(disk.read(name, 0, self.slots * SLOT_BYTES))
        missing = self.slots * SLOT_BYTES - len(self._content)
        if missing:  # a new file, one of version 0.1 with 66 slots, or a write was cut short; its content stays
            disk.write(name, len(self._content), b"\xff" * missing)
            self._content += b"\xff" * missing

    def read(self, slot: int) -> bytes:
        """The record written last; all ones before the first."""
        return bytes(self._content[slot * SLOT_BYTES : (slot + 1) * SLOT_BYTES])

    def write(self, slot: int, record: bytes) -> None:
        """Store `record`; OSError: it cannot be written, and the record before it stays."""
        at = slot * SLOT_BYTES
        record += bytes(SLOT_BYTES - len(record))
        self._disk.write(self._name, at, record)
        self._content[at : at + SLOT_BYTES] = record


class DoubleBuffer:
    """One content in two files that are written in turn, so that a power cut spoils one at most.

    Args:
        disk: The board's files.
        name: Name of both files, without their number.
    """

    def __init__(self, disk: "Disk", name: str) -> None:
        self._disk = disk
        self._name = name
        self._sequence = 0  # of the newest whole file, as far as known

    def load(self) -> bytes:
        """The content saved last; empty when no file is whole."""
        found = b""
        for number in range(2):
            try:
                sequence, content = self._read(number)
            except OSError:  # a file that cannot be read is not whole; the other one may be
                continue
            if sequence > self._sequence or (sequence == self._sequence and content):
                self._sequence, found = sequence, content
        return found

    def save(self, content: bytes) -> None:
        """Store `content`, at most 65535 bytes; a power cut meanwhile leaves what was stored before.

        Raises:
            OSError: The file cannot be written; what was stored before stays.
        """
        if not self._sequence:
            self.load()
        sequence = self._sequence + 1
        head = struct.pack("<IH", sequence, len(content))
        check = struct.pack("<I", crc32(content, crc32(head)))
        self._disk.write(f"{self._name}.{sequence & 1}", 0, head + check + content)
        self._sequence = sequence

    def _read(self, number: int) -> tuple[int, bytes]:
        """Sequence number and content of one file; (0, empty) when it is not whole."""
        name = f"{self._name}.{number}"
        head = self._disk.read(name, 0, _HEAD_BYTES)
        if len(head) == _HEAD_BYTES:
            sequence, size, check = struct.unpack(_HEAD, head)
            content = self._disk.read(name, _HEAD_BYTES, size)
            if len(content) == size and crc32(content, crc32(head[:6])) == check and sequence & 1 == number:
                return sequence, content
        return 0, b""


class SleepStore:
    """What a deep sleep carries over: in RTC memory, or in flash when it does not fit.

    `pop` empties it. So a reset that does not end a sleep finds nothing and starts from the flash, and no number
    is used twice.

    Args:
        memory: RTC memory.
        buffer: For content that does not fit.
        limit: Size of RTC memory, bytes.

    Attributes:
        spilled: How often the flash was needed.
    """

    def __init__(self, memory: "Memory", buffer: "DoubleBuffer", limit: int = RTC_BYTES) -> None:
        self._memory = memory
        self._buffer = buffer
        self._limit = limit
        self.spilled = 0

    def save(self, content: bytes) -> None:
        """Store `content` for one sleep; OSError: the flash cannot be written."""
        check = struct.pack("<I", crc32(content))
        if len(content) + 5 <= self._limit:
            self._memory.memory(b"R" + check + content)  # R: the content is here; F: in flash
        else:
            self._buffer.save(content)
            self._memory.memory(b"F" + check)
            self.spilled += 1

    def pop(self) -> bytes:
        """Remove and return the stored content; empty when there is none, or it is damaged."""
        stored = bytes(self._memory.memory())
        self._memory.memory(b"")
        if len(stored) < 5:
            return b""
        content = stored[5:] if stored[:1] == b"R" else self._buffer.load()
        return content if struct.pack("<I", crc32(content)) == stored[1:5] else b""
