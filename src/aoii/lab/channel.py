"""The simulated radio as a replay sees it: whether a packet arrives, and whether its acknowledgement does.

`simulation/radio.py` decides, as in the demo. A replay knows no time between two samples, so a packet that arrives
after the receive window counts as lost here, and a copy counts for nothing.
"""

import random
from typing import Protocol

from aoii.core.link_timing import TIMING
from aoii.settings.channel import ChannelModel
from aoii.simulation.radio import DOWNLINK_MS, UPLINK_MS, PacketTrace, Radio
from aoii.simulation.recordings import Series

# a packet and its acknowledgement may each be late by half of what airtime leaves of the receive window
DELAY_LIMIT_MS = (TIMING.ack_window_ms - UPLINK_MS - DOWNLINK_MS) // 2


class Channel(Protocol):
    """Both directions between a node and its gateway.

    Attributes:
        is_lossless: Whether every packet and every acknowledgement arrives in time.
    """

    is_lossless: bool

    def carries_uplink(self, at_s: float) -> bool:
        """Whether a packet that is sent `at_s` seconds into the recording reaches the gateway."""

    def carries_ack(self) -> bool:
        """Whether the acknowledgement of that packet reaches the node."""


class SimulatedChannel:
    """A `Channel` on the simulated radio, for one node.

    Args:
        model: The channel model.
        seed: Seed of its random numbers.
        trace: The node's packet trace, repeated without end; None: no trace.
    """

    def __init__(self, model: ChannelModel, seed: str, trace: PacketTrace | None = None) -> None:
        draw = random.Random(seed).random  # noqa: S311 - a simulation, not secrets
        self._radio = Radio(model, draw, None if trace is None else lambda _: trace)
        self._at_ms = 0
        self.is_lossless = model.is_fair and trace is None

    def carries_uplink(self, at_s: float) -> bool:
        """See `Channel`."""
        self._at_ms = round(1000 * at_s)  # all tries of a sample are made at its instant
        return self._carries(is_up=True)

    def carries_ack(self) -> bool:
        """See `Channel`."""
        return self._carries(is_up=False)

    def _carries(self, is_up: bool) -> bool:
        sent = self._radio.transmit(0, is_up, self._at_ms)
        self._at_ms = sent.end_ms  # the next packet begins when this one has ended, and does not collide with it
        return any(
            reception.transmission is sent and reception.at_ms - sent.end_ms <= DELAY_LIMIT_MS
            for reception in self._radio.arrivals(sent)
        )


def lossless(_: Series | None = None) -> Channel:
    """A channel that loses nothing, for any series."""
    return SimulatedChannel(ChannelModel(), "")
