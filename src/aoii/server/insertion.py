"""Inserts readings with retries; what the database does not take becomes a dead letter.

Rows that never fit are found by halving the batch. After a conflict the batch is inserted again at once; while the
database is away, after a delay.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from aoii.broker.messages import DeliveryStatus, Reading
from aoii.core.errors import UnavailableError
from aoii.runtime import metrics
from aoii.server.database_errors import BadRow, DatabaseAway
from aoii.server.db import Database
from aoii.server.dead_letters.store import DeadLetters

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

CONFLICT_RETRIES = 3  # after a deadlock or a lock; inserting the whole batch again at once usually succeeds
MISMATCH = (
    "the same identity is stored with another content; if the node's flash was erased, give it a new key and epoch "
    "(aoii node replace)"
)
KNOWN_AWAY = "known to be away"

Pause = Callable[[float], bool]
"""Waits for so many seconds; returns True, without waiting longer, if the station is stopping."""


@dataclass(frozen=True)
class Delivery:
    """What became of one reading.

    Attributes:
        detail: Why it is not in the table; empty if it is, or if it is retired.
    """

    status: DeliveryStatus
    detail: str = ""

    @property
    def is_done(self) -> bool:
        """Whether nobody needs to keep it: the table has it, or its number is not above its node's floor."""
        return self.status in ("stored", "duplicate", "retired")


@dataclass(frozen=True)
class Insertion:
    """What became of a batch.

    Attributes:
        deliveries: One for each reading, in their order; None for a reading that is not durable.
        away: Why the last try failed, or why there was none; None otherwise.
        dead_letter_problem: Why the dead letters did not take a reading; None if they took all.
    """

    deliveries: list[Delivery | None]
    away: DatabaseAway | None = None
    dead_letter_problem: str | None = None


def insert_reading_with_retry(
    database: Database,
    dead_letters: DeadLetters,
    rows: Sequence[Reading],
    *,
    tries: int,
    base_delay_s: float,
    pause: Pause,
) -> Insertion:
    """Store readings; dead-letter those that the database does not take.

    It waits `base_delay_s` after the first failure, twice as long after the second, and so on. A row
    that never fits becomes a dead letter as `bad_row`, a row whose identity is stored with another content as
    `mismatch`. After the last try all others become dead letters as `database_away`.

    Args:
        database: Where readings belong.
        dead_letters: Where they go otherwise.
        rows: One reading or a whole batch.
        tries: Number of inserts before readings become dead letters; with 0 they do so at once.
        base_delay_s: Seconds before the second try.
        pause: How to wait; the tries end if it returns True.

    Returns:
        What became of each reading. A reading without a delivery is in neither place, because the station is stopping
        or the dead letters did not take it. It must not be acknowledged, and may be passed in again.
    """
    insertion = _insert_with_tries(database, rows, tries, base_delay_s, pause)
    if insertion.away is not None:
        given_up = Delivery("database_away", str(insertion.away))
        insertion = replace(insertion, deliveries=[delivery or given_up for delivery in insertion.deliveries])
    return _dead_letter(dead_letters, rows, insertion)


def insert(database: Database, rows: Sequence[Reading]) -> Insertion:
    """Insert rows without waiting. If the database goes away meanwhile, rows that it has not taken have no delivery."""
    deliveries: list[Delivery | None] = [None] * len(rows)
    try:
        for part, result in insert_in_parts(rows, lambda rows: _insert_part(database, rows)):
            if isinstance(result, BadRow):
                deliveries[part.start] = Delivery("bad_row", str(result))
            else:
                deliveries[part] = [Delivery(status, MISMATCH if status == "mismatch" else "") for status in result]
    except DatabaseAway as error:
        return Insertion(deliveries, error)
    return Insertion(deliveries)


def insert_in_parts(rows: Sequence[T], act: Callable[[Sequence[T]], R]) -> Iterator[tuple[slice, R | BadRow]]:
    """Insert rows, and halve a batch that has a bad row until that row is alone.

    Args:
        rows: What to insert.
        act: Inserts rows in one transaction; may raise `BadRow`, which is not passed on. Other errors are.

    Yields:
        Parts of `rows`, in order, each with what `act` returned, or with the `BadRow` of a single row.
    """
    pending = [slice(0, len(rows))]
    while pending:
        part = pending.pop()
        try:
            yield part, act(rows[part])
        except BadRow as error:
            if part.stop - part.start > 1:
                middle = (part.start + part.stop) // 2
                pending += [slice(middle, part.stop), slice(part.start, middle)]
            else:
                yield part, error


def _insert_part(database: Database, rows: Sequence[Reading]) -> list[DeliveryStatus]:
    """Store rows in one transaction; after a deadlock or a lock, try again at once.

    Raises:
        DatabaseAway: The database is away, or there was a conflict at every try.
        BadRow: A row does not fit; nothing was stored.
    """
    for retry in range(1 + CONFLICT_RETRIES):
        try:
            with metrics.INSERT_TRANSACTION_S.time():
                statuses = database.insert_readings(rows)
        except DatabaseAway as error:
            if error.reason != "conflict" or retry == CONFLICT_RETRIES:
                raise
        else:
            metrics.BATCH_ROWS.observe(len(rows))
            return statuses
    raise AssertionError("the last retry returns or raises")


def _insert_with_tries(
    database: Database, rows: Sequence[Reading], tries: int, base_delay_s: float, pause: Pause
) -> Insertion:
    """Insert until every row has a delivery, all tries have failed, or the station stops (then `away` is None)."""
    deliveries: list[Delivery | None] = [None] * len(rows)
    away = None if tries else DatabaseAway("unreachable", KNOWN_AWAY)
    for number in range(tries):
        if number:
            metrics.INSERT_RETRIES.inc()
            if pause(base_delay_s * 2 ** (number - 1)):
                return Insertion(deliveries)
        left = [index for index, delivery in enumerate(deliveries) if delivery is None]
        attempt = insert(database, [rows[index] for index in left])
        for index, delivery in zip(left, attempt.deliveries, strict=True):
            deliveries[index] = delivery
        away = attempt.away
        if away is None:
            break
        log.warning("insert failed", extra={"event": "insert_failed", "try": number + 1, "reason": str(away)})
    return Insertion(deliveries, away)


def _dead_letter(dead_letters: DeadLetters, rows: Sequence[Reading], insertion: Insertion) -> Insertion:
    """Add what is not in the table to the dead letters; a reading that they do not take loses its delivery."""
    problem = None
    deliveries = list(insertion.deliveries)
    groups = defaultdict(list)
    for index, delivery in enumerate(deliveries):
        if delivery is not None and not delivery.is_done:
            groups[delivery].append(index)
    for delivery, indexes in groups.items():
        try:
            dead_letters.add([rows[index] for index in indexes], delivery.status, delivery.detail)
        except UnavailableError as error:
            problem = str(error)
            for index in indexes:
                deliveries[index] = None
        else:
            if delivery.status != "database_away":
                fields = {"event": "reading_dead_lettered", "reason": delivery.status, "detail": delivery.detail}
                log.warning("reading became a dead letter", extra=fields)
    return Insertion(deliveries, insertion.away, problem)
