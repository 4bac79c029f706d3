"""The channel model: what the simulated radio does to packets, as a value made from settings or options."""

from dataclasses import dataclass
from pathlib import Path

COLLISIONS = ("none", "all", "capture")
# Node and gateway each round the time since a sample to whole steps of 60 s. They count the same steps if the packet
# arrives within half a step, 30 s; resends take 24 s of it (docs/explanation/radio.md).
DELAY_LIMIT_S = 5.0
NEIGHBOURS_LIMIT = 10_000


@dataclass(frozen=True)
class Burst:
    """Outages of a link, in both directions at once, at random and without memory: Gilbert, 1960; Elliott, 1963.

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
        loss: Probability that a node's packet is lost, independently of other packets.
        ack_loss: Probability that a packet from the gateway to a node is lost, in the same way.
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
    def is_ideal(self) -> bool:
        """Whether every packet arrives, once and without delay. Neighbours change nothing without `collisions`."""
        return self == ChannelModel(neighbours=self.neighbours)
