"""Why no commit acknowledgements come, said once in the log for each cause, and once that they come again."""

import logging

from aoii.broker.client import REFUSED, Published
from aoii.broker.messages import READINGS_TOPIC
from aoii.gateway.former_names import FormerNames
from aoii.runtime.failure_log import FailureLog
from aoii.runtime.health_limits import COMMIT_ACK_DEADLINE_S

log = logging.getLogger(__name__)

SUCCESS = 0
NO_SUBSCRIBER = 16  # the broker has the message and nobody gets it
REFUSES = (
    f"the broker refuses the readings (reason code {{}}); let the gateway's user write {READINGS_TOPIC} in its ACL, or "
    "see its log"
)
NOBODY_SUBSCRIBES = (
    f"nobody subscribes to {READINGS_TOPIC} at this broker; start aoii server, or compare MQTT_BROKER, MQTT_PORT and "
    "MQTT_NAMESPACE of gateway and server"
)
NOBODY_ACKNOWLEDGES = (
    f"somebody subscribes to {READINGS_TOPIC}, but nobody acknowledges; see the log of aoii server, whether its "
    "database is away, and whether the broker's ACL lets the server write aoii/ack/# and this gateway read it; for a "
    "consumer that never acknowledges, such as the older subscriber, set OUTBOX_KEEP_UNTIL=published"
)


class MissingAcks:
    """What is known of acknowledgements that do not come.

    Args:
        former: Former names, whose acknowledgements may be kept from this gateway alone.
    """

    def __init__(self, former: FormerNames) -> None:
        self._former = former
        self._answer = 0  # the broker's reason code for the last reading that it answered for
        self._silence = FailureLog(
            log,
            "no commit acknowledgement, readings stay in the outbox",
            "ack_missing",
            ("commit acknowledgements come again", "ack_back"),
            lasts_s=0,
        )
        self._refusals = FailureLog(
            log,
            "broker refuses readings",
            "publish_refused",
            ("broker takes readings again", "publish_taken"),
            lasts_s=0,
        )

    def record_end(self, published: Published) -> None:
        """Note how the publish of a reading has ended; called in the connection's thread."""
        if published.reason is None:
            return
        self._answer = published.reason
        if published.accepted:
            self._refusals.record_success()
        else:
            self._refusals.record_failure(REFUSES.format(published.reason))

    def report(self, oldest_s: float, silent_s: float, is_ready: bool) -> None:
        """Log once that no acknowledgement comes, with the likely causes, and once that they come again.

        Args:
            oldest_s: Age of the oldest reading in the outbox. And not of the last acknowledgement: so one reading that
                is stuck does not repeat the line.
            silent_s: For how long readings are in flight and none at all was acknowledged.
            is_ready: Whether the broker can be used.
        """
        if oldest_s < COMMIT_ACK_DEADLINE_S:
            self._silence.record_success()
        elif not is_ready:
            return
        elif silent_s >= COMMIT_ACK_DEADLINE_S:
            self._silence.record_failure(self._why_silent())
        elif self._former.unheard_s() >= COMMIT_ACK_DEADLINE_S:
            self._silence.record_failure(self._former.cure())

    def _why_silent(self) -> str:
        """What the broker's last answer lets us guess."""
        if self._answer >= REFUSED:
            return REFUSES.format(self._answer)
        if self._answer == NO_SUBSCRIBER:
            return NOBODY_SUBSCRIBES
        return f"{NOBODY_ACKNOWLEDGES}; or {self._former.cure()}" if self._former.names else NOBODY_ACKNOWLEDGES
