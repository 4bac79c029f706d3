"""What a gateway knows of acknowledgements on the air: its own, and those of other gateways for the same nodes.

Receivers pass on whatever the radio hears, and a radio hears other gateways too. An acknowledgement that is authentic
and not one of ours was made by another gateway, now or, if somebody replays it, long ago.
"""

import threading
from collections import deque
from typing import Literal

from aoii.core.frames import Ack

OWN_KEPT = 256  # own acknowledgements that are known again; another receiver of this gateway hears them at once

By = Literal["first", "witness", "own", "old"]
"""Who made an acknowledgement: another gateway that answers at once, a witness, this gateway; or it is not of now."""


class Overheard:
    """The acknowledgements of one gateway and of those around it; any thread may call.

    A replay can do little: it is counted once, and keeps a witness silent only if it acknowledges the very frame that
    the node has just sent, which another gateway then has.
    """

    def __init__(self) -> None:
        self._own: deque[bytes] = deque(maxlen=OWN_KEPT)
        self._heard: dict[int, tuple[int, int, float]] = {}  # by node: epoch and frame of the last, and when
        self._counted: dict[int, bytes] = {}  # by node: the last that was counted
        self._lock = threading.Lock()

    def record_own(self, data: bytes) -> None:
        """Remember an acknowledgement of this gateway, before it is sent."""
        with self._lock:
            self._own.append(data)

    def judge(self, ack: Ack, data: bytes, newest: tuple[int, int] | None, at_s: float) -> By:
        """Who made an authentic acknowledgement that was received at the monotonic second `at_s`.

        Args:
            ack: The acknowledgement.
            data: Its bytes.
            newest: Epoch and number of the newest frame that this gateway has accepted of the node; None: none.
            at_s: When it was received.
        """
        with self._lock:
            if data in self._own:
                return "own"
            if newest is not None and (ack.epoch, ack.frame) < newest:
                return "old"
            self._heard[ack.node] = ack.epoch, ack.frame, at_s
            if self._counted.get(ack.node) == data:  # without a time, the answer to a retry is the same bytes again
                return "old"
            self._counted[ack.node] = data
            return "witness" if ack.unix_s == 0 and ack.settings is None else "first"

    def is_answered(self, node: int, epoch: int, frame: int, since_s: float) -> bool:
        """Whether another gateway has acknowledged this frame since the monotonic second `since_s`."""
        with self._lock:
            heard = self._heard.get(node)
        return heard is not None and heard[:2] == (epoch, frame) and heard[2] >= since_s
