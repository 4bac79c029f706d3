"""What the core needs from outside, as types for type checkers.

MicroPython has no `typing`, so this file is not copied to boards.
"""

from collections.abc import Callable
from typing import Protocol

from .forecast import Trend

Random = Callable[[], float]
"""A uniform number in [0, 1)."""

IsBusy = Callable[[], bool]
"""Whether the channel is busy, after listening for as long as the region requires."""


class Store(Protocol):
    """Slots that keep their content without power; see `store`."""

    slots: int

    def read(self, slot: int) -> bytes:
        """The record written last, perhaps with padding behind it; before the first write, none, or only 0xFF."""

    def write(self, slot: int, record: bytes) -> None:
        """Store `record`, at most `store.SLOT_BYTES`; a power cut may leave any mixture of old and new.

        Raises:
            OSError: The record cannot be stored.
        """


class Predictor(Protocol):
    """Learns how readings move, and predicts it as a trend."""

    def observe(self, temperature_c: int, humidity_c: int, steps: int, day_ms: int | None) -> None:
        """Learn from a valid sample, `steps` sampling intervals after the last one, at this time of the UTC day."""

    def trend(self, error_t_c: int, error_h_c: int) -> Trend:
        """The trend for the packet with the last sample; errors are reading minus estimate, 0 in a heartbeat."""

    def retune(self, epsilon_t_c: int, epsilon_h_c: int) -> None:
        """Use other thresholds from now on, hundredths."""
