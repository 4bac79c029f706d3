"""Reads what a look needs from the database: everything in a full look, and in others only what is new.

A full look reads the index of the identities, in pages. Other looks read the newest rows by their `id`: those that have
come, and once more the last OVERLAP before them, because transactions do not end in the order of their ids. If one of
these is gone or is another one, the database has lost what it had, and the look becomes a full one.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields

import sqlalchemy as sa

from aoii.broker.messages import Identity, is_gateway_name
from aoii.server import ranges
from aoii.server.audit import LookKind
from aoii.server.connection import ConnectionPool
from aoii.server.gap import Gap, NodeEpoch
from aoii.server.ledger_facts import LedgerFacts
from aoii.server.look import Look, NodeFacts
from aoii.server.ranges import Ranges
from aoii.server.tables import FLOORS, GAPS, MARKS, READINGS, ROWS_BEFORE_AUDIT

OVERLAP = 10_000  # rows that are read again: 20 batches of ingest
PAGE_ROWS = 20_000  # in one statement
SAMPLE_ROWS = 1_000  # of a node, the newest: who brought them
NUMBER_LIMIT = 2**63 - 1
_R = READINGS.c

# Made once: SQLAlchemy takes twice as long to make a statement as to execute it.
_HIGHEST = sa.select(sa.func.max(_R.id))
_BOUNDARY = sa.select(MARKS.c.value).where(MARKS.c.name == ROWS_BEFORE_AUDIT)
_FLOORS = sa.select(FLOORS.c.node, FLOORS.c.epoch, FLOORS.c.floor)
_GAPS = sa.select(*(GAPS.c[field.name] for field in fields(Gap))).order_by(GAPS.c.node, GAPS.c.epoch, GAPS.c.first)
_PAGE = (
    sa.select(_R.id, _R.node, _R.epoch, _R.counter, _R.gateway)
    .where(_R.id > sa.bindparam("after"))
    .order_by(_R.id)
    .limit(sa.bindparam("rows"))
)

_Who = tuple[NodeEpoch | None, int, str]
"""Node and epoch, number, and gateway of a row; no node if it has no identity."""


class AuditFacts:
    """The looks of one audit; for one thread. What it has read stays in memory: a range for each hole.

    Args:
        pool: Connections to the database; the caller closes it.
        on_progress: Called again and again while a look is under way.
    """

    def __init__(self, pool: ConnectionPool, on_progress: Callable[[], None] = lambda: None) -> None:
        self._pool = pool
        self._on_progress = on_progress
        self._rows: dict[NodeEpoch, Ranges] = {}
        self._writers: dict[NodeEpoch, set[str]] = {}
        self._before: dict[NodeEpoch, int] = {}
        self._newest: dict[int, _Who] | None = None  # the last OVERLAP rows of the look before, by id; None: none was

    def look(self, kind: LookKind, letters: Iterable[Identity]) -> Look:
        """Look at everything as of one instant.

        Args:
            kind: What is to be read. It becomes `full` when rows have vanished, and at the first look.
            letters: The identities of the dead letters. They are read first: one that is replayed meanwhile is a row
                then.

        Raises:
            DatabaseAway: The database does not answer; the next look is a full one.
        """
        of_letters: dict[NodeEpoch, list[ranges.Range]] = defaultdict(list)
        for who in letters:
            of_letters[who.node, who.epoch].append((who.counter, who.counter))
        before, self._newest = self._newest, None
        with self._pool.transaction() as connection:
            newest = None if kind == "full" or before is None else self._read_new(connection, before)
            is_full = newest is None
            if newest is None:
                newest = self._read_all(connection)
            look = self._made(connection, of_letters, is_full, newest)
        self._newest = newest
        return look

    def _read_new(self, connection: sa.Connection, before: Mapping[int, _Who]) -> dict[int, _Who] | None:
        """The newest rows by id, once those that are not in `before` are added; None if some of `before` are gone."""
        newest: dict[int, _Who] = {}
        seen = 0
        for page in _pages(connection, min(before, default=0) - 1):
            common = page.keys() & before.keys()
            if any(page[id_] != before[id_] for id_ in common):
                return None
            seen += len(common)
            self._add(page[id_] for id_ in page.keys() - common)
            newest = dict([*newest.items(), *page.items()][-OVERLAP:])
            self._on_progress()
        return newest if seen == len(before) else None

    def _read_all(self, connection: sa.Connection) -> dict[int, _Who]:
        """The newest rows by id, once all rows have been read."""
        self._rows, self._writers, self._before = {}, {}, {}
        highest = connection.execute(_HIGHEST).scalar() or 0
        newest = {id_: who for page in _pages(connection, highest - OVERLAP) for id_, who in page.items()}
        ledger = LedgerFacts(connection, {}, None, lambda _: self._on_progress())
        boundary = connection.execute(_BOUNDARY).scalar() or 0
        for key in ledger.keys:
            self._on_progress()
            facts = ledger.facts(key)
            if not facts.rows:
                continue
            span = ((facts.floor + 1, facts.rows[-1][0]),)
            self._rows[key] = ranges.difference(span, facts.holes)
            if self._rows[key] != ((facts.first, facts.rows[-1][0]),):  # it has holes, or a floor
                self._before[key] = _highest_before(connection, key, boundary)
            self._writers[key] = _writers(connection, key)
        self._add(newest.values())
        return newest

    def _add(self, rows: Iterable[_Who]) -> None:
        numbers: dict[NodeEpoch, list[ranges.Range]] = defaultdict(list)
        for key, number, gateway in rows:
            if key is not None:
                numbers[key].append((number, number))
                self._writers.setdefault(key, set()).add(gateway)
        for key, pairs in numbers.items():
            self._rows[key] = ranges.union(self._rows.get(key, ()), ranges.united(pairs))

    def _made(
        self,
        connection: sa.Connection,
        letters: Mapping[NodeEpoch, list[ranges.Range]],
        is_full: bool,
        newest: Mapping[int, _Who],
    ) -> Look:
        """The look, with the small tables as they are at the same instant."""
        floors = {(node, epoch): floor for node, epoch, floor in connection.execute(_FLOORS)}
        gaps: dict[NodeEpoch, list[Gap]] = defaultdict(list)
        for row in connection.execute(_GAPS):
            gaps[row.node, row.epoch].append(Gap(*row))
        facts = {}
        for key in {*self._rows, *letters, *gaps, *floors}:
            floor = floors.get(key, -1)
            above = ((floor + 1, NUMBER_LIMIT),)
            facts[key] = NodeFacts(
                ranges.intersection(self._rows.get(key, ()), above),
                ranges.intersection(ranges.united(letters.get(key, ())), above),
                gaps.get(key, ()),
                floor,
                frozenset(self._writers.get(key, ())),
                self._before.get(key, -1),
            )
        named = frozenset(who[2] for who in newest.values() if is_gateway_name(who[2]))  # old rows may have anything
        return Look(facts, is_full, named)


def _pages(connection: sa.Connection, after: int) -> Iterator[dict[int, _Who]]:
    """The rows after an id, by id, in pages."""
    while page := connection.execute(_PAGE, {"after": after, "rows": PAGE_ROWS}).all():
        yield {
            id_: (None, 0, gateway or "") if node is None or epoch is None else ((node, epoch), counter, gateway or "")
            for id_, node, epoch, counter, gateway in page
        }
        after = page[-1].id


def _writers(connection: sa.Connection, key: NodeEpoch) -> set[str]:
    """The gateways that brought the newest rows of a node and epoch."""
    newest = sa.select(_R.gateway).where(_R.node == key[0], _R.epoch == key[1]).order_by(_R.counter.desc())
    each = newest.limit(SAMPLE_ROWS).subquery()
    return {gateway or "" for (gateway,) in connection.execute(sa.select(each.c.gateway).distinct())}


def _highest_before(connection: sa.Connection, key: NodeEpoch, boundary: int) -> int:
    """The highest number of a node and epoch among the rows up to an id; -1 if there is none."""
    query = sa.select(_R.counter).where(_R.node == key[0], _R.epoch == key[1], _R.id <= boundary)
    found = connection.execute(query.order_by(_R.counter.desc()).limit(1)).scalar() if boundary else None
    return -1 if found is None else int(found)
