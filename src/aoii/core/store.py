"""What a node must not forget when the power goes: which numbers it may have used, and readings not yet delivered.

Everything lies in slots of SLOT_BYTES: two for the numbers, the rest a ring of readings. The driver below (`Store` in
`shapes`) only reads and writes slots; every record carries a CRC, so a slot whose writing was cut short counts as
empty. Wear: a reading is written once, when it is taken in, and its slot is cleared once, when it is delivered;
clearing writes zeros, which flash takes without erasing. It refuses to know when a reading is sent.
"""

import struct
from binascii import crc32
from collections import namedtuple

from . import packed_fields
from .errors import InternalError, UnavailableError

MYPY = False
if MYPY:
    from .interfaces import Store

SLOT_BYTES = 24
NUMBER_SLOTS = 2  # written in turn, so that the older record survives a power cut in the newer one's write
BLOCK = 64  # numbers reserved at once: a node that sends 400 frames a day writes 6 times, flash lasts 100,000

_NUMBERS = "<BHHII"  # mark, node, epoch, first frame number and first event counter not yet reserved
_READING = "<BHIhHIBI"  # mark, epoch, counter, temperature, humidity, Unix second (0: unknown), flags, tick
_NUMBERS_MARK = 0x4E
_READING_MARK = 0x54
_TICK_MS = 64  # unit of the tick in a record: 32 bits of it are 8 years

_NUMBERS_FORM = "<IIIIIB"
_NUMBERS_NAMES = ("_frame", "_frame_limit", "_counter", "_counter_limit", "first_counter", "_slot")
_FREE = b"\0" * SLOT_BYTES


class RamStore:
    """Slots that only last as long as the object: for tests and simulation."""

    def __init__(self, slots: int = NUMBER_SLOTS + 64) -> None:
        self.slots = slots
        self._records: dict[int, bytes] = {}

    def read(self, slot: int) -> bytes:
        """What was written last; empty when nothing ever was."""
        return self._records.get(slot, b"")

    def write(self, slot: int, record: bytes) -> None:
        """Keep `record`."""
        self._records[slot] = record


def _seal(record: bytes) -> bytes:
    return record + struct.pack("<I", crc32(record))


def _unseal(stored: bytes, form: str, mark: int) -> tuple[int, ...] | None:
    """The fields of a record after its mark, None when the slot holds no whole record of this kind."""
    size = struct.calcsize(form)
    record = stored[:size]
    if len(stored) < size + 4 or record[0] != mark or stored[size : size + 4] != struct.pack("<I", crc32(record)):
        return None
    return struct.unpack(form, record)[1:]


class CounterAllocator:
    """Frame numbers and event counters that never repeat within an epoch, whenever the power goes.

    They are reserved in blocks: written to the store before the first of a block is used. After a restart the rest of
    the block is skipped.

    Attributes:
        first_counter: The first event counter since the power came.

    Raises:
        UnavailableError: Both number records are damaged, which no power cut does: numbers might repeat.
    """

    def __init__(self, store: "Store", node: int, epoch: int) -> None:
        self._store = store
        self._node = node
        self._epoch = epoch
        self._slot = 0  # where the next record goes: never over the newest
        self._frame = self._counter = 1  # 0 is no number, so that a peer may start with it
        blank = 0
        for slot in range(NUMBER_SLOTS):
            stored = store.read(slot)
            fields = _unseal(stored, _NUMBERS, _NUMBERS_MARK)
            if fields is None:
                blank += stored == b"\xff" * len(stored) or stored == bytes(len(stored))
                continue
            blank = NUMBER_SLOTS
            # Neither number ever falls, and either may stand still: the larger sum is the newer record.
            if fields[:2] == (node, epoch) and fields[2] + fields[3] > self._frame + self._counter:
                self._frame, self._counter = fields[2:]
                self._slot = 1 - slot
        if not blank:
            raise UnavailableError(
                f"node {node}: both records of its numbers are damaged; provision it again, with an epoch above {epoch}"
            )
        self._frame_limit, self._counter_limit = self._frame, self._counter
        self.first_counter = self._counter

    def next_frame(self) -> int:
        """A frame number larger than any before."""
        if self._frame == self._frame_limit:
            self._reserve()
        self._frame += 1
        return self._frame - 1

    def next_counter(self) -> int:
        """An event counter larger than any before."""
        if self._counter == self._counter_limit:
            self._reserve()
        self._counter += 1
        return self._counter - 1

    def dump(self) -> bytes:
        """Where the numbers stand."""
        return packed_fields.dump(self, _NUMBERS_FORM, _NUMBERS_NAMES)

    def load(self, state: bytes, at: int) -> int:
        """Go on from a `dump` that begins at `at`; where it ends."""
        return packed_fields.load(self, _NUMBERS_FORM, _NUMBERS_NAMES, state, at)

    def fits(self, state: bytes, at: int) -> bool:
        """Whether a `dump` that begins at `at` was made after the last block was reserved, and before the next."""
        limits = struct.unpack(_NUMBERS_FORM, state[at : at + struct.calcsize(_NUMBERS_FORM)])
        return (limits[1], limits[3]) == (self._frame_limit, self._counter_limit)

    def _reserve(self) -> None:
        frame_limit, counter_limit = self._frame + BLOCK, self._counter + BLOCK
        record = struct.pack(_NUMBERS, _NUMBERS_MARK, self._node, self._epoch, frame_limit, counter_limit)
        self._store.write(self._slot, _seal(record))
        self._slot = 1 - self._slot
        self._frame_limit, self._counter_limit = frame_limit, counter_limit


