"""The sample log: a predictor that keeps samples, and wakes the learner only for a trend or when it is full.

The learner's 7 kB do not fit into the memory that a board keeps in deep sleep, and writing them to flash after each
sample would cost more energy than the sample. What the learner knows is a function of its state and of the samples
since. So the samples are kept, nine bytes each, and replayed later: the same steps in the same order give the same
learner to the bit. What is learned is up to the learner.
"""

import struct
from binascii import crc32

from ..core.forecast import Trend

MYPY = False
if MYPY:
    from collections.abc import Callable
    from typing import Protocol

    class Model(Protocol):
        """A model that can sleep, such as `core.learner.Learner`."""

        def observe(self, temperature_c: int, humidity_c: int, steps: int, day_ms: int | None) -> None:
            """Learn from the next sample."""

        def trend(self, error_t_c: int, error_h_c: int) -> Trend:
            """The trend for the packet with the last sample."""

        def dump(self) -> bytes:
            """Everything."""

        def load(self, state: bytes) -> bool:
            """Continue from a dump; False, and nothing is changed, when it is not one of this model."""

    class DoubleBuffer(Protocol):
        """Keeps a dump without power."""

        def load(self) -> bytes:
            """The content saved last; empty when there is none."""

        def save(self, content: bytes) -> None:
            """Store `content`; a power cut meanwhile leaves what was stored before."""


CAPACITY = 64  # samples; 576 of the 2048 bytes of an ESP32's RTC memory
LONG_STEPS = 255  # the learner treats all gaps above 16 samples alike
NO_DAY = -1  # the node does not know the time

_SAMPLE = "<hHBi"  # temperature, humidity, steps, millisecond of the day
_SAMPLE_BYTES = struct.calcsize(_SAMPLE)
_HEAD = "<BHHI"  # _is_cold, thresholds, _basis


class SampleLog:
    """A predictor for `Node`.

    Args:
        epsilon_t_c: Threshold of the temperature that the node was provisioned with, hundredths of °C.
        epsilon_h_c: Threshold of the humidity, hundredths of %RH.
        make_model: A new model for these thresholds.
        buffer: Keeps the model's state.
        feed_watchdog: Called after each replayed sample, which takes an ESP32 tens of milliseconds.
        capacity: Samples in the log at which the model wakes at the latest.

    Attributes:
        lost: How often the state in the buffer was not the one that the log continues.
    """

    def __init__(
        self,
        epsilon_t_c: int,
        epsilon_h_c: int,
        make_model: "Callable[[int, int], Model]",
        buffer: "DoubleBuffer",
        feed_watchdog: "Callable[[], object]",
        capacity: int = CAPACITY,
    ) -> None:
        self._epsilon = (epsilon_t_c, epsilon_h_c)
        self._make_model = make_model
        self._buffer = buffer
        self._feed_watchdog = feed_watchdog
        self._capacity_bytes = capacity * _SAMPLE_BYTES
        self._model: Model | None = None  # while it is awake
        self._samples = b""
        self._basis = 0  # CRC of the state before these samples; 0: a new model
        self._is_cold = True  # after a power cut: any state in the buffer is continued, as after a long gap
        self.lost = 0

    def observe(self, temperature_c: int, humidity_c: int, steps: int, day_ms: int | None) -> None:
        """Keep a sample."""
        if self._is_cold and not self._samples:
            steps = LONG_STEPS  # the length of the power cut is unknown
        day = NO_DAY if day_ms is None else day_ms
        self._samples += struct.pack(_SAMPLE, temperature_c, humidity_c, min(steps, LONG_STEPS), day)
        if len(self._samples) >= self._capacity_bytes:
            self.wake_model()

    def trend(self, error_t_c: int, error_h_c: int) -> Trend:
        """The model's trend after all samples."""
        return self.wake_model().trend(error_t_c, error_h_c)

    def retune(self, epsilon_t_c: int, epsilon_h_c: int) -> None:
        """Start fresh with other thresholds; after a power cut, continue from the buffer if it has the same ones."""
        self._epsilon = (epsilon_t_c, epsilon_h_c)
        self._model = None
        self._samples = b""
        self._basis = 0

    def dump(self) -> bytes:
        """What a deep sleep must carry over."""
        return struct.pack(_HEAD, self._is_cold, self._epsilon[0], self._epsilon[1], self._basis) + self._samples

    def load(self, state: bytes) -> None:
        """Continue from a dump."""
        size = struct.calcsize(_HEAD)
        is_cold, epsilon_t_c, epsilon_h_c, self._basis = struct.unpack(_HEAD, state[:size])
        self._is_cold = is_cold != 0
        self._epsilon = (epsilon_t_c, epsilon_h_c)
        self._samples = state[size:]
        self._model = None

    def wake_model(self) -> "Model":
        """The model after all samples; its state is in the buffer."""
        model = self._model
        if model is None:
            model = self._model = self._restored_model()
        if self._samples:
            for at in range(0, len(self._samples), _SAMPLE_BYTES):
                sample = struct.unpack(_SAMPLE, self._samples[at : at + _SAMPLE_BYTES])
                model.observe(sample[0], sample[1], sample[2], None if sample[3] == NO_DAY else sample[3])
                self._feed_watchdog()
            state = model.dump()
            self._buffer.save(state)
            self._basis = crc32(state)
            self._samples = b""
            self._is_cold = False
        return model

    def _restored_model(self) -> "Model":
        """The model as it was before its sleep; a new one when its state is lost."""
        model = self._make_model(self._epsilon[0], self._epsilon[1])
        if self._is_cold or self._basis:
            state = self._buffer.load()
            is_ours = self._is_cold or crc32(state) == self._basis
            if not (is_ours and model.load(state)) and not self._is_cold:
                self.lost += 1
        return model
