"""A witness: the second gateway of a field, which answers a node only if the first gateway does not. Pure.

It accepts, commits and publishes everything. It answers from the second time on that a node sends a reading, because
then the node has not heard the first gateway, and one slot later, so that the first gateway's answer has ended and was
heard. docs/decisions/0025-a-witness.md.
"""

from aoii.core.frames import Uplink

# ms by spreading factor, at 125 kHz and 4/5: an acknowledgement on the air, and 60 ms for the first gateway's commit. A
# test compares them with lab/airtime.py. At SF12 uplink, slot and answer take 4.84 s of the node's 5.13 s.
SLOTS_MS = {7: 117, 8: 163, 9: 266, 10: 431, 11: 801, 12: 1543}


class Repetitions:
    """Which readings the nodes behind one receiver send again.

    One object for each receiver: a frame that two receivers hear is not sent twice.
    """

    def __init__(self) -> None:
        self._last: dict[int, tuple[int, int]] = {}  # by node: epoch and counter of its last frame

    def is_repeated(self, uplink: Uplink) -> bool:
        """Record an accepted frame; return whether the node's frame before it carried the same reading.

        A link has one reading pending at a time, so the node has heard no answer in between. The frame may be a new
        one: after a long silence each retry is.
        """
        reading = uplink.epoch, uplink.counter
        is_same = self._last.get(uplink.node) == reading
        self._last[uplink.node] = reading
        return is_same