class Stored(namedtuple("Stored", ("counter", "temperature_c", "humidity_c", "unix_s", "flags", "sampled_ms"))):
    """A reading that waits in the backlog.

    `unix_s` is when it was taken, 0 when the node had no time; `sampled_ms` the same on the node's tick, to 64 ms, and
    means nothing after a power cut.
    """

    __slots__ = ()
    counter: int
    temperature_c: int
    humidity_c: int
    unix_s: int
    flags: int
    sampled_ms: int


class Backlog:
    """Readings not yet delivered, oldest first, in a ring that survives the power; when full the oldest makes room.

    Attributes:
        dropped: Readings that had to make room, or that the flash lost.
    """

    def __init__(self, store: "Store", epoch: int) -> None:
        if store.slots <= NUMBER_SLOTS:
            raise InternalError(f"a store of {store.slots} slots has no room for readings")
        self._store = store
        self._epoch = epoch
        self.dropped = 0
        self._slots: dict[int, int] = {}  # counter: slot; a board's dict has no order, so the oldest is the lowest
        for slot in range(NUMBER_SLOTS, store.slots):
            stored = self._stored(slot)
            if stored is not None:
                self._slots[stored.counter] = slot
        self._next = NUMBER_SLOTS
        if self._slots:
            self._next = self._after(self._slots[max(self._slots)])

    def __len__(self) -> int:
        return len(self._slots)

    def oldest(self) -> Stored | None:
        """The reading with the lowest counter, None when there is none; it stays until `remove`."""
        while self._slots:
            counter = min(self._slots)
            stored = self._stored(self._slots[counter])
            if stored is not None:
                return stored
            self._drop(counter)  # the flash lost it since
        return None

    def put(self, stored: Stored) -> None:
        """Keep one more reading, newer than all others."""
        taken = list(self._slots.values())
        if len(taken) == self._store.slots - NUMBER_SLOTS:
            counter = min(self._slots)
            self._next = self._slots[counter]
            self._drop(counter)
        else:
            while self._next in taken:
                self._next = self._after(self._next)
        record = struct.pack(
            _READING,
            _READING_MARK,
            self._epoch,
            stored.counter,
            stored.temperature_c,
            stored.humidity_c,
            stored.unix_s,
            stored.flags,
            max(0, stored.sampled_ms // _TICK_MS) & 0xFFFFFFFF,
        )
        self._store.write(self._next, _seal(record))
        self._slots[stored.counter] = self._next
        self._next = self._after(self._next)

    def remove(self, counter: int) -> bool:
        """Forget a delivered reading; whether it was here."""
        slot = self._slots.get(counter)
        if slot is None:
            return False
        self._store.write(slot, _FREE)
        del self._slots[counter]
        return True

    def dump(self) -> bytes:
        """What the flash does not tell."""
        return struct.pack("<HI", self._next, self.dropped & 0xFFFFFFFF)

    def load(self, state: bytes, at: int) -> int:
        """Go on from a `dump` that begins at `at`; where it ends."""
        self._next, self.dropped = struct.unpack("<HI", state[at : at + 6])
        return at + 6

    def _drop(self, counter: int) -> None:
        del self._slots[counter]
        self.dropped += 1

    def _stored(self, slot: int) -> Stored | None:
        fields = _unseal(self._store.read(slot), _READING, _READING_MARK)
        if fields is None or fields[0] != self._epoch:
            return None
        return Stored(*(fields[1:-1] + (fields[-1] * _TICK_MS,)))  # noqa: RUF005 - MicroPython lacks the other form

    def _after(self, slot: int) -> int:
        return slot + 1 if slot + 1 < self._store.slots else NUMBER_SLOTS
