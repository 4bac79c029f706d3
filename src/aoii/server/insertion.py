"""Readings into the table, or into the dead letters, whatever some of them are and however often it takes.

Bad rows are found by halving, conflicts are tried again at once, and a database that is away is tried again later.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aoii.broker.messages import DeliveryStatus, Reading
from aoii.core.errors import UnavailableError
from aoii.runtime import metrics
from aoii.server.database_errors import BadRow, DatabaseAway
from aoii.server.db import Database
from aoii.server.dead_letters.store import DeadLetters

log = logging.getLogger(__name__)

CONFLICT_REPLAYS = 3  # a deadlock or a lock: the whole batch again at once, which usually succeeds
MISMATCH = "the same identity is stored with another content"
KNOWN_AWAY = "known to be away"

Pause = Callable[[float], bool]
"""Waits for so many seconds; True, at once, when the station is stopping."""


@dataclass(frozen=True)
class Delivery:
    """What became of one reading; `detail` says why when it is not in the table."""

    status: DeliveryStatus
    detail: str = ""

    @property
    def is_in_table(self) -> bool:
        """Whether the database has it."""
        return self.status in ("stored", "duplicate")


@dataclass(frozen=True)
class Insertion:
    """What became of readings, in their order; None stands for one that is not durable.

    Attributes:
        away: Why the database was given up, if it was.
        refusal: Why the dead letters did not take a reading, if they did not.
    """

    deliveries: list[Delivery | None]
    away: DatabaseAway | None = None
    refusal: str | None = None


def insert(database: Database, rows: Sequence[Reading]) -> Insertion:
    """Insert rows, and say what became of each; None stands for those that a database that went away did not take."""
    deliveries: list[Delivery | None] = [None] * len(rows)
    pending = [list(range(len(rows)))]
    while pending:
        part = pending.pop()
        try:
            statuses = _insert_part(database, [rows[index] for index in part])
        except BadRow as error:
            if len(part) > 1:
                middle = len(part) // 2
                pending += [part[middle:], part[:middle]]
            else:
                deliveries[part[0]] = Delivery("bad_row", str(error))
        except DatabaseAway as error:
            return Insertion(deliveries, error)
        else:
            for index, status in zip(part, statuses, strict=True):
                deliveries[index] = Delivery(status, MISMATCH if status == "mismatch" else "")
    return Insertion(deliveries)


def _insert_part(database: Database, rows: Sequence[Reading]) -> list[DeliveryStatus]:
    """One transaction, tried again at once after a deadlock or a lock (1205 alone would keep half a batch)."""
    for replay in range(1 + CONFLICT_REPLAYS):
        try:
            with metrics.INSERT_TRANSACTION_S.time():
                statuses = database.insert_readings(rows)
        except DatabaseAway as error:
            if error.reason != "conflict" or replay == CONFLICT_REPLAYS:
                raise
        else:
            metrics.BATCH_ROWS.observe(len(rows))
            return statuses
    raise AssertionError("the last replay returns or raises")


def insert_reading_with_retry(
    database: Database,
    dead_letters: DeadLetters,
    rows: Sequence[Reading],
    *,
    tries: int,
    base_delay_s: float,
    pause: Pause,
) -> Insertion:
    """Store readings, however often it takes; those that the database cannot have become dead letters.

    After a failure it waits `base_delay_s`, then twice as long, and so on. Rows that never fit are found by halving the
    batch and become dead letters as `bad_row`, rows whose identity is known with another content as `mismatch`; when
    all tries have failed the rest does as `database_away`.

    Args:
        database: Where they belong.
        dead_letters: Where they go otherwise.
        rows: One reading or a whole batch.
        tries: Inserts until they become dead letters; 0: at once.
        base_delay_s: Seconds before the second try.
        pause: How to wait; ends the tries when it returns True.

    Returns:
        What became of each. One without a delivery is in neither place, because we are stopping or because the dead
        letters did not take it: it must not be acknowledged, and may be handed in again.
    """
    deliveries: list[Delivery | None] = [None] * len(rows)
    away = None if tries else DatabaseAway("unreachable", KNOWN_AWAY)
    for number in range(tries):
        if number:
            metrics.INSERT_RETRIES.inc()
            if pause(base_delay_s * 2 ** (number - 1)):
                away = None
                break
        left = [index for index, delivery in enumerate(deliveries) if delivery is None]
        done = insert(database, [rows[index] for index in left])
        for index, delivery in zip(left, done.deliveries, strict=True):
            deliveries[index] = delivery
        away = done.away
        if away is None:
            break
        log.warning("insert failed", extra={"event": "insert_failed", "try": number + 1, "reason": str(away)})
    if away is not None:
        deliveries = [delivery or Delivery("database_away", str(away)) for delivery in deliveries]
    return _dead_letter(dead_letters, rows, Insertion(deliveries, away))


def _dead_letter(dead_letters: DeadLetters, rows: Sequence[Reading], insertion: Insertion) -> Insertion:
    """Add what is not in the table to the dead letters; one that they do not take has no delivery any more."""
    refusal = None
    deliveries = list(insertion.deliveries)
    groups: dict[Delivery, list[int]] = {}
    for index, delivery in enumerate(deliveries):
        if delivery is not None and not delivery.is_in_table:
            groups.setdefault(delivery, []).append(index)
    for delivery, indexes in groups.items():
        try:
            dead_letters.add([rows[index] for index in indexes], delivery.status, delivery.detail)
        except UnavailableError as error:
            refusal = str(error)
            for index in indexes:
                deliveries[index] = None
        else:
            if delivery.status != "database_away":
                fields = {"event": "reading_dead_lettered", "reason": delivery.status, "detail": delivery.detail}
                log.warning("reading became a dead letter", extra=fields)
    return Insertion(deliveries, insertion.away, refusal)
