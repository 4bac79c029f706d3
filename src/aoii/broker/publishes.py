"""The publishes of one connection that have not ended, in the order in which they were handed over."""

import threading
from collections.abc import Callable
from typing import NamedTuple


class _Publish(NamedTuple):
    token: object
    size: int


class Publishes:
    """Used by the network thread and by those that publish.

    Args:
        report: Called once for each publish that has ended, with its token and the broker's reason code; None if the
            connection ended first.
    """

    def __init__(self, report: Callable[[object, int | None], None]) -> None:
        self._report = report
        self._lock = threading.Lock()
        self._unfinished: dict[int, _Publish] = {}  # by message id
        self._early: dict[int, int] = {}  # reasons of publishes that ended before `add` knew the message id
        self._largest_answered = 0  # bytes
        self._is_closed = False

    def add(self, mid: int, token: object, size: int) -> bool:
        """Add a publish of so many bytes; return False if the connection has ended, and the publish with it."""
        with self._lock:
            if self._is_closed:
                return False
            if mid not in self._early:
                self._unfinished[mid] = _Publish(token, size)
                return True
            reason = self._early.pop(mid)
            self._largest_answered = max(self._largest_answered, size)
        self._report(token, reason)
        return True

    def finish(self, mid: int, reason: int) -> None:
        """Note the broker's answer to a publish."""
        with self._lock:
            publish = self._unfinished.pop(mid, None)
            if publish is None:
                self._early[mid] = reason
                return
            self._largest_answered = max(self._largest_answered, publish.size)
        self._report(publish.token, reason)

    def close(self) -> int | None:
        """End what is unfinished; return the size that the broker may have stumbled over, None if it was none.

        That is the size of the oldest one, which is the next that the broker would answer. If one as large was answered
        on this connection, size is no reason: a limit of it would keep every reading back.
        """
        with self._lock:
            self._is_closed = True
            unfinished, self._unfinished = list(self._unfinished.values()), {}
        for publish in unfinished:
            self._report(publish.token, None)
        oldest = next((publish.size for publish in unfinished if publish.size), 0)
        return oldest if oldest > self._largest_answered else None
