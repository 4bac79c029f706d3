"""The readings that a node holds: those that wait for their acknowledgement, and the last ones that have it.

A slot of the store holds one reading, `waiting` or `kept`; a kept one is there in case the gateway loses its disk and
asks for it. Marking a reading as kept rewrites its slot, and nothing is ever cleared. When a slot is needed, the kept
reading with the lowest number goes; a waiting one only when all are waiting. What is sent, and when, is decided by
`link`.

A number that is not held and is above `CounterAllocator.floor` was never acknowledged, as far as this node has heard:
docs/explanation/link.md.
"""

import struct
from array import array
from collections import namedtuple

from .errors import InternalError
from .packed_fields import Packed
from .store import NUMBER_SLOTS, seal, unseal

MYPY = False
if MYPY:
    from .interfaces import Store
    from .store import CounterAllocator

_READING = "<BHIhHIBI"  # mark, epoch, counter, temperature, humidity, Unix second (0: unknown), flags, sampling time
_WAITING_MARK = 0x54  # the only mark of version 0.1, which takes any other content for a free slot
_KEPT_MARK = 0x4B
_UNIT_MS = 64  # unit of the sampling time in a record: 32 bits of it are 8 years


class StoredReading(namedtuple("StoredReading", "counter temperature_c humidity_c unix_s flags sampled_ms")):
    """A reading in the ring.

    Attributes:
        counter: Event counter of the reading, 1 or higher.
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


class Ring(Packed):
    """The waiting and the kept readings of one epoch, in slots that survive a power cut.

    Args:
        store: Its slots after the first NUMBER_SLOTS.
        epoch: Records of other epochs are free slots.
        numbers: Remembers up to which number something may have been forgotten.

    Attributes:
        waiting: Number of readings that are not acknowledged: the backlog.
        dropped: Number of waiting readings that had to make room, or that the flash lost.

    Raises:
        InternalError: The store has no slot for a reading.
    """

    NAMES = "dropped"  # the rest is in the flash
    FORM = "<I"

    def __init__(self, store: "Store", epoch: int, numbers: "CounterAllocator") -> None:
        room = store.slots - NUMBER_SLOTS
        if room < 1:
            raise InternalError(
                f"a store of {store.slots} slots has no room for readings; use more than {NUMBER_SLOTS}"
            )
        self._store = store
        self._epoch = epoch
        self._numbers = numbers
        self._counters = array("I", [0] * room)  # by slot; 0: free
        self._kept = bytearray(room)  # by slot; 1: kept
        self.waiting = self.dropped = 0
        is_damaged = False
        for at in range(room):
            stored = store.read(NUMBER_SLOTS + at)
            for mark in (_WAITING_MARK, _KEPT_MARK):
                fields = unseal(stored, _READING, mark)
                if fields is not None:
                    break
            if fields is None:
                is_damaged = is_damaged or stored not in (b"\xff" * len(stored), bytes(len(stored)))
            elif fields[0] == epoch and fields[1]:
                self._note(at, fields[1], mark == _KEPT_MARK)
        # A damaged slot held an unknown number. Without damage, nothing was forgotten while a slot is free; what had
        # to make room had a lower number than a reading that is held. A `load` after a deep sleep knows it exactly.
        if is_damaged:
            numbers.forget(numbers.first_counter - 1)
        elif min(self._counters):  # none is 0: no slot is free
            numbers.forget(max(self._counters))

    def oldest(self) -> StoredReading | None:
        """The waiting reading with the lowest counter; None when none is waiting."""
        while self.waiting:
            found = self._load(self._lowest(0))
            if found is not None:
                return found
        return None

    def recall(self, target: int) -> StoredReading | None:
        """The reading with the highest counter up to `target`, else the one with the lowest; None: none is held."""
        while True:
            held = [counter for counter in self._counters if counter]
            if not held:
                return None
            below = [counter for counter in held if counter <= target]
            found = self._load(self._find(max(below) if below else min(held)))
            if found is not None:
                return found

    def put(self, stored: StoredReading, is_kept: bool = False) -> None:
        """Hold a reading; one that waits is newer than all others.

        When all slots are taken, the kept reading with the lowest counter is forgotten, which may be this one. When
        none is kept, the oldest waiting one makes room for one that waits.

        Raises:
            OSError: The store cannot be written. Nothing has changed.
        """
        if self._find(stored.counter) >= 0:  # its acknowledgement came again
            return
        at = self._place()
        if at < 0 or (is_kept and self._counters[at] > stored.counter):
            if is_kept:
                self._numbers.forget(stored.counter)
                self._numbers.save()  # this number may be above all that are held: nothing else would show it
                return
            at = self._lowest(0)
        sampled = max(0, stored.sampled_ms // _UNIT_MS) & 0xFFFFFFFF
        mark = _KEPT_MARK if is_kept else _WAITING_MARK
        self._write(at, struct.pack(_READING, mark, self._epoch, *stored[:5], sampled))
        self._forget(at)
        self._note(at, stored.counter, is_kept)

    def keep(self, counter: int) -> bool:
        """Note that a reading is acknowledged; return whether it is held.

        Raises:
            OSError: The store cannot be written. The reading is still waiting.
        """
        at = self._find(counter)
        if at < 0:
            return False
        if not self._kept[at]:
            record = self._store.read(NUMBER_SLOTS + at)[: struct.calcsize(_READING)]
            if self._load(at) is None:
                return False
            self._write(at, bytes((_KEPT_MARK,)) + record[1:])
            self._kept[at] = 1
            self.waiting -= 1
        return True

    def _place(self) -> int:
        """The slot for a new reading: the first free one after the newest, else the kept one that goes first, or -1."""
        room = len(self._counters)
        newest = self._find(max(self._counters))
        for step in range(1, room + 1):
            at = (newest + step) % room
            if not self._counters[at]:
                return at
        return self._lowest(1)

    def _lowest(self, mark: int) -> int:
        """The slot of the lowest counter among the waiting (0) or the kept (1); -1: there is none."""
        found = -1
        for at, counter in enumerate(self._counters):
            if counter and self._kept[at] == mark and (found < 0 or counter < self._counters[found]):
                found = at
        return found

    def _find(self, counter: int) -> int:
        """The slot of a counter; -1: it is not held."""
        for at, held in enumerate(self._counters):
            if held == counter and counter:
                return at
        return -1

    def _note(self, at: int, counter: int, is_kept: bool) -> None:
        self._counters[at] = counter
        self._kept[at] = int(is_kept)
        self.waiting += not is_kept

    def _forget(self, at: int) -> None:
        """The slot is free, as far as the memory is concerned."""
        counter = self._counters[at]
        if not counter:
            return
        if not self._kept[at]:
            self.waiting -= 1
            self.dropped += 1
        self._counters[at] = 0
        self._numbers.forget(counter)

    def _load(self, at: int) -> StoredReading | None:
        """The reading in a slot; None, and forgotten, when the flash has lost it."""
        stored = self._store.read(NUMBER_SLOTS + at)
        fields = unseal(stored, _READING, _KEPT_MARK if self._kept[at] else _WAITING_MARK)
        if fields is None or fields[:2] != (self._epoch, self._counters[at]):
            self._forget(at)
            return None
        _, counter, temperature_c, humidity_c, unix_s, flags, sampled = fields
        return StoredReading(counter, temperature_c, humidity_c, unix_s, flags, sampled * _UNIT_MS)

    def _write(self, at: int, record: bytes) -> None:
        self._store.write(NUMBER_SLOTS + at, seal(record))
