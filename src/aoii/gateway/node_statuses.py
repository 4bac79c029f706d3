"""What this gateway says of a node, in metrics, estimates and topics alike, and when it says it again. Pure."""

from collections.abc import Iterable, Mapping

from aoii.broker.node_liveness import ErrorBound, NodeLiveness, Vouched
from aoii.broker.node_status import NO_LABEL, Label, NodeStatus
from aoii.gateway.liveness import Judgement
from aoii.gateway.readings import Instant

# Real seconds, also in a simulation: what they tell readers is whether this process and the broker are there.
REPEAT_S = 120.0  # an unchanged status is published again
VALID_S = 300  # for so long it holds: two repetitions and half of another

Said = tuple[Vouched, Label]


def status_of(
    node: str,
    gateway: str,
    judgement: Judgement | None,
    bound: ErrorBound | None,
    at: Instant,
    label: Label = NO_LABEL,
    *,
    is_sensor_faulty: bool,
) -> NodeStatus:
    """What the gateway says of a node now.

    Args:
        node: The node.
        gateway: GATEWAY_ID.
        judgement: What is known of its silence; None: nobody has heard it yet.
        bound: The thresholds that the node uses, if the gateway has an estimate of it.
        at: Now.
        label: What people call it.
        is_sensor_faulty: Whether its last frame reported a fault of its sensor, or looked like one.
    """
    if judgement is None:
        return NodeStatus(node, gateway, Vouched(), None, None, at.synced_unix_ms, VALID_S, label)
    liveness: NodeLiveness = judgement.liveness
    is_vouched_for = liveness in ("ok", "late") and not is_sensor_faulty
    if liveness == "ok" and is_sensor_faulty:
        liveness = "sensor_fault"
    vouched = Vouched(liveness, judgement.heard_unix_ms, bound if is_vouched_for else None)
    silence_s, deadline_s = judgement.silent_ms / 1000, judgement.promise.dead_ms / 1000
    return NodeStatus(node, gateway, vouched, silence_s, deadline_s, at.synced_unix_ms, VALID_S, label)


class DueStatuses:
    """Which nodes' statuses have to be published: those that changed, that are old, or that a new connection lacks."""

    def __init__(self) -> None:
        self._connection = 0
        self._said: dict[str, tuple[Said | None, float]] = {}  # on this connection; None: that the node is gone
        self._ever: set[str] = set()

    def due(self, statuses: Mapping[str, NodeStatus], known: Iterable[str], connection: int, now_s: float) -> list[str]:
        """The nodes of which something has to be published; those without a status are gone.

        Args:
            statuses: Of all nodes that belong here.
            known: Nodes that have ever been heard; the broker may have something of them.
            connection: Number of the connection; what an earlier one has taken may be lost.
            now_s: Monotonic seconds.
        """
        if connection != self._connection:
            self._connection = connection
            self._said.clear()
        self._ever.update(statuses)
        gone = {*self._ever, *known} - statuses.keys()
        found = [node for node in gone if node not in self._said or self._said[node][0] is not None]
        for node, status in statuses.items():
            said, at_s = self._said.get(node, (None, 0.0))
            if said != _said(status) or now_s - at_s >= REPEAT_S:
                found.append(node)
        return found

    def record(self, node: str, status: NodeStatus | None, now_s: float) -> None:
        """Note that this was published; None: that the node is gone."""
        self._said[node] = (None if status is None else _said(status)), now_s


def _said(status: NodeStatus) -> Said:
    return status.vouched, status.label
