"""What the core asks of the things that are handed to it, for type checkers only.

Never imported at run time and no part of the board's files: MicroPython has no typing.
"""

from collections.abc import Callable
from typing import Protocol

from .forecast import Trend

KeyOf = Callable[[int], bytes | None]
"""The key of a node number, None for a stranger."""

Random = Callable[[], float]
"""A uniform number in [0, 1)."""

IsBusy = Callable[[], bool]
"""Whether somebody is on the air, after listening for as long as the region asks."""


class Store(Protocol):
    """Slots that keep their content when the power goes; see `store`."""

    slots: int

    def read(self, slot: int) -> bytes:
        """What was written last, padded or not; empty when nothing ever was."""

    def write(self, slot: int, record: bytes) -> None:
        """Keep `record`, at most `store.SLOT_BYTES`; a power cut may leave any mixture of old and new."""


class Predictor(Protocol):
    """Learns how readings move, and says so in a trend."""

    def observe(self, temperature_c: int, humidity_c: int, steps: int, day_ms: int | None) -> None:
        """Take the next valid sample, `steps` sampling intervals after the one before, at this time of the UTC day."""

    def trend(self, error_t_c: int, error_h_c: int) -> Trend:
        """The trend of the packet that is about to carry the last sample; reading minus estimate, 0 in a heartbeat."""

    def retune(self, epsilon_t_c: int, epsilon_h_c: int) -> None:
        """Go on with other thresholds, hundredths."""
