"""The channel model: what the simulated radio does to packets, as a value that settings and options fill in."""

from dataclasses import dataclass
from pathlib import Path

COLLISIONS = ("none", "all", "capture")
DELAY_LIMIT_S = 5.0  # node and gateway round a forecast's steps: half a period is 30 s, of which resends take 24
NEIGHBOURS_LIMIT = 10_000


@dataclass(frozen=True)
class Burst:
    """Outages of a link after Gilbert (1960) and Elliott (1963); both directions fail together, without memory.

    Attributes:
        share: Share of the time that a link spends in outages, 0 to below 1.
        mean_s: Mean length of an outage, s.
        loss: Probability that a packet is lost during an outage, 0..1.
    """

    share: float
    mean_s: float
    loss: float = 1.0

    def __str__(self) -> str:
        return f"{self.share:g}:{self.mean_s:g}:{self.loss:g}"


@dataclass(frozen=True)
class ChannelModel:
    """Everything that can happen to a packet on the air.

    Attributes:
        loss: Probability that a node's packet is lost, independent of other packets.
        ack_loss: The same for packets from the gateway to a node.
        burst: Outages in addition; None: none.
        duplicate: Probability that a packet is received twice, the copy up to 5 s later.
        delay_s: Greatest random delay of a packet, s.
        reorder: Probability that a packet is received after its sender's next one.
        collisions: Which packets that overlap are lost: `none`, `all`, or all but the strongest (`capture`).
        neighbours: Other people's nodes on the channel; each sends once a minute, and they only collide.
        trace: Packet trace whose losses are repeated; None: none.
    """

    loss: float = 0.0
    ack_loss: float = 0.0
    burst: Burst | None = None
    duplicate: float = 0.0
    delay_s: float = 0.0
    reorder: float = 0.0
    collisions: str = "none"
    neighbours: int = 0
    trace: Path | None = None

    @property
    def is_fair(self) -> bool:
        """Whether every packet arrives once and without delay."""
        return self == ChannelModel(neighbours=self.neighbours)
