"""What must survive a power cut: the numbers that a node may have used, and its undelivered readings.

Everything is in slots of SLOT_BYTES: two for the numbers, the rest a ring of readings. The driver (`Store` in
`interfaces`) only reads and writes slots. Each record has a CRC, so a slot whose write was cut short counts as empty.
Wear: a reading is written once, when it is stored, and its slot is cleared once, when it is delivered; clearing writes
zeros, which flash takes without erasing. When a reading is sent is decided by `link`.
"""

import struct
from binascii import crc32
from collections import namedtuple

from .errors import InternalError, UnavailableError
from .packed_fields import Packed

MYPY = False
if MYPY:
    from .interfaces import Store

SLOT_BYTES = 24
NUMBER_SLOTS = 2  # written in turn, so that a power cut spoils the newer record at most
BLOCK = 64  # numbers reserved at once: 400 frames a day cost 6 writes; flash is good for 100,000

_NUMBERS = "<BHHII"  # mark, node, epoch, first frame number and first event counter not yet reserved
_READING = "<BHIhHIBI"  # mark, epoch, counter, temperature, humidity, Unix second (0: unknown), flags, sampling time
_NUMBERS_MARK = 0x4E
_READING_MARK = 0x54
_UNIT_MS = 64  # unit of the sampling time in a record: 32 bits of it are 8 years

_FREE = b"\0" * SLOT_BYTES


class RamStore:
    """Slots in memory, for tests and simulation."""

    def __init__(self, slots: int = NUMBER_SLOTS + 64) -> None:
        self.slots = slots
        self._slots: dict[int, bytes] = {}

    def read(self, slot: int) -> bytes:
        """The record written last; empty before the first."""
        return self._slots.get(slot, b"")

    def write(self, slot: int, record: bytes) -> None:
        """Store `record`."""
        self._slots[slot] = record


def _seal(record: bytes) -> bytes:
    return record + struct.pack("<I", crc32(record))


def _unseal(stored: bytes, form: str, mark: int) -> tuple[int, ...] | None:
    """The fields of a record after its mark; None when the slot holds no whole record of this kind."""
    size = struct.calcsize(form)
    record = stored[:size]
    if len(stored) < size + 4 or record[0] != mark or stored[size : size + 4] != struct.pack("<I", crc32(record)):
        return None
    return struct.unpack(form, record)[1:]


