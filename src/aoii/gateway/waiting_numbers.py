"""How many readings a node may still hold that this gateway lacks, judged by the numbers of its frames. Pure.

No frame says how many readings wait in the node's ring. But a node numbers its readings, and sends its backlog oldest
first: so whatever waits lies above its last backlog, and is not here. It is an upper bound: a superseded heartbeat and
what a power cut skips take a number too, and the node holds nothing of that number.
"""

from aoii.core.frames import BACKFILL, Uplink
from aoii.gateway.number_ranges import NumberRanges

NUMBERS_LIMIT = 1000  # below the newest: the ring holds 126 readings, and between them are superseded heartbeats
WAITING_FOR_S = 86_400  # a node that is heard delivers its ring within a day, so what has not come by then is not there


class WaitingNumbers:
    """The numbers of one node that may wait, as far as this gateway has heard since its start."""

    def __init__(self) -> None:
        self._epoch = -1
        self._lowest = self._highest = 0  # that were heard of; outside of them nothing is known
        self._since_s: NumberRanges[float] = NumberRanges()  # of those that may wait: since when that is known

    def record(self, uplink: Uplink, now_s: float) -> int:
        """Record an accepted frame, also a repeated one; return how many numbers may wait now.

        Args:
            uplink: The frame; its reading is safe.
            now_s: The machine's elapsed clock.
        """
        counter = uplink.counter
        if uplink.epoch != self._epoch:
            self._epoch, self._lowest, self._highest = uplink.epoch, counter, counter
            self._since_s = NumberRanges()
        if counter > self._highest:
            self._put(self._highest + 1, counter - 1, now_s)
            self._highest = counter
        if uplink.flags & BACKFILL:
            self._record_backfill(counter, abs(uplink.answers), now_s)
        self._since_s.cut(counter, counter)
        self._since_s.cut(0, self._highest - NUMBERS_LIMIT)
        for first, last, since_s in list(self._since_s):
            if now_s - since_s > WAITING_FOR_S:
                self._since_s.cut(first, last)
        return sum(last - first + 1 for first, last, _ in self._since_s)

    def _record_backfill(self, counter: int, target: int, now_s: float) -> None:
        """Take what it says of other numbers; `target` is the one that was asked for, 0 for backlog."""
        if target:
            self._since_s.cut(counter + 1 if counter <= target else 0, target)  # `Uplink.answers`: none of them is held
            return
        self._since_s.cut(0, counter)
        if counter < self._lowest:  # from before this gateway's start
            self._put(counter + 1, self._lowest - 1, now_s)
            self._lowest = counter

    def _put(self, first: int, last: int, now_s: float) -> None:
        if first <= last:
            self._since_s.put(first, last, now_s)
