"""What the simulated radio does to packets, described once: for `aoii demo`, `aoii edge` and `aoii lab replay` alike.

A value and how it is written; nothing here loses a packet (`simulation/radio.py` does) or reads a file
(`simulation/packet_traces.py` does).
"""

import math
from dataclasses import dataclass
from pathlib import Path

COLLISIONS = ("none", "all", "capture")
DELAY_LIMIT_S = 5.0  # node and gateway count a plan's steps to the nearest: half a period, 30 s, and resends take 24
NEIGHBOURS_LIMIT = 10_000
BURST_REMEDY = "write SHARE:SECONDS or SHARE:SECONDS:LOSS, such as 0.05:120: in outages 5 % of the time, 120 s each"


@dataclass(frozen=True)
class Burst:
    """Outages, as Gilbert (1960) and Elliott (1963) model them: a link is well or ill, and forgets how long it was.

    Attributes:
        share: Of the time that a link is ill, 0 to below 1.
        mean_s: How long it stays so, on average, s.
        loss: Probability that a packet is lost meanwhile; both directions fall ill together.
    """

    share: float
    mean_s: float
    loss: float = 1.0

    def __str__(self) -> str:
        return f"{self.share:g}:{self.mean_s:g}:{self.loss:g}"


@dataclass(frozen=True)
class Reception:
    """What a real gateway heard of one node that sent once in each interval."""

    interval_s: float
    heard: tuple[bool, ...]


@dataclass(frozen=True)
class Weather:
    """Everything that may happen to a packet on the air.

    Attributes:
        loss: Probability that a node's packet is lost, whatever happened to others.
        ack_loss: The same for what the gateway answers.
        burst: Outages on top of that; None: none.
        duplicate: Probability that a packet is heard twice, the copy up to 5 s later.
        delay_s: Every packet comes up to this late, each by its own chance.
        reorder: Probability that a packet is heard only after the next one of the same sender.
        collisions: What happens when packets overlap: `none`, `all` are lost, or all but the strongest (`capture`).
        neighbours: Nodes of others on the same channel, each of which sends once a minute; they only collide.
        trace: A reception trace whose losses are repeated; None: none.
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
        """Whether every packet arrives, once and at once."""
        return self == Weather(neighbours=self.neighbours)


def share(text: str) -> float:
    """A probability. Raises ValueError."""
    return number(text, 0.0, 1.0)


def number(text: str, low: float, high: float) -> float:
    """A number within bounds. Raises ValueError."""
    value = float(text)
    if not low <= value <= high:
        raise ValueError(text)
    return value


def burst(text: str) -> Burst | None:
    """Outages as `SHARE:SECONDS[:LOSS]`, None for nothing. Raises ValueError."""
    if not text:
        return None
    fields = text.split(":")
    if len(fields) not in {2, 3}:
        raise ValueError(text)
    found = Burst(share(fields[0]), float(fields[1]), share(fields[2]) if len(fields) == 3 else 1.0)
    if found.share == 1.0 or not (math.isfinite(found.mean_s) and found.mean_s > 0):
        raise ValueError(text)
    return found
