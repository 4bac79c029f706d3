"""A model of a node's flash: slots that a power cut in the middle of a write leaves half written."""

from aoii.core.store import SLOT_BYTES


class PowerCut(Exception):  # noqa: N818 - not an error of ours
    """The power went in the middle of a write."""


class Flash:
    """Slots in flash, where a write may be cut after any number of bytes."""

    def __init__(self, slots: int, fill: bytes = b"\xff") -> None:
        self.slots = slots
        self._bytes = [fill * SLOT_BYTES for _ in range(slots)]
        self.writes = 0
        self.cut_at = -1  # number of the write that is cut
        self.cut_after = 0  # bytes of it that still get through

    def read(self, slot: int) -> bytes:
        return self._bytes[slot]

    def write(self, slot: int, record: bytes) -> None:
        assert len(record) <= SLOT_BYTES
        if self.writes == self.cut_at:
            record = record[: self.cut_after]
        self._bytes[slot] = record + self._bytes[slot][len(record) :]
        self.writes += 1
        if self.writes - 1 == self.cut_at:
            raise PowerCut
