"""The simulated radio as a replay sees it: whether the gateway hears a packet, and the node its answer, in time.

What happens on the air is `simulation/radio.py`'s, the same as in the demo. A replay knows no time between two samples,
so a packet that comes after the receive window counts as lost here, and a copy of it as nothing.
"""

import random
from typing import Protocol

from aoii.core.link import TIMING
from aoii.settings.channel import Reception as Reception  # noqa: PLC0414 - given on
from aoii.settings.channel import Weather
from aoii.simulation.packet_traces import load as load  # noqa: PLC0414 - given on
from aoii.simulation.packet_traces import of_node as of_node  # noqa: PLC0414 - given on
from aoii.simulation.radio import DOWNLINK_MS, UPLINK_MS, Radio

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
        weather: What happens on it.
        seed: Of its chances.
        reception: What the weather's trace says of the node.
    """

    def __init__(self, weather: Weather, seed: str, reception: Reception | None = None) -> None:
        draw = random.Random(seed).random  # noqa: S311 - weather, not secrets
        self._radio = Radio(weather, draw, None if reception is None else lambda _: reception)
        self._at_ms = 0
        self.lossless = weather.is_fair and reception is None

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
        super().__init__(Weather(loss, ack_loss), seed)


class Replayed(Simulated):
    """A recorded reception, over and over: where its packet was lost, every try is lost. Random loss comes on top."""

    def __init__(self, reception: Reception, loss: float, ack_loss: float, seed: str) -> None:
        super().__init__(Weather(loss, ack_loss), seed, reception)
