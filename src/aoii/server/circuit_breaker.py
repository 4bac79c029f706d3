"""The circuit breaker: stops inserts while the database fails. A transition table; pure.

Source: Nygard, "Release It!", 2007; Fowler, "CircuitBreaker", 2014.
"""

from aoii.core.errors import InternalError

CLOSED = "closed"  # the database takes rows
OPEN = "open"  # the database is away: readings become dead letters at once
HALF_OPEN = "half_open"  # the database answers, but may still reject rows: one with a full table answers too

STORED = "stored"  # an insert succeeded
FAILED = "failed"  # an insert failed, after all its tries
ANSWERED = "answered"  # a probe succeeded

RULES = {
    (CLOSED, STORED): CLOSED,
    (CLOSED, FAILED): OPEN,
    (CLOSED, ANSWERED): CLOSED,
    (OPEN, ANSWERED): HALF_OPEN,
    (HALF_OPEN, STORED): CLOSED,
    (HALF_OPEN, FAILED): OPEN,
    (HALF_OPEN, ANSWERED): HALF_OPEN,
}


class CircuitBreaker:
    """Decides how often an insert is tried before its readings become dead letters.

    Without it every batch would wait for all its retries while the database is away, and the broker's queue would
    overflow. It begins OPEN: before the first answer nothing is known of the database.

    Args:
        max_retries: Retries of an insert while the breaker is CLOSED.

    Attributes:
        state: CLOSED, OPEN or HALF_OPEN.
    """

    def __init__(self, max_retries: int) -> None:
        self._max_retries = max_retries
        self.state = OPEN

    def handle(self, event: str) -> bool:
        """Handle STORED, FAILED or ANSWERED; return whether the state changed.

        Raises:
            InternalError: The table has no such transition.
        """
        after = RULES.get((self.state, event))
        if after is None:
            raise InternalError(f"circuit breaker is {self.state} and has no rule for {event}")
        changed = after != self.state
        self.state = after
        return changed

    def tries(self) -> int:
        """Number of tries for the next insert; 0: its readings become dead letters at once."""
        return {CLOSED: 1 + self._max_retries, HALF_OPEN: 1, OPEN: 0}[self.state]
