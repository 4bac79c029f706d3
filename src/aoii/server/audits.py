"""The list of audits: who asks for one writes a row, and the server writes into it when it begins and what it found.

So a command needs nothing but the database to ask a running server for an audit and to wait for its end.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from aoii.server.connection import ConnectionPool
from aoii.server.tables import AUDITS

KEPT = 1000  # audits that stay in the list, the newest
_NEXT = sa.select(AUDITS).where(AUDITS.c.finished_at.is_(None)).order_by(AUDITS.c.id).limit(1)  # asked each second


@dataclass(frozen=True)
class Audit:
    """One audit; times are UTC, by the clock of whoever wrote them.

    Attributes:
        is_full: Whether all rows were to be looked at, or only what is new.
        started_at: None before it has begun.
        finished_at: None before it has ended.
        counts: What was found so far, by name.
    """

    id: int
    is_full: bool
    asked_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    counts: Mapping[str, int]


class Audits:
    """The table `audits`; safe to share between threads. Every method may raise `DatabaseAway`.

    Args:
        pool: Connections to the database; the caller closes it.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    def request(self, is_full: bool) -> int:
        """Ask for an audit; return its number."""
        with self._pool.transaction(write=True) as connection:
            result = connection.execute(sa.insert(AUDITS).values(is_full=is_full, asked_at=_now()))
            return int(result.lastrowid)

    def next_request(self) -> Audit | None:
        """The oldest audit that has not ended, even one that a server began before it stopped; None if all have."""
        return self._one(_NEXT)

    def begin(self, id_: int) -> None:
        """Note that an audit begins."""
        with self._pool.transaction(write=True) as connection:
            connection.execute(sa.update(AUDITS).where(AUDITS.c.id == id_).values(started_at=_now()))

    def note(self, id_: int, counts: Mapping[str, int]) -> None:
        """Note what an audit has found so far."""
        with self._pool.transaction(write=True) as connection:
            connection.execute(sa.update(AUDITS).where(AUDITS.c.id == id_).values(counts=_text(counts)))

    def finish(self, id_: int, counts: Mapping[str, int]) -> None:
        """Note what an audit has found; of those that have ended, the newest `KEPT` stay in the list."""
        with self._pool.transaction(write=True) as connection:
            ended = {"finished_at": _now(), "counts": _text(counts)}
            connection.execute(sa.update(AUDITS).where(AUDITS.c.id == id_).values(ended))
            old = sa.delete(AUDITS).where(AUDITS.c.id <= id_ - KEPT, AUDITS.c.finished_at.is_not(None))
            connection.execute(old)

    def find(self, id_: int) -> Audit | None:
        """The audit with this number; None if there is none any more."""
        return self._one(sa.select(AUDITS).where(AUDITS.c.id == id_).limit(1))

    def last(self) -> Audit | None:
        """The newest audit that has ended."""
        query = sa.select(AUDITS).where(AUDITS.c.finished_at.is_not(None)).order_by(AUDITS.c.id.desc())
        return self._one(query.limit(1))

    def _one(self, query: sa.Select[tuple[object, ...]]) -> Audit | None:
        with self._pool.transaction() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        return Audit(**dict(row._mapping) | {"counts": json.loads(row.counts or "{}")})


def _text(counts: Mapping[str, int]) -> str:
    return json.dumps(dict(counts), separators=(",", ":"))


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
