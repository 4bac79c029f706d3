"""What a reader knows of the nodes now: the last message of each gateway and node, as long as it holds. Pure.

A message holds for its `valid_s`; then its gateway is away, and the node is unknown there. One that the broker had kept
is old when it comes: it holds only if the clocks of both ends show that it is not too old, and no longer than that.
What it says of when the node was heard stays true, unless the clocks of both ends are apart.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from aoii.broker.node_liveness import Vouched, combine
from aoii.broker.node_status import NO_LABEL, Label, NodeStatus, decode

CLOCKS_APART_S = 5.0  # by which synced clocks of two machines may differ
COMPARED_S = 60.0  # if they differ by more, one is wrong, and when a node was heard cannot be compared
NODES_LIMIT = 10_000  # names come from messages


@dataclass(frozen=True)
class _Known:
    status: NodeStatus
    until_s: float


class KnownStatuses:
    """Of all gateways; for one thread at a time.

    Args:
        speed: Seconds on the nodes' clock in one real second; other than 1 in simulations only.
    """

    def __init__(self, speed: float = 1.0) -> None:
        self._speed = speed
        self._by_node: dict[str, dict[str, _Known]] = {}  # by node and topic
        self._node_of: dict[str, str] = {}  # by topic

    def add(self, topic: str, payload: bytes, *, is_kept: bool, now_s: float, unix_ms: int) -> None:
        """Take a message.

        Args:
            topic: Its topic.
            payload: Its content.
            is_kept: Whether the broker had kept it.
            now_s: The reader's monotonic clock, s.
            unix_ms: The wall clock of the nodes, at the reader.

        Raises:
            ProtocolError: It cannot be read; what was known stays.
        """
        status = decode(topic, payload)
        if status is None:
            self._remove(topic)
            return
        if topic not in self._node_of and len(self._node_of) >= NODES_LIMIT:
            return
        left_s = self._left_s(status, unix_ms) if is_kept else status.valid_s
        if not is_kept and abs(self._age_s(status, unix_ms)) > COMPARED_S:
            status = replace(status, vouched=replace(status.vouched, last_heard_ms=None))
        self._node_of[topic] = status.node
        self._by_node.setdefault(status.node, {})[topic] = _Known(status, now_s + left_s)

    def of(self, node: str, now_s: float) -> Vouched:
        """What holds of a node now, by all gateways."""
        return combine(self._said_now(node, now_s))

    def label(self, node: str) -> Label:
        """Name and place of a node, from the gateway that has said them last; it keeps them while all are away."""
        said = [known for known in self._by_node.get(node, {}).values() if known.status.label != NO_LABEL]
        return max(said, key=lambda known: known.until_s).status.label if said else NO_LABEL

    def nodes(self) -> list[str]:
        """The nodes of which a gateway says something."""
        return list(self._by_node)

    def _said_now(self, node: str, now_s: float) -> Iterator[Vouched]:
        for known in self._by_node.get(node, {}).values():
            vouched = known.status.vouched
            yield vouched if now_s < known.until_s else replace(vouched, liveness="unknown", error_bound=None)

    def _age_s(self, status: NodeStatus, unix_ms: int) -> float:
        """How long ago a message was sent by the clocks of both ends, real seconds; 0 without a clock."""
        return 0.0 if status.unix_ms is None else (unix_ms - status.unix_ms) / 1000 / self._speed

    def _left_s(self, status: NodeStatus, unix_ms: int) -> float:
        """For how long a message that was kept still holds, s."""
        if status.unix_ms is None:
            return 0.0
        age_s = self._age_s(status, unix_ms)
        return status.valid_s - max(0.0, age_s) if age_s >= -CLOCKS_APART_S else 0.0

    def _remove(self, topic: str) -> None:
        node = self._node_of.pop(topic, None)
        if node is not None:
            del self._by_node[node][topic]
            if not self._by_node[node]:
                del self._by_node[node]
