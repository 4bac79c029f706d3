"""Rows of the nodes' log on their way to the database, in memory; when the buffer is full, the oldest are dropped."""

import threading
from collections import deque
from collections.abc import Sequence

from aoii.runtime import metrics
from aoii.server.rows import EdgeLogRow

BUFFER_LIMIT = 50_000  # rows: a day of 30 nodes, about 20 MB


class EdgeLogBuffer:
    """Rows, oldest first; safe to share between threads. What is dropped is counted."""

    def __init__(self, limit: int = BUFFER_LIMIT) -> None:
        self._limit = limit
        self._rows: deque[EdgeLogRow] = deque()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, row: EdgeLogRow) -> None:
        """Add a row; without room the oldest is dropped."""
        with self._lock:
            if len(self._rows) == self._limit:
                self._rows.popleft()
                metrics.LOG_LINES.labels(outcome="lost").inc()
            self._rows.append(row)

    def take(self, limit: int) -> list[EdgeLogRow]:
        """Remove the oldest rows, at most `limit`."""
        with self._lock:
            return [self._rows.popleft() for _ in range(min(limit, len(self._rows)))]

    def put_back(self, rows: Sequence[EdgeLogRow]) -> None:
        """Return rows that were taken and not stored; without room the oldest are dropped."""
        with self._lock:
            room = self._limit - len(self._rows)
            kept = list(rows)[max(0, len(rows) - room) :] if room else []
            metrics.LOG_LINES.labels(outcome="lost").inc(len(rows) - len(kept))
            self._rows.extendleft(reversed(kept))
