"""Publishes the gateway's estimates: one message a minute for each node (in the demo, a simulated minute).

Estimates go out at QoS 0 and are not kept: a lost one is replaced by the next.
"""

import logging
import threading
import time
from collections.abc import Callable

from aoii.broker.client import Client
from aoii.broker.messages import READINGS_TOPIC, encode_estimate
from aoii.broker.node_liveness import Vouched
from aoii.broker.packet_size import PacketTooLargeError
from aoii.broker.reconnection import TOO_LARGE
from aoii.gateway.intake import Intake
from aoii.runtime import metrics
from aoii.runtime.clock import Clock

log = logging.getLogger(__name__)

ESTIMATE_EVERY_MS = 60_000  # as in the older installation
RECONNECT_WAIT_S = 2.0  # a connection to a broker that is up takes 0.05 s


class EstimatePublisher:
    """Publishes the estimates when they are due; called from one thread.

    Args:
        intake: Makes the estimates.
        client: The connection to the broker.
        clock: The gateway's clock; simulated in the demo.
        stopping: Ends the wait for a connection.
        vouched_for: What this gateway says of a node.
    """

    def __init__(
        self,
        intake: Intake,
        client: Client,
        clock: Clock,
        stopping: threading.Event,
        vouched_for: Callable[[str], Vouched],
    ) -> None:
        self._intake = intake
        self._client = client
        self._clock = clock
        self._stopping = stopping
        self._vouched_for = vouched_for
        self._due_ms = clock.elapsed_ms() + ESTIMATE_EVERY_MS

    def wait_s(self) -> float:
        """Real seconds until the next estimates are due."""
        return max(0.0, self._clock.real_s((self._due_ms - self._clock.elapsed_ms()) / 1000))

    def publish_due(self) -> None:
        """Publish an estimate of each node that has one, if it is time; minutes that were missed are skipped."""
        late_ms = self._clock.elapsed_ms() - self._due_ms
        if late_ms < 0:
            return
        self._due_ms += ESTIMATE_EVERY_MS * (late_ms // ESTIMATE_EVERY_MS + 1)
        payloads = [encode_estimate(estimate) for estimate in self._intake.estimates(self._vouched_for)]
        for number, payload in enumerate(payloads):
            if not self.publish(payload):  # the others would wait for the same connection
                _count("failed", len(payloads) - number - 1)
                return

    def publish(self, payload: bytes) -> bool:
        """Publish one estimate, and try once more after a reconnect; return whether others may be published."""
        try:
            is_taken = self._client.publish(READINGS_TOPIC, payload, 0)
            if not is_taken and self._reconnect():
                is_taken = self._client.publish(READINGS_TOPIC, payload, 0)
        except PacketTooLargeError:  # logged once by the client
            _count("refused", 1, str(TOO_LARGE))
            return True
        if not is_taken:
            log.warning("estimate not published", extra={"event": "publish_failed"})
        _count("sent" if is_taken else "failed", 1)
        return is_taken

    def _reconnect(self) -> bool:
        """Replace the connection that has just failed; return whether a new one came in time."""
        failed = self._client.connection_number if self._client.is_ready else 0
        self._client.reconnect()
        deadline_s = time.monotonic() + RECONNECT_WAIT_S
        while not (self._client.is_ready and self._client.connection_number != failed):
            if time.monotonic() > deadline_s or self._stopping.wait(0.02):
                return False
        return True


def _count(result: str, estimates: int, reason: str = "") -> None:
    metrics.PUBLISHES.labels(event="EST", qos="0", result=result, reason=reason).inc(estimates)
