"""Reads new rows of the database into the fleet, in one thread, however many pages are open."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from aoii.core.errors import UnavailableError
from aoii.runtime.station import PartThread
from aoii.server import durability
from aoii.server.db import Database
from aoii.server.rows import EdgeLogRow, ReadingRow
from aoii.web.shared_fleet import SharedFleet
from aoii.web.source import Source

Row = TypeVar("Row", ReadingRow, EdgeLogRow)

POLL_S = 0.25
RETRY_S = 1.0  # between two tries while the database is away
PAGE_ROWS = 1000  # read at once, and added under one hold of the lock: about 10 ms
START_ROWS = 50_000  # newest rows of each table that are read at the start: a day of 30 nodes with logs
REREAD_S = 5.0  # how often the newest rows are read again: two servers may commit their ids out of order
REREAD_ROWS = 200


class DatabasePoller(PartThread):
    """The thread, and the last row that it has read of each table. It ends once `stopping` is set.

    Args:
        source: The database.
        shared: Where rows are added.
        stopping: Ends the thread.
        outbox: The file that a gateway on this machine has, or would have.

    Attributes:
        shares_disk: Whether `outbox` is on the database's disk, as it was when the database was opened; None: unknown.
    """

    def __init__(self, source: Source, shared: SharedFleet, stopping: threading.Event, outbox: Path) -> None:
        super().__init__("poller", self._work)
        self._source = source
        self._shared = shared
        self._stopping = stopping
        self._outbox = outbox
        self.shares_disk: bool | None = None
        self._opening = 0  # the value of `Source.openings` to which the ids below belong; 0: nothing was read yet
        self._last_reading_id = 0
        self._last_log_id = 0
        self._reread_s = 0.0

    @property
    def has_begun(self) -> bool:
        """Whether a database has been read."""
        return self._opening > 0

    def _work(self) -> None:
        while not self._stopping.is_set():
            self.record_progress()
            try:
                self._poll()
            except UnavailableError:
                self._stopping.wait(RETRY_S)
            else:
                self._stopping.wait(POLL_S)

    def _poll(self) -> None:
        """Add the rows that are new; begin again if the database is another one."""
        was_away = self._source.away is not None
        newest = self._source.query_in_this_thread(lambda database: database.recent(1))
        is_replaced = self._opening != self._source.openings
        is_older_copy = was_away and (newest[-1].id if newest else 0) < self._last_reading_id
        if is_replaced or is_older_copy:
            self._begin()
        if time.monotonic() - self._reread_s > REREAD_S:
            self._reread_s = time.monotonic()
            self._last_reading_id = max(0, self._last_reading_id - REREAD_ROWS)
        self._last_reading_id = self._add_rows(
            Database.readings_after, self._last_reading_id, self._shared.fleet.add_reading
        )
        self._last_log_id = self._add_rows(Database.edge_log_after, self._last_log_id, self._shared.fleet.add_log_row)

    def _begin(self) -> None:
        """Add the nodes, and choose the row of each table after which to read."""
        nodes, readings, logs = self._source.query_in_this_thread(
            lambda database: (database.nodes(), database.recent(1), database.recent_edge_log(1))
        )
        self.shares_disk = self._source.query_in_this_thread(
            lambda database: durability.shares_disk(database.pool, self._outbox)
        )
        self._shared.add_nodes(nodes, is_replaced=self.has_begun)
        self._opening = self._source.openings
        self._last_reading_id = max(0, readings[-1].id - START_ROWS) if readings else 0
        self._last_log_id = max(0, (logs[-1].id or 0) - START_ROWS) if logs else 0

    def _add_rows(
        self, rows_after: Callable[[Database, int, int], list[Row]], last_id: int, add: Callable[[Row], None]
    ) -> int:
        """Add all rows after `last_id`, a page of rows at a time; return the id of the last one."""
        is_full = True
        while is_full and not self._stopping.is_set():
            rows = self._read_page(rows_after, last_id)
            with self._shared.lock:
                for row in rows:
                    add(row)
            is_full = len(rows) == PAGE_ROWS
            last_id = (rows[-1].id if rows else None) or last_id
        return last_id

    def _read_page(self, rows_after: Callable[[Database, int, int], list[Row]], last_id: int) -> list[Row]:
        self.record_progress()
        return self._source.query_in_this_thread(lambda database: rows_after(database, last_id, PAGE_ROWS))