class CounterAllocator(Packed):
    """Hands out frame numbers and event counters that never repeat within an epoch, whenever the power fails.

    Numbers are reserved in blocks: the end of a block is in the store before its first number is used. A restart skips
    the rest of the block.

    Attributes:
        first_counter: The first event counter since the restart.

    Raises:
        UnavailableError: Both number records are damaged, so numbers might repeat. A power cut cannot cause this.
    """

    NAMES = "_frame _frame_limit _counter _counter_limit first_counter _slot"
    FORM = "<IIIIIB"

    def __init__(self, store: "Store", node: int, epoch: int) -> None:
        self._store = store
        self._node = node
        self._epoch = epoch
        self._slot = 0  # for the next record: never the slot of the newest
        self._frame = self._counter = 1  # 0 is not used, so a peer may start with 0 as the last number it has seen
        is_intact = False  # a record is whole, or a slot was never written: then no number can repeat
        for slot in range(NUMBER_SLOTS):
            stored = store.read(slot)
            fields = _unseal(stored, _NUMBERS, _NUMBERS_MARK)
            if fields is None:
                is_intact = is_intact or stored == b"\xff" * len(stored) or stored == bytes(len(stored))
                continue
            is_intact = True
            # No number ever falls, but one may stay the same: the record with the larger sum is the newer one.
            if fields[:2] == (node, epoch) and fields[2] + fields[3] > self._frame + self._counter:
                self._frame, self._counter = fields[2:]
                self._slot = 1 - slot
        if not is_intact:
            raise UnavailableError(
                f"node {node}: both records of its numbers are damaged; provision it again with an epoch above {epoch}"
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

    def fits(self, state: bytes) -> bool:
        """Whether no block was reserved after the `dump` at the end of `state`."""
        fields = struct.unpack(self.FORM, state[-struct.calcsize(self.FORM) :])
        return (fields[1], fields[3]) == (self._frame_limit, self._counter_limit)

    def _reserve(self) -> None:
        frame, counter = self._frame + BLOCK, self._counter + BLOCK
        record = struct.pack(_NUMBERS, _NUMBERS_MARK, self._node, self._epoch, frame, counter)
        self._store.write(self._slot, _seal(record))
        self._slot = 1 - self._slot
        self._frame_limit, self._counter_limit = frame, counter


class StoredReading(namedtuple("StoredReading", "counter temperature_c humidity_c unix_s flags sampled_ms")):
    """A reading in the backlog.

    Attributes:
        counter: Event counter of the reading.
        temperature_c: Hundredths of °C.
        humidity_c: Hundredths of %RH.
        unix_s: When it was taken; 0 when the node did not know the time.
        flags: SENSOR_FAULT and LOW_BATTERY.
        sampled_ms: When it was taken, on the node's monotonic clock, to 64 ms; without meaning after a power cut.
    """

    __slots__ = ()
    counter: int
    temperature_c: int
    humidity_c: int
    unix_s: int
    flags: int
    sampled_ms: int


class Backlog(Packed):
    """Readings that are not delivered yet, oldest first, in a ring that survives a power cut.

    When the ring is full, a new reading replaces the oldest.

    Attributes:
        dropped: Number of readings that were replaced, or that the flash lost.
    """

    NAMES = "_next dropped"  # the rest is in the flash
    FORM = "<HI"

    def __init__(self, store: "Store", epoch: int) -> None:
        if store.slots <= NUMBER_SLOTS:
            raise InternalError(
                f"a store of {store.slots} slots has no room for readings; use more than {NUMBER_SLOTS}"
            )
        self._store = store
        self._epoch = epoch
        self.dropped = 0
        self._slots: dict[int, int] = {}  # slots by counter; a board's dict has no order: the lowest is the oldest
        for slot in range(NUMBER_SLOTS, store.slots):
            stored = self._stored(slot)
            if stored is not None:
                self._slots[stored.counter] = slot
        self._next = NUMBER_SLOTS
        if self._slots:
            self._next = self._after(self._slots[max(self._slots)])

    def __len__(self) -> int:
        return len(self._slots)

    def oldest(self) -> StoredReading | None:
        """The reading with the lowest counter, None when there is none; it stays until `remove`."""
        while self._slots:
            counter = min(self._slots)
            stored = self._stored(self._slots[counter])
            if stored is not None:
                return stored
            self._drop(counter)  # the flash has lost it
        return None

    def put(self, stored: StoredReading) -> None:
        """Store a reading that is newer than all others."""
        taken = list(self._slots.values())
        if len(taken) == self._store.slots - NUMBER_SLOTS:
            counter = min(self._slots)
            self._next = self._slots[counter]
            self._drop(counter)
        else:
            while self._next in taken:
                self._next = self._after(self._next)
        sampled = max(0, stored.sampled_ms // _UNIT_MS) & 0xFFFFFFFF
        record = struct.pack(_READING, _READING_MARK, self._epoch, *stored[:5], sampled)
        self._store.write(self._next, _seal(record))
        self._slots[stored.counter] = self._next
        self._next = self._after(self._next)

    def remove(self, counter: int) -> bool:
        """Clear a delivered reading; return whether it was here."""
        slot = self._slots.get(counter)
        if slot is None:
            return False
        self._store.write(slot, _FREE)
        del self._slots[counter]
        return True

    def _drop(self, counter: int) -> None:
        del self._slots[counter]
        self.dropped += 1

    def _stored(self, slot: int) -> StoredReading | None:
        fields = _unseal(self._store.read(slot), _READING, _READING_MARK)
        if fields is None or fields[0] != self._epoch:
            return None
        _, counter, temperature_c, humidity_c, unix_s, flags, sampled = fields
        return StoredReading(counter, temperature_c, humidity_c, unix_s, flags, sampled * _UNIT_MS)

    def _after(self, slot: int) -> int:
        return slot + 1 if slot + 1 < self._store.slots else NUMBER_SLOTS
