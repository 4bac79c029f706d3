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
        counters: Remembers up to which number something may have been forgotten.

    Attributes:
        waiting: Number of readings that are not acknowledged: the backlog.
        dropped: Number of waiting readings that had to make room, or that the flash lost.

    Raises:
        InternalError: The store has no slot for a reading.
    """

    NAMES = "dropped"  # the rest is in the flash
    FORM = "<I"

    def __init__(self, store: "Store", epoch: int, counters: "CounterAllocator") -> None:
        slots = store.slots - NUMBER_SLOTS
        if slots < 1:
            raise InternalError(
                f"a store of {store.slots} slots has no room for readings; use more than {NUMBER_SLOTS}"
            )
        self._store = store
        self._epoch = epoch
        self._counters = counters
        # MicroPython makes room for names 4 kB at a time: this module uses names that others have already.
        self._slots = array("I", [0] * slots)  # the counter in each; 0: free
        self._kept = bytearray(slots)  # 1: kept
        self.waiting = self.dropped = 0
        for at in range(slots):
            stored = store.read(NUMBER_SLOTS + at)
            for mark in (_WAITING_MARK, _KEPT_MARK):
                fields = unseal(stored, _READING, mark)
                if fields is not None:
                    break
            if fields is None:
                if stored not in (b"\xff" * len(stored), bytes(len(stored))):  # torn: it held an unknown number
                    counters.forget(counters.first_counter - 1)
            elif fields[0] == epoch and fields[1]:
                self._slots[at], self._kept[at] = fields[1], mark == _KEPT_MARK
                self.waiting += mark == _WAITING_MARK
        # While a slot is free nothing had to make room; later, what had to had a lower number than one that is held.
        # A `load` after a deep sleep knows it exactly.
        if min(self._slots):
            counters.forget(max(self._slots))

    def oldest(self) -> StoredReading | None:
        """The waiting reading with the lowest counter; None when none is waiting."""
        while self.waiting:
            stored = self._stored(self._lowest(0))
            if stored is not None:
                return stored
        return None

    def recall(self, target: int) -> StoredReading | None:
        """The reading with the highest counter up to `target`, else the one with the lowest; None: none is held."""
        while True:
            counter = max([0] + [value for value in self._slots if value <= target])
            if not counter:
                counter = min([value for value in self._slots if value] or [0])
            if not counter:
                return None
            stored = self._stored(self._find(counter))
            if stored is not None:
                return stored

    def put(self, stored: StoredReading, is_kept: bool = False) -> None:
        """Hold a reading; one that waits is newer than all others.

        When all slots are taken, the kept reading with the lowest counter is forgotten, which may be this one. When
        none is kept, the oldest waiting one makes room for one that waits.

        Raises:
            OSError: The store cannot be written. Nothing has changed.
        """
        if self._find(stored.counter) >= 0:  # its acknowledgement came again
            return
        at = self._find(max(self._slots))
        for _ in self._slots:  # the first free slot after the newest reading
            at = (at + 1) % len(self._slots)
            if not self._slots[at]:
                break
        else:
            at = self._lowest(1)
            if is_kept and (at < 0 or self._slots[at] > stored.counter):
                self._counters.forget(stored.counter)
                self._counters.save()  # this number may be above all that are held: nothing else would show it
                return
            if at < 0:
                at = self._lowest(0)
        sampled = max(0, stored.sampled_ms // _UNIT_MS) & 0xFFFFFFFF
        mark = _KEPT_MARK if is_kept else _WAITING_MARK
        record = struct.pack(_READING, mark, self._epoch, *stored[:5], sampled)
        self._store.write(NUMBER_SLOTS + at, seal(record))
        self._drop(at)
        self._slots[at], self._kept[at] = stored.counter, is_kept
        self.waiting += not is_kept

    def keep(self, counter: int, stored: StoredReading | None = None) -> bool:
        """Note that a reading is acknowledged; return whether it was held. `stored`: put it in if it is not yet.

        Raises:
            OSError: The store cannot be written. The reading is still waiting.
        """
        at = self._find(counter)
        if at < 0:
            if stored is not None:
                self.put(stored, True)
            return False
        if not self._kept[at]:
            record = self._store.read(NUMBER_SLOTS + at)[: struct.calcsize(_READING)]
            if self._stored(at) is None:
                return False
            self._store.write(NUMBER_SLOTS + at, seal(bytes((_KEPT_MARK,)) + record[1:]))
            self._kept[at] = 1
            self.waiting -= 1
        return True

    def _lowest(self, mark: int) -> int:
        """The slot of the lowest counter among the waiting (0) or the kept (1); -1: there is none."""
        slot = -1
        for at in range(len(self._slots)):
            counter = self._slots[at]
            if counter and self._kept[at] == mark and (slot < 0 or counter < self._slots[slot]):
                slot = at
        return slot

    def _find(self, counter: int) -> int:
        """The slot of a counter; -1: it is not held."""
        for at in range(len(self._slots)):
            if counter and self._slots[at] == counter:
                return at
        return -1

    def _drop(self, at: int) -> None:
        """Free a slot, as far as the memory is concerned."""
        if self._slots[at]:
            self.waiting -= not self._kept[at]
            self.dropped += not self._kept[at]
            self._counters.forget(self._slots[at])
            self._slots[at] = 0

    def _stored(self, at: int) -> StoredReading | None:
        """The reading in a slot; None, and dropped, when the flash has lost it."""
        stored = self._store.read(NUMBER_SLOTS + at)
        fields = unseal(stored, _READING, _KEPT_MARK if self._kept[at] else _WAITING_MARK)
        if fields is None or fields[:2] != (self._epoch, self._slots[at]):
            self._drop(at)
            return None
        return StoredReading(*(fields[1:6] + (fields[6] * _UNIT_MS,)))  # noqa: RUF005 - mypy cannot count the other
