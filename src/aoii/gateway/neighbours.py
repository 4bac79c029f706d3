"""Other gateways in the same field, as this one notices them: it counts what it hears, and says once what is wrong.

Two gateways that both answer at once spoil each other's answers; two that give nodes other settings move them to and
fro. Neither loses a reading.
"""

import logging

from aoii.core.forecast import NodeSettings
from aoii.core.frames import Ack
from aoii.gateway.node_state import settings_checksum
from aoii.gateway.overheard import Overheard
from aoii.runtime import metrics

log = logging.getLogger(__name__)

MOVES = 3  # of one node, before it is said: one is a gateway that joins, docs/decisions/0025-a-witness.md


class Neighbours:
    """What all receivers of one gateway hear of other gateways.

    Args:
        wanted: The settings that this gateway wants its nodes to have.
        rank: GATEWAY_RANK.

    Attributes:
        overheard: The acknowledgements, own and foreign.
    """

    def __init__(self, wanted: NodeSettings, rank: int) -> None:
        self.overheard = Overheard()
        self._wanted = wanted
        self._rank = rank
        self._moves: dict[int, int] = {}  # by node
        self._said: set[str] = set()
        metrics.GATEWAY_RANK.set(rank)
        metrics.SETTINGS_CHECKSUM.set(settings_checksum(wanted))

    def record(self, ack: Ack, data: bytes, newest: tuple[int, int] | None, at_s: float) -> None:
        """Record an authentic acknowledgement that a receiver heard; the arguments are those of `Overheard.judge`."""
        by = self.overheard.judge(ack, data, newest, at_s)
        metrics.HEARD_ACKS.labels(by=by).inc()
        if by in ("own", "old"):
            return
        if by == "first" and self._rank == 0:
            self._say(
                "two_answer",
                "another gateway answers our nodes at once too, and the answers collide; set GATEWAY_RANK=1 at one",
                ack.node,
            )
        if ack.settings is not None and ack.settings != self._wanted:
            metrics.SETTINGS_CONFLICTS.labels(sign="heard").inc()
            self._say("settings_differ", SETTINGS_DIFFER, ack.node)

    def record_moved(self, node: int) -> None:
        """Record that a node had settings which this gateway did not tell it."""
        metrics.SETTINGS_CONFLICTS.labels(sign="moved").inc()
        self._moves[node] = self._moves.get(node, 0) + 1
        if self._moves[node] >= MOVES:
            self._say("settings_differ", SETTINGS_DIFFER, node)

    def _say(self, event: str, sentence: str, node: int) -> None:
        if event not in self._said:
            self._said.add(event)
            log.error(sentence, extra={"event": event, "node": str(node)})


SETTINGS_DIFFER = (
    "another gateway gives our nodes other settings; give both the same BETA_TEMP, BETA_HUM, SAMPLE_PERIOD_S, "
    "HEARTBEAT_S, HEARTBEAT_MIN_S and TAU"
)
