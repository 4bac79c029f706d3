"""A predictor that sleeps: it notes the samples, and wakes the learner only when a trend is wanted or the page is full.

The learner's 7 kB do not fit into the memory that a board keeps while it sleeps, and writing them to flash after every
sample would cost more energy than the sample. What it learns is a function of its state and of the samples since, so
those are noted, nine bytes each, and replayed when the time comes: the same steps in the same order, the same learner
to the bit. It refuses to know what is learned.
"""

import struct
from binascii import crc32

from ..core.forecast import Trend

MYPY = False
if MYPY:
    from collections.abc import Callable
    from typing import Protocol

    class Model(Protocol):
        """What `core.learner.Learner` promises."""

        def observe(self, temperature_c: int, humidity_c: int, steps: int, day_ms: int | None) -> None:
            """Take the next sample."""

        def trend(self, error_t_c: int, error_h_c: int) -> Trend:
            """The trend of the packet that carries the last sample."""

        def dump(self) -> bytes:
            """Everything."""

        def load(self, state: bytes) -> bool:
            """Go on from a dump; False, and nothing changed, when it is none of this model."""

    class DoubleBuffer(Protocol):
        """Where a dump survives the power."""

        def load(self) -> bytes:
            """What was saved last; empty when nothing whole is there."""

        def save(self, content: bytes) -> None:
            """Keep it; a power cut leaves the one before."""


PAGE = 64  # samples; 576 of the 2048 bytes of an ESP32's RTC memory
LONG_STEPS = 255  # the learner treats all gaps above 16 samples alike
NO_DAY = -1

_SAMPLE = "<hHBi"  # temperature, humidity, steps, millisecond of the day
_SAMPLE_BYTES = struct.calcsize(_SAMPLE)
_HEAD = "<BHHI"


class SampleLog:
    """A predictor for `Node`.

    Args:
        epsilon_t_c, epsilon_h_c: Thresholds that the node was provisioned with, hundredths.
        make: A new model for these thresholds.
        buffer: Where the model's state lies.
        breathe: Called after each replayed sample: one takes an ESP32 tens of milliseconds, and a watchdog waits.
        page: Samples noted before the model is woken at the latest.

    Attributes:
        lost: How often the state on the buffer was not the one that the journal continues.
    """

    def __init__(
        self,
        epsilon_t_c: int,
        epsilon_h_c: int,
        make: "Callable[[int, int], Model]",
        buffer: "DoubleBuffer",
        breathe: "Callable[[], object]",
        page: int = PAGE,
    ) -> None:
        self._epsilon = (epsilon_t_c, epsilon_h_c)
        self._make = make
        self._shelf = buffer
        self._breathe = breathe
        self._page = page * _SAMPLE_BYTES
        self._model: Model | None = None  # while it is awake
        self._noted = b""
        self._basis = 0  # check sum of the state that the noted samples follow; 0: a new model
        self._is_cold = True  # the power was away: what lies on the buffer may be continued, across a gap
        self.lost = 0

    def observe(self, temperature_c: int, humidity_c: int, steps: int, day_ms: int | None) -> None:
        """Note a sample."""
        if self._is_cold and not self._noted:
            steps = LONG_STEPS  # nobody knows how long the power was away
        day = NO_DAY if day_ms is None else day_ms
        self._noted += struct.pack(_SAMPLE, temperature_c, humidity_c, min(steps, LONG_STEPS), day)
        if len(self._noted) >= self._page:
            self._awake()

    def trend(self, error_t_c: int, error_h_c: int) -> Trend:
        """What the model says after all samples."""
        return self._awake().trend(error_t_c, error_h_c)

    def retune(self, epsilon_t_c: int, epsilon_h_c: int) -> None:
        """Begin anew with other thresholds, or after power-on go on from the buffer if that was made with them."""
        self._epsilon = (epsilon_t_c, epsilon_h_c)
        self._model = None
        self._noted = b""
        self._basis = 0

    def dump(self) -> bytes:
        """What it must not forget while the board sleeps."""
        return struct.pack(_HEAD, self._is_cold, self._epsilon[0], self._epsilon[1], self._basis) + self._noted

    def load(self, state: bytes) -> None:
        """Go on from a dump."""
        size = struct.calcsize(_HEAD)
        is_cold, epsilon_t_c, epsilon_h_c, self._basis = struct.unpack(_HEAD, state[:size])
        self._is_cold = is_cold != 0
        self._epsilon = (epsilon_t_c, epsilon_h_c)
        self._noted = state[size:]
        self._model = None

    def _awake(self) -> "Model":
        """The model, with all samples learned, and its state on the buffer."""
        model = self._model
        if model is None:
            model = self._model = self._found()
        if self._noted:
            for at in range(0, len(self._noted), _SAMPLE_BYTES):
                sample = struct.unpack(_SAMPLE, self._noted[at : at + _SAMPLE_BYTES])
                model.observe(sample[0], sample[1], sample[2], None if sample[3] == NO_DAY else sample[3])
                self._breathe()
            state = model.dump()
            self._shelf.save(state)
            self._basis = crc32(state)
            self._noted = b""
            self._is_cold = False
        return model

    def _found(self) -> "Model":
        """The model as it was when it went to sleep."""
        model = self._make(self._epsilon[0], self._epsilon[1])
        if self._is_cold or self._basis:
            state = self._shelf.load()
            is_ours = self._is_cold or crc32(state) == self._basis
            if not (is_ours and model.load(state)) and not self._is_cold:
                self.lost += 1
        return model
