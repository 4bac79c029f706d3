"""The simulated radio between the nodes and the receiver: what it does to a packet is decided here, and nowhere else.

Pure: chance comes from outside. Losses are independent; both directions lose alike.
"""

from collections.abc import Callable


class Radio:
    """Loses packets with a fixed probability.

    Args:
        loss: Probability that a packet is lost, 0..1.
        random: Uniform numbers in [0, 1).
    """

    def __init__(self, loss: float, random: Callable[[], float]) -> None:
        self._loss = loss
        self._random = random
        self.carried = 0
        self.lost = 0

    def carries(self) -> bool:
        """Whether the next packet arrives; counts it."""
        arrives = self._random() >= self._loss
        if arrives:
            self.carried += 1
        else:
            self.lost += 1
        return arrives
