"""Publishes what this gateway says of each node on `aoii/nodes/<gateway>/<node>`, where the broker keeps it."""

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

from aoii.broker.client import Client, Published
from aoii.broker.node_liveness import Vouched
from aoii.broker.node_status import GONE, NODES_TOPIC, NodeStatus, encode, topic_of
from aoii.broker.packet_size import PacketTooLargeError
from aoii.gateway.node_statuses import DueStatuses
from aoii.runtime import metrics
from aoii.runtime.advice import document
from aoii.runtime.failure_log import FailureLog

log = logging.getLogger(__name__)

STATUS = object()  # the token of these publishes


class StatusPublisher:
    """The statuses of one gateway; called from one thread, but for `record_end`.

    Args:
        gateway_id: Names the topics.
        client: The connection to the broker.
    """

    def __init__(self, gateway_id: str, client: Client) -> None:
        self._gateway_id = gateway_id
        self._client = client
        self._due = DueStatuses()
        self._refusals = FailureLog(log, "what we say of nodes is refused by the broker", "status_refused", lasts_s=0)

    def publish_due(self, statuses: Mapping[str, NodeStatus], known: Iterable[str]) -> None:
        """Publish what is due; what cannot be published now is due again at the next call.

        Args:
            statuses: Of all nodes that belong here.
            known: Nodes that have ever been heard, whether they belong here or not.
        """
        connection = self._client.connection_number
        if not self._client.is_ready:
            return
        now_s = time.monotonic()
        for node in self._due.due(statuses, known, connection, now_s):
            status = statuses.get(node)
            if not self._publish(node, status, 1):
                return
            self._due.record(node, status, now_s)

    def retract(self, statuses: Iterable[NodeStatus]) -> None:
        """Say of every node that nobody listens any more; before the connection is ended."""
        for status in statuses:
            unknown = replace(status, vouched=Vouched(last_heard_ms=status.vouched.last_heard_ms))
            self._publish(status.node, unknown, 0)  # nobody would wait for an answer

    def record_end(self, published: Published) -> None:
        """Note the broker's answer; in the connection's thread."""
        result = "sent" if published.accepted else "failed" if published.reason is None else "refused"
        metrics.STATUS_MESSAGES.labels(result=result).inc()
        if result == "refused":
            self._refusals.record_failure(
                f"reason code {published.reason}: let this gateway's user write {NODES_TOPIC}/{self._gateway_id}/+ in "
                f"the broker's ACL, or pages show its nodes as unknown ({document('docs/howto/MQTT.md')})"
            )
        elif result == "sent":
            self._refusals.record_success()

    def _publish(self, node: str, status: NodeStatus | None, qos: int) -> bool:
        payload = GONE if status is None else encode(status)
        try:
            return self._client.publish(topic_of(self._gateway_id, node), payload, qos, STATUS, keep=True)
        except PacketTooLargeError:  # logged once by the client; it would be as large the next time
            metrics.STATUS_MESSAGES.labels(result="refused").inc()
            return True
