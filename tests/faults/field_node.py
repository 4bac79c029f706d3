"""One node of a field: the board's own code, with its ring; its sensor and its clock are played here.

Its clock stands still while the node waits for an answer, and goes to the next instant of interest at once, so a day
takes seconds.
"""

import random
import struct

from aoii.core.forecast import PROVISIONED
from aoii.core.frames import Rejected, Uplink, decode_ack, decode_uplink
from aoii.core.link import Send
from aoii.core.link_timing import TIMING
from aoii.core.store import NUMBER_SLOTS, RamStore
from aoii.edge.node import Node
from aoii.security.node_keys import NodeKey
from edge.predictors import Hold
from faults.recorder import Content, Key

PERIOD_MS = 60_000
HEARD_AFTER_MS = 400  # of a node's clock, from its packet to the answer
# A node's clock runs much faster than the gateway's, so no drift may be estimated; and it may use the whole hour.
FAST = TIMING._replace(noise_ms=10**9, duty_permille=1000)
_HELD = "<BHI"  # how a slot of the ring begins: mark, epoch, counter
_MARKS = (0x54, 0x4B)  # waiting, kept


class FieldNode:
    """One node with its flash, its clock and its sensor.

    Attributes:
        is_deaf_to_questions: It ignores what an acknowledgement asks for, as old firmware does.
        silent_s: Until when its answer may come, of the real clock; None: it waits for none.
        tries: Packets since the last answer.
        idle_s: No sample of the trickle before this instant of the real clock.
    """

    def __init__(self, number: int, key: NodeKey, ring: int, rng: random.Random) -> None:
        self.number = number
        self._key = key
        self._store = RamStore(NUMBER_SLOTS + ring)
        self._rng = rng
        self._temperature_c, self._humidity_c = 2000, 5000
        self.is_deaf_to_questions = False
        self.boot()

    def boot(self) -> None:
        """Start, as after a power cut: only the flash is as it was."""
        self.node = Node(
            self.number, self._key.epoch, self._key.key, PROVISIONED, Hold(), self._store, self._rng.random, FAST
        )
        self._now_ms = 0
        self.silent_s: float | None = None
        self.tries = 0
        self.idle_s = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether everything that it has to say is acknowledged."""
        return self.node.link.pending is None and not self.node.link.ring.waiting and not self.node.link.target

    def sample(self) -> list[Send]:
        """Measure something else than before, or after an hour the same."""
        if self.node.is_acknowledged and self.node.forecast is not None and self._rng.random() < 0.2:
            self._now_ms += 1000 * self.node.settings.heartbeat_s
        else:
            self._temperature_c = (self._temperature_c + 3150) % 8000 - 3000  # 1.5 °C on; -30 to 50 °C, and round again
            self._humidity_c = self._rng.randrange(10000)
            self._now_ms += PERIOD_MS
        return self.node.sample(self._now_ms, self._temperature_c / 100, self._humidity_c / 100)

    def due(self) -> list[Send]:
        """Go to the node's next deadline, and do what is due."""
        deadline_ms = self.node.deadline_ms()
        if deadline_ms is None:
            return []
        self._now_ms = max(self._now_ms, deadline_ms)
        return self.node.due(self._now_ms)

    def receive(self, data: bytes) -> tuple[int | None, list[Send]]:
        """Hear an acknowledgement; the counter that the node takes for acknowledged by it, and what it says then."""
        link = self.node.link
        ack = decode_ack(data, self.number, self._key.epoch, self._key.key)
        if isinstance(ack, Rejected):
            raise AssertionError(f"a gateway told the radio something wrong: {ack}")  # noqa: TRY004 - it has arrived
        taken = None
        if link.pending is not None and link.sent.include(ack.frame):
            taken = link.pending.counter
        elif link.superseded.include(ack.frame):
            taken = link.superseded.counter
        sends = self.node.receive(data, self._now_ms + HEARD_AFTER_MS)
        if self.is_deaf_to_questions:
            link.target = 0
        if link.pending is None:
            self.silent_s, self.tries = None, 0
        return taken, sends

    def said(self, data: bytes) -> tuple[Key, Content]:
        """What a packet of its own says."""
        uplink = decode_uplink(data, lambda _: self._key.key)
        assert isinstance(uplink, Uplink)
        return self._identity(uplink.counter), Content(uplink.temperature_c, uplink.humidity_c)

    def held(self) -> set[Key]:
        """What its flash holds, read past the ring's own code."""
        slots = (self._store.read(slot) for slot in range(NUMBER_SLOTS, self._store.slots))
        heads = (struct.unpack_from(_HELD, slot) for slot in slots if slot)
        return {
            self._identity(counter) for mark, epoch, counter in heads if mark in _MARKS and epoch == self._key.epoch
        }

    def _identity(self, counter: int) -> Key:
        return Key(str(self.number), self._key.epoch, counter)
