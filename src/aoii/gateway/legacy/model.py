"""The operators' model: its weights as they trained it, and the mirrors that begin with them."""

from dataclasses import dataclass

from aoii.gateway.legacy import mirror, sigmoid_mirror
from aoii.gateway.legacy.layers import Layer, Scale
from aoii.gateway.legacy.mirror import Mirror
from aoii.gateway.legacy.sigmoid_mirror import SigmoidMirror

Model = Mirror | SigmoidMirror
"""The mirrored model of one node; both kinds have the same methods."""


@dataclass(frozen=True)
class Weights:
    """The model that the operators trained.

    Attributes:
        scale: Of its inputs and outputs.
        layers: From input to output; three for `Mirror`, two for `SigmoidMirror`.
        fingerprint: Of all its numbers.
        rate: The learning rate.
    """

    scale: Scale
    layers: tuple[Layer, ...]
    fingerprint: str
    rate: float = mirror.LEARNING_RATE

    @property
    def is_sigmoid(self) -> bool:
        """Whether it is the older model."""
        return len(self.layers) == len(sigmoid_mirror.SHAPES)

    def initial(self) -> Model:
        """The model of a node of which nothing is known."""
        if self.is_sigmoid:
            return SigmoidMirror.initial(self.scale, self.layers, self.rate)
        return Mirror.initial(self.scale, self.layers)

    def load(self, dumped: bytes) -> Model:
        """A model that began with these weights, from its `dump`."""
        return (SigmoidMirror if self.is_sigmoid else Mirror).load(self.scale, dumped)
