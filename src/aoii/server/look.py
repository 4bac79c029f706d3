"""A look: what the database and the dead letters have of every node and epoch, read at one instant, as values. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aoii.server import ranges
from aoii.server.gap import Gap, NodeEpoch
from aoii.server.ledger import first_number
from aoii.server.ranges import Ranges


@dataclass(frozen=True)
class NodeFacts:
    """What is known of a node and epoch.

    Attributes:
        rows: The numbers above the floor that have a row.
        letters: The numbers of dead letters.
        gaps: What is recorded of numbers without a row, ascending.
        floor: Up to here nothing is looked for; less than the first number if there is no floor.
        writers: The gateways that have brought rows of this node.
        before: Up to here the numbers are older than the audit itself (version 0.3); -1 if none is.
    """

    rows: Ranges = ()
    letters: Ranges = ()
    gaps: Sequence[Gap] = ()
    floor: int = -1
    writers: frozenset[str] = frozenset()
    before: int = -1

    @property
    def highest_row(self) -> int:
        """The highest number with a row; -1 if there is none."""
        return self.rows[-1][1] if self.rows else -1

    @property
    def present(self) -> Ranges:
        """The numbers that are accounted for by a row or a dead letter."""
        return ranges.union(self.rows, self.letters)

    def first(self, epoch: int) -> int:
        """The lowest number that needs a row, if the node counts in this epoch."""
        return max(first_number(epoch), self.floor + 1)


@dataclass(frozen=True)
class Look:
    """A look at everything.

    Attributes:
        facts: By node and epoch; those of which nothing is known are left out.
        is_full: Whether every row was read, or only what is new since the look before.
        gateways: The gateways of the newest rows: they are asked to report, even if they never have.
    """

    facts: Mapping[NodeEpoch, NodeFacts]
    is_full: bool
    gateways: frozenset[str] = field(default_factory=frozenset)

    def facts_of(self, key: NodeEpoch) -> NodeFacts:
        """What is known of a node and epoch, which may be nothing."""
        return self.facts.get(key, NodeFacts())
