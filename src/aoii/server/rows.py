"""What the database returns, as values: readings, lines of nodes' logs, and the summaries that the page shows.

Times have no zone: `event_time` and `created_utc` are UTC, `created_at` is the local time of the server.
"""

from dataclasses import dataclass
from datetime import datetime

from aoii.server import local_time


@dataclass(frozen=True, kw_only=True)
class _Row:
    """What the rows of both tables begin with, in °C and %RH; an error is reading minus estimate."""

    id: int | None
    created_at: datetime | None
    actual_temp: float
    actual_humidity: float
    pred_temp: float
    pred_humidity: float
    error_temp: float
    error_humidity: float | None


@dataclass(frozen=True, kw_only=True)
class ReadingRow(_Row):
    """One row of `readings`.

    Attributes:
        created_at: When the row was inserted.
        error_humidity: Reading minus estimate.
        gateway: None, like everything below it, in rows of the older installation.
        event_time: When the node sampled; None if unknown.
        created_utc: `created_at` in UTC; None if the older installation or version 0.2 inserted the row.
    """

    id: int
    created_at: datetime
    error_humidity: float
    transmission_delay_ms: int | None
    gateway: str | None
    node: str | None
    epoch: int | None
    counter: int | None
    kind: str | None
    event_time: datetime | None
    clock_synced: bool | None
    created_utc: datetime | None = None

    @property
    def instant(self) -> datetime:
        """When the node sampled, or else when the row was inserted; UTC."""
        return self.event_time or self.created_utc or local_time.to_utc(self.created_at)


@dataclass(frozen=True, kw_only=True)
class EdgeLogRow(_Row):
    """One row of `edge_log`: one sample of one node, sent or not.

    Attributes:
        id: None before the row is stored.
        created_at: When the line arrived; None means at the insert.
        error_humidity: None in the oldest rows of the older installation.
        triggered: Whether the node sent the sample.
        status: The node's own word, at most 20 characters; None in the oldest rows of the older installation.
        inference_time_us: How long the node computed for this sample, µs.
        free_heap: Free bytes of the node's heap.
        total_heap: All bytes of the node's heap.
        event_time: When the node sampled; None if the node did not print it.
        created_utc: `created_at` in UTC; None before the row is stored, and as in `ReadingRow`.
    """

    id: int | None = None
    created_at: datetime | None = None
    triggered: bool
    status: str | None
    inference_time_us: int | None
    free_heap: int | None
    total_heap: int | None
    node: str | None = None
    event_time: datetime | None = None
    created_utc: datetime | None = None

    @property
    def instant(self) -> datetime | None:
        """When the node sampled, or else when the row was inserted; UTC. None before the row is stored."""
        at = self.event_time or self.created_utc
        return at if at or self.created_at is None else local_time.to_utc(self.created_at)


@dataclass(frozen=True)
class Stats:
    """Totals over all readings; without rows everything but `total` is None.

    Attributes:
        mae_temp: Mean absolute error, °C.
        mae_humidity: Mean absolute error, %RH.
        first_at: Insert time of the oldest row.
        last_at: Insert time of the newest row.
        last_utc: The instant of the newest insert, UTC.
    """

    total: int
    avg_temp: float | None
    avg_humidity: float | None
    mae_temp: float | None
    mae_humidity: float | None
    first_at: datetime | None
    last_at: datetime | None
    last_utc: datetime | None = None


@dataclass(frozen=True)
class NodeSummary:
    """One node as the database knows it.

    Attributes:
        node: The node's name; None stands for all rows without identity.
        gateway: The gateway of the node's newest reading.
        readings: Number of rows.
        last_event_time: The latest event time; None if no row has one.
        last_created_at: When the row that was inserted last was inserted, in local time.
        last_created_utc: The same in UTC; None if that row does not have it.
    """

    node: str | None
    gateway: str | None
    readings: int
    last_event_time: datetime | None
    last_created_at: datetime
    last_created_utc: datetime | None = None

    @property
    def last_instant(self) -> datetime:
        """The latest event time, or else when the last row was inserted; UTC."""
        return self.last_event_time or self.last_created_utc or local_time.to_utc(self.last_created_at)


@dataclass(frozen=True)
class ChartColumn:
    """All rows of one interval of time in a few numbers, °C and %RH; drawn as one column of a chart.

    Attributes:
        first: Time of the first row, UTC without zone.
        last: Time of the last row, UTC without zone.
        rows: Number of rows.
    """

    first: datetime
    last: datetime
    rows: int
    min_temp: float
    max_temp: float
    min_humidity: float
    max_humidity: float
