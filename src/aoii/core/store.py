"""What must survive a power cut: the numbers that a node may have used, in slots that it shares with `ring`.

Everything is in slots of SLOT_BYTES: two for the numbers, the rest for readings. The driver (`Store` in `interfaces`)
only reads and writes slots. Each record has a CRC, so a write that was cut short is noticed.
"""

import struct
from binascii import crc32

from .errors import UnavailableError
from .packed_fields import Packed

MYPY = False
if MYPY:
    from .interfaces import Store

SLOT_BYTES = 24
NUMBER_SLOTS = 2  # written in turn, so that a power cut spoils the newer record at most
BLOCK = 64  # numbers reserved at once: 400 frames a day cost 6 writes; flash is good for 100,000

_NUMBERS = "<BHHII"  # mark, node, epoch, first frame number and first event counter not yet reserved
_NUMBERS_MARK = 0x4E


class RamStore:
    """Slots in memory, for tests and simulation."""

    def __init__(self, slots: int = NUMBER_SLOTS + 126) -> None:
        self.slots = slots
        self._slots: dict[int, bytes] = {}

    def read(self, slot: int) -> bytes:
        """The record written last; empty before the first."""
        return self._slots.get(slot, b"")

    def write(self, slot: int, record: bytes) -> None:
        """Store `record`."""
        self._slots[slot] = record


def seal(record: bytes) -> bytes:
    """The record with its CRC."""
    return record + struct.pack("<I", crc32(record))


def unseal(stored: bytes, form: str, mark: int) -> tuple[int, ...] | None:
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

    Each record has the floor of its time with it. Where it is missing, firmware of version 0.1 reserved last, which
    holds no acknowledged reading: then the floor is the highest counter that may have been used.

    Attributes:
        first_counter: The first event counter since the restart.
        floor: The highest counter that `ring` may have forgotten although it was acknowledged; 0: none. What happened
            after the newest record was written does not survive a power cut.

    Raises:
        UnavailableError: Both number records are damaged, so numbers might repeat. A power cut cannot cause this.
    """

    NAMES = "_frame _frame_limit _counter _counter_limit first_counter _slot floor"
    FORM = "<IIIIIBI"

    def __init__(self, store: "Store", node: int, epoch: int) -> None:
        self._store = store
        self._node = node
        self._epoch = epoch
        self._slot = 0  # for the next record: never the slot of the newest
        self.floor = 0
        self._frame = self._counter = 1  # 0 is not used, so a peer may start with 0 as the last number it has seen
        is_intact = False  # a record is whole, or a slot was never written: then no number can repeat
        for slot in range(NUMBER_SLOTS):
            stored = store.read(slot)
            fields = unseal(stored, _NUMBERS, _NUMBERS_MARK)
            if fields is None:
                is_intact = is_intact or stored == b"\xff" * len(stored) or stored == bytes(len(stored))
                continue
            is_intact = True
            # No number ever falls, but one may stay the same: the record with the larger sum is the newer one, and
            # among equal sums that with the higher floor.
            floor = _floor(stored, fields[3] - 1)
            if fields[:2] == (node, epoch) and (sum(fields[2:]), floor) > (self._frame + self._counter, self.floor):
                self._frame, self._counter = fields[2:]
                self._slot, self.floor = 1 - slot, floor
        if not is_intact:
            raise UnavailableError(
                f"node {node}: both records of its numbers are damaged; provision it again with an epoch above {epoch}"
            )
        self._frame_limit, self._counter_limit = self._frame, self._counter
        self.first_counter = self._counter

    def next_frame(self) -> int:
        """A frame number larger than any before."""
        if self._frame == self._frame_limit:
            self.save()
        self._frame += 1
        return self._frame - 1

    def next_counter(self) -> int:
        """An event counter larger than any before."""
        if self._counter == self._counter_limit:
            self.save()
        self._counter += 1
        return self._counter - 1

    def fits(self, state: bytes) -> bool:
        """Whether no block was reserved after the `dump` at the end of `state`."""
        fields = struct.unpack(self.FORM, state[-struct.calcsize(self.FORM) :])
        return (fields[1], fields[3]) == (self._frame_limit, self._counter_limit)

    def forget(self, counter: int) -> None:
        """Note that the reading with this counter may have been acknowledged, and is not held any more."""
        self.floor = max(self.floor, counter)

    def save(self) -> None:
        """Write the floor now; it comes with a new block of numbers."""
        frame, counter = self._frame + BLOCK, self._counter + BLOCK
        record = struct.pack(_NUMBERS, _NUMBERS_MARK, self._node, self._epoch, frame, counter)
        record = seal(record) + struct.pack("<I", self.floor)
        self._store.write(self._slot, record + _check(record))
        self._slot = 1 - self._slot
        self._frame_limit, self._counter_limit = frame, counter


def _floor(stored: bytes, counter: int) -> int:
    """The floor behind the CRC of a record of numbers; `counter` when there is none, or its write was cut short.

    Version 0.1 wrote zeros there, and reads nothing.
    """
    record = stored[: SLOT_BYTES - 3]
    if stored[SLOT_BYTES - 3 :] == _check(record):
        (counter,) = struct.unpack("<I", record[-4:])
    return counter


def _check(record: bytes) -> bytes:
    """Three bytes of a CRC: as many as a slot has left."""
    return struct.pack("<I", crc32(record))[:3]
