"""The node's flash as files: slots for numbers and backlog, a buffer for the learner, and what a sleep must not forget.

Nothing here believes that a write is whole or not at all, though littlefs promises it: slots carry the check sums of
`core.store`, a buffer writes two files in turn, and what lay in RTC memory is used once. What a year of writing does to
the flash: docs/explanation/board.md.
"""

import struct
from binascii import crc32

from ...core.store import NUMBER_SLOTS, SLOT_BYTES

MYPY = False
if MYPY:
    from .board_interfaces import Disk, Memory

BACKLOG_SLOTS = 64
SLOTS_FILE = "slots.bin"
NO_SUCH_FILE = 2  # ENOENT
RTC_BYTES = 2048  # MicroPython's RTC().memory() on an ESP32

_SHELF = "<IHI"  # sequence number, length, check sum of both and of the content
_SHELF_BYTES = struct.calcsize(_SHELF)


class Files:
    """Files in the board's file system, read and written in place.

    Args:
        folder: Where they lie, without a slash at its end.
    """

    def __init__(self, folder: str = "") -> None:
        self._folder = folder

    def read(self, name: str, at: int, size: int) -> bytes:
        """Up to `size` bytes from position `at`; fewer at the end, none when there is no such file."""
        try:
            with open(f"{self._folder}/{name}", "rb") as file:  # noqa: PTH123 - MicroPython has no pathlib
                file.seek(at)
                return file.read(size)
        except OSError:
            return b""

    def write(self, name: str, at: int, content: bytes) -> None:
        """Replace the bytes from position `at` on; the file is made when it is not there.

        Raises:
            OSError: It cannot be written. What was in it stays.
        """
        path = f"{self._folder}/{name}"
        try:
            file = open(path, "r+b")  # noqa: PTH123, SIM115
        except OSError as error:
            if error.args[0] != NO_SUCH_FILE:  # it may be there: making it would empty it
                raise
            file = open(path, "w+b")  # noqa: PTH123, SIM115
        with file:
            file.seek(at)
            file.write(content)


class FlashStore:
    """A node's numbers and backlog in one file of slots; the same as `host.FileStore`.

    The file is read once, at the start: opening it for each of 66 slots would cost more than the sample.

    Args:
        disk: The board's files.
        slots: How many records it holds.
    """

    def __init__(self, disk: "Disk", slots: int = NUMBER_SLOTS + BACKLOG_SLOTS) -> None:
        self.slots = slots
        self._disk = disk
        self._content = disk.read(SLOTS_FILE, 0, slots * SLOT_BYTES)
        missing = slots * SLOT_BYTES - len(self._content)
        if missing:  # it is new, or its first writing was cut; what is there stays
            disk.write(SLOTS_FILE, len(self._content), b"\xff" * missing)
            self._content += b"\xff" * missing

    def read(self, slot: int) -> bytes:
        """What was written last; all ones when nothing ever was."""
        return self._content[slot * SLOT_BYTES : (slot + 1) * SLOT_BYTES]

    def write(self, slot: int, record: bytes) -> None:
        """Keep `record`."""
        at = slot * SLOT_BYTES
        record += bytes(SLOT_BYTES - len(record))
        self._disk.write(SLOTS_FILE, at, record)
        self._content = self._content[:at] + record + self._content[at + SLOT_BYTES :]


class DoubleBuffer:
    """One content that survives the power: two files, written in turn, so that the one before is always whole.

    Args:
        disk: The board's files.
        name: What both are called, without their number.
    """

    def __init__(self, disk: "Disk", name: str) -> None:
        self._disk = disk
        self._name = name
        self._sequence = 0  # of the newest whole one, as far as looked for

    def load(self) -> bytes:
        """What was saved last; empty when nothing whole is there."""
        found = b""
        for number in range(2):
            sequence, content = self._read(number)
            if sequence > self._sequence or (sequence == self._sequence and content):
                self._sequence, found = sequence, content
        return found

    def save(self, content: bytes) -> None:
        """Keep `content`, at most 65535 bytes; a power cut leaves the one before."""
        if not self._sequence:
            self.load()
        sequence = self._sequence + 1
        head = struct.pack("<IH", sequence, len(content))
        check = struct.pack("<I", crc32(content, crc32(head)))
        self._disk.write(f"{self._name}.{sequence & 1}", 0, head + check + content)
        self._sequence = sequence

    def _read(self, number: int) -> tuple[int, bytes]:
        """Sequence number and content of one of the two; (0, empty) when it is not whole."""
        name = f"{self._name}.{number}"
        head = self._disk.read(name, 0, _SHELF_BYTES)
        if len(head) == _SHELF_BYTES:
            sequence, size, check = struct.unpack(_SHELF, head)
            content = self._disk.read(name, _SHELF_BYTES, size)
            if len(content) == size and crc32(content, crc32(head[:6])) == check and sequence & 1 == number:
                return sequence, content
        return 0, b""


class SleepStore:
    """What the board lays down before a sleep and takes up after it: in RTC memory, or in flash when it is too much.

    Taking it up empties it: a reset that is no end of a sleep finds nothing, and begins from the flash, so that no
    number is used a second time.

    Args:
        memory: RTC memory.
        buffer: For what does not fit.
        limit: Bytes of RTC memory.
    """

    def __init__(self, memory: "Memory", buffer: "DoubleBuffer", limit: int = RTC_BYTES) -> None:
        self._memory = memory
        self._shelf = buffer
        self._limit = limit
        self.spilled = 0  # how often the flash was needed

    def save(self, content: bytes) -> None:
        """Keep `content` through one sleep."""
        check = struct.pack("<I", crc32(content))
        if len(content) + 5 <= self._limit:
            self._memory.memory(b"R" + check + content)
        else:
            self._shelf.save(content)
            self._memory.memory(b"F" + check)
            self.spilled += 1

    def take(self) -> bytes:
        """What was laid down, once; empty when there is nothing whole."""
        stored = bytes(self._memory.memory())
        self._memory.memory(b"")
        if len(stored) < 5:
            return b""
        content = stored[5:] if stored[:1] == b"R" else self._shelf.load()
        return content if struct.pack("<I", crc32(content)) == stored[1:5] else b""
