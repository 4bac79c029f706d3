"""The simulated radio as a replay sees it: whether the gateway hears a packet, and the node its answer, in time.

What happens on the air is `simulation/radio.py`'s, the same as in the demo. A replay knows no time between two samples,
so a packet that comes after the receive window counts as lost here, and a copy of it as nothing.
"""

import random
from typing import Protocol

from aoii.core.link_timing import TIMING
from aoii.settings.channel import ChannelModel
from aoii.simulation.packet_traces import load as load  # noqa: PLC0414 - given on
from aoii.simulation.packet_traces import of_node as of_node  # noqa: PLC0414 - given on
from aoii.simulation.radio import DOWNLINK_MS, UPLINK_MS, Radio
from aoii.simulation.radio import PacketTrace as PacketTrace  # noqa: PLC0414 - given on

EITHER_WAY_MS = (TIMING.ack_window_ms - UPLINK_MS - DOWNLINK_MS) // 2  # half of what the window leaves for delays


class Channel(Protocol):
    """Both directions between node and gateway."""

    lossless: bool

    def up(self, at_s: float) -> bool:
        """Whether the gateway hears a packet sent `at_s` seconds into the recording."""

    def down(self) -> bool:
        """Whether the node hears the acknowledgement."""


class Simulated:
    """A `Channel` on the simulated radio, for one node.

    Args:
        channel: What happens on it.
        seed: Of its chances.
        trace: Of the node; None: none.
    """

    def __init__(self, channel: ChannelModel, seed: str, trace: PacketTrace | None = None) -> None:
        draw = random.Random(seed).random  # noqa: S311 - a simulation, not secrets
        self._radio = Radio(channel, draw, None if trace is None else lambda _: trace)
        self._at_ms = 0
        self.lossless = channel.is_fair and trace is None

    def up(self, at_s: float) -> bool:
        """See `Channel`."""
        self._at_ms = round(
            1000 * at_s
        )  # all tries of a sample at its instant: the radio is asked for their fates only
        return self._carries(is_up=True)

    def down(self) -> bool:
        """See `Channel`."""
        return self._carries(is_up=False)

    def _carries(self, is_up: bool) -> bool:
        sent = self._radio.begin(0, is_up, self._at_ms)
        self._at_ms = sent.end_ms  # what follows is after it, and does not collide with it
        return any(
            one.transmission is sent and one.at_ms - sent.end_ms <= EITHER_WAY_MS for one in self._radio.end(sent)
        )


class Random(Simulated):
    """Each packet and each acknowledgement is lost with its own probability, whatever happened to others."""

    def __init__(self, loss: float, ack_loss: float, seed: str) -> None:
        super().__init__(ChannelModel(loss, ack_loss), seed)


class Replayed(Simulated):
    """A packet trace, over and over: where its packet was lost, every try is lost. Random loss comes on top."""

    def __init__(self, trace: PacketTrace, loss: float, ack_loss: float, seed: str) -> None:
        super().__init__(ChannelModel(loss, ack_loss), seed, trace)
