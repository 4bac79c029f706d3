"""What a policy is: a node that makes packets from samples, and an estimator that makes estimates from packets.

The node sees every sample. The estimator is the gateway's end; the replay keeps one for the gateway and one for the
node's view of the gateway. All estimates are integers in hundredths, so that a policy is judged as the real gateway
judges. The replay decides when a packet is sent; the two periodic policies alone follow the clock.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, Self

from aoii.core import prior
from aoii.core.forecast import HOLD, Trend
from aoii.lab.mlp_weights import MlpWeights

Pair = tuple[int, int]  # temperature and humidity, hundredths; an index into it is called `q`
Prior = tuple[tuple[int, ...], ...]  # as in core/prior.py

TREND_BYTES = 32  # a version 1 frame of docs/reference/wire-format.md


class Packet(NamedTuple):
    """What a packet carries: the reading, and a trend or a slope (hundredths a sample) if the policy has one."""

    reading: Pair
    trend: Trend = HOLD
    slope: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Options:
    """How to replay, and what a policy may know before the first sample.

    Attributes:
        epsilon: Thresholds, hundredths of °C and %RH.
        heartbeat_s: A node that was silent for this long sends a heartbeat, s; 0: never.
        tau: The node sends after this many wrong samples in a row, at least 1.
        prior: The prior of `trend`.
        mlp: The first weights of `mlp`; None unless `mlp` is replayed.
    """

    epsilon: Pair = (50, 300)
    heartbeat_s: int = 0
    tau: int = 1
    prior: Prior = prior.WEIGHTS
    mlp: MlpWeights | None = None


class Node(Protocol):
    """The sending end."""

    def observe(self, reading: Pair, steps: int, day_ms: int) -> None:
        """Take the next sample, `steps` sampling intervals after the last one and `day_ms` after midnight UTC."""

    def packet(self) -> Packet:
        """The packet that would be sent now."""


class Estimator(Protocol):
    """The receiving end."""

    def advance(self, steps: int, day_ms: int) -> Pair | None:
        """Move on by `steps` sampling intervals; the estimate then, None before the first packet."""

    def receive(self, packet: Packet) -> Pair:
        """Take a packet of the current sample; the estimate after it."""

    def copy(self) -> Self:
        """An independent copy."""
        return copy.deepcopy(self)


@dataclass(frozen=True)
class Policy:
    """One way to keep the gateway's estimate correct.

    Attributes:
        name: Name on the command line.
        node: Makes the sending end.
        estimator: Makes the receiving end.
        frame_bytes: Length of a packet on air.
        clock: `every`: sends each sample; `equal`: sends as many packets as `trend`, spread evenly; None: sends when
            the estimate is wrong.
        resends: Whether a packet without an acknowledgement is sent again; if not, the node assumes that it arrived.
    """

    name: str
    node: Callable[[Options], Node]
    estimator: Callable[[Options], Estimator]
    frame_bytes: int = TREND_BYTES
    clock: Literal["every", "equal"] | None = None
    resends: bool = True

    def is_due(self, index: int, samples: int, packets: int) -> bool:
        """Whether the clock asks for a packet at sample `index`; `equal` spreads `packets` evenly over `samples`."""
        if self.clock == "equal":
            return index * packets // samples != (index - 1) * packets // samples
        return self.clock == "every"
