"""What an MQTT connection reports of itself when it fails: each cause once, in the log and for doctor."""

import logging
from collections.abc import Callable
from typing import Literal

from aoii.core.errors import AoiiError, UnavailableError
from aoii.runtime.failure_log import FailureLog
from aoii.security import tls
from aoii.settings import Mqtt

log = logging.getLogger(__name__)

Refusal = Literal["tls", "login", "subscription"]


class ConnectionReport:
    """The failures of one client's connections; called in its network thread.

    Args:
        mqtt: The broker.
        client_id: The client's id at the broker.
        on_refusal: Called each time that the broker refuses us, or we refuse its certificate.

    Attributes:
        trouble: Why the latest attempt that failed has failed, or the latest connection was ended; never cleared.
        refusal: Why the broker answers but we are not ready; None after a success.
    """

    def __init__(self, mqtt: Mqtt, client_id: str, on_refusal: Callable[[Refusal], None]) -> None:
        self._mqtt = mqtt
        self._peer = f"{mqtt.host}:{mqtt.port}"
        self._on_refusal = on_refusal
        fields = {"client": client_id, "broker": self._peer}
        self._away = FailureLog(log, "broker not reached", "broker_not_reached", fields=fields)
        self._unstable = FailureLog(
            log,
            "broker ends our connections",
            "broker_unstable",
            ("broker connection lasts", "broker_stable"),
            0,
            fields,
        )
        self.trouble: AoiiError | None = None
        self.refusal: AoiiError | None = None

    def ready(self) -> None:
        """A connection is usable."""
        self.refusal = None
        self._away.record_success()

    def stable(self) -> None:
        """A connection has lasted."""
        self._unstable.record_success()

    def away(self, error: Exception) -> None:
        """The broker was not reached, or its TLS failed."""
        self.trouble = UnavailableError(str(error))
        if not self.tls_failed(str(error)):
            self._away.record_failure(str(error))

    def refused(self, kind: Refusal, refusal: AoiiError) -> None:
        """The broker refuses us, or we refuse it."""
        if str(self.refusal) != str(refusal):
            log.error("broker refuses us", extra={"event": "broker_refuses", "kind": kind, "reason": str(refusal)})
        self.refusal = refusal
        self._on_refusal(kind)

    def tls_failed(self, words: str) -> bool:
        """Report a refusal if the text of the library's error is about TLS; return whether it is."""
        meaning = None if self._mqtt.tls is None else tls.explain(words, self._peer, self._mqtt.tls)
        if meaning is not None:
            self.refused("tls", meaning)
        return meaning is not None

    def hung_up(self) -> None:
        """The peer closed the connection before its first packet."""
        remedy = (
            "make sure that this port speaks TLS" if self._mqtt.tls else "if this is its port for TLS, set MQTT_TLS_CA"
        )
        trouble = UnavailableError("the broker closes the connection without an answer", remedy)
        if str(self.trouble) != str(trouble):
            log.warning("broker hangs up", extra={"event": "broker_hangs_up", "reason": str(trouble)})
        self.trouble = trouble

    def ended(self, words: str, cause: AoiiError | None, is_first: bool, level: int) -> None:
        """A usable connection has ended.

        Args:
            words: The library's reason.
            cause: What is behind it, if that is known.
            is_first: Whether it is not one in a row of short connections: then its end is news in any case.
            level: Of the log line about the end of a connection without a cause.
        """
        if cause is not None:
            self.trouble = cause
            self._unstable.record_failure(str(cause))
        elif is_first:
            log.log(level, "broker connection ended", extra={"event": "broker_ended", "reason": words})
