"""Logs a failure that lasts: once, once more for each new cause, and its end.

For what is tried again and again, such as a broker or a port: a line for each try would bury everything else, and no
line at all would leave a person without a clue.
"""

import logging
import time
from collections.abc import Mapping

LASTS_S = 3.0  # a peer that is being restarted is usually back by then
CAUSES_LIMIT = 20  # of one failure; causes may come from a peer


class FailureLog:
    """The failures of one thing; used by one thread at a time.

    Args:
        log: Where to log.
        words: What does not work, as a constant sentence.
        event: The same as an event's name.
        over: Words and event of the end of the failure; None: what begins instead is logged elsewhere.
        lasts_s: Seconds for which it must have failed before it is logged; 0: the first failure is logged.
        fields: Further fields of every line.
        level: Of the failure; its end is always at info.
    """

    def __init__(
        self,
        log: logging.Logger,
        words: str,
        event: str,
        over: tuple[str, str] | None = None,
        lasts_s: float = LASTS_S,
        fields: Mapping[str, object] | None = None,
        level: int = logging.WARNING,
    ) -> None:
        self._log = log
        self._words = words
        self._event = event
        self._lasts_s = lasts_s
        self._over = over
        self._level = level
        self._fields = dict(fields or {})
        self._failing_since_s: float | None = None  # None while it works
        self._causes: set[str] = set()  # logged since then

    @property
    def is_logged(self) -> bool:
        """Whether the present failure has been logged."""
        return bool(self._causes)

    def record_failure(self, cause: str, **fields: object) -> None:
        """Note a failure; logged if it lasts and this cause is new."""
        now_s = time.monotonic()
        if self._failing_since_s is None:
            self._failing_since_s = now_s
        is_new = cause not in self._causes and len(self._causes) < CAUSES_LIMIT
        if is_new and now_s - self._failing_since_s >= self._lasts_s:
            self._causes.add(cause)
            extra = {"event": self._event, "reason": cause} | self._fields | fields
            self._log.log(self._level, self._words, extra=extra)

    def record_success(self) -> None:
        """Note that it works; logged if the failure was."""
        if self._causes and self._over is not None:
            words, event = self._over
            self._log.info(words, extra={"event": event} | self._fields)
        self._causes.clear()
        self._failing_since_s = None
