"""Where the copies of every reading are, and what an account of them says: figures of a trial that loses machines.

It reads flashes, files and tables themselves, as `audit` does, and each time all of them: a machine that was lost, or
came back older, must not be remembered. Only the ledger's balance is asked of the stations' own code, because that is
what it is about.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql

from aoii.broker.messages import Identity
from aoii.server.connection import open_pool
from aoii.server.ledger import account
from aoii.server.ledger_facts import open_facts
from aoii.settings import Database
from faults.audit import Count, select_rows
from faults.recorder import Content, Key, Recorder

ROWS = "SELECT node, epoch, counter, actual_temp, actual_humidity FROM readings"
GAPS = "SELECT node, epoch, first, last, state FROM gaps"
LETTERS = "SELECT node, epoch, counter, reason FROM letters WHERE node IS NOT NULL"
IDENTITIES = "SELECT node, epoch, counter FROM {}"
NOT_MADE_YET = (1146, 1054)  # no such table, no such column: a server makes the tables step by step
Query = Callable[[str], Iterable[tuple[Any, ...]]]


@dataclass(frozen=True)
class Places:
    """Files and tables of one installation.

    Attributes:
        query: Runs a statement in the installation's schema, past every proxy.
        letters: The server's file of dead letters.
        gateways: The data folder of each gateway.
        nodes: What the nodes' flashes hold.
    """

    query: Query
    letters: Path
    gateways: Mapping[str, Path]
    nodes: Callable[[], set[Key]]


@dataclass(frozen=True)
class Copies:
    """Everything that was found at one moment; the machines may go on meanwhile, so look twice or stop them.

    Attributes:
        rows: Contents of the rows of each identity.
        letters: Dead letters; with the reason.
        outboxes: Readings that wait at each gateway.
        kept: Readings that each gateway keeps.
        nodes: What the nodes' flashes hold.
        gaps: What the database says of numbers without a row: node, epoch, first, last, state.
    """

    rows: Mapping[Key, list[Content]]
    letters: Mapping[Key, str]
    outboxes: Mapping[str, set[Key]]
    kept: Mapping[str, set[Key]]
    nodes: set[Key]
    gaps: list[tuple[str, int, int, int, str]]

    def machines(self) -> Counter[Key]:
        """On how many machines each reading is: node, each gateway, server, database."""
        disks = [self.outboxes[name] | self.kept[name] for name in self.outboxes]
        return Counter(key for held in (self.rows, self.letters, self.nodes, *disks) for key in held)

    def on_gateways(self) -> set[Key]:
        """What any gateway's disk has."""
        return set().union(*self.outboxes.values(), *self.kept.values())

    def missing(self, recorder: Recorder) -> set[Key]:
        """Accepted, and neither a row nor a dead letter."""
        return recorder.all_accepted() - self.rows.keys() - self.letters.keys()

    def single(self, recorder: Recorder) -> set[Key]:
        """Accepted, and on one machine alone."""
        machines = self.machines()
        return {key for key in recorder.all_accepted() if machines[key] == 1}

    def in_state(self, state: str, among: Iterable[Key]) -> set[Key]:
        """Those of the readings of which the database says this; a range in it may be of any length."""
        ranges: dict[tuple[str, int], list[tuple[int, int]]] = {}
        for node, epoch, first, last, said in self.gaps:
            if said == state:
                ranges.setdefault((node, epoch), []).append((first, last))
        return {
            key
            for key in among
            if any(low <= key.counter <= high for low, high in ranges.get((key.node, key.epoch), ()))
        }

    def beyond(self, recorder: Recorder, may_be_open: bool = False) -> list[str]:
        """What the database says of numbers above all that a node has sent, each in words."""
        sent: dict[tuple[str, int], int] = {}
        for key in recorder.all_sent():
            sent[key.node, key.epoch] = max(key.counter, sent.get((key.node, key.epoch), 0))
        return [
            f"{first} to {last} of node {node}, epoch {epoch}, are called {state}, and it has sent {sent[node, epoch]}"
            for node, epoch, first, last, state in self.gaps
            if last > sent.get((node, epoch), last) and not (may_be_open and state == "open")
        ]

    def false_void(self, recorder: Recorder) -> set[Key]:
        """Called void, although a node saw them acknowledged."""
        return self.in_state("void", recorder.all_accepted())

    @property
    def under_way(self) -> str:
        """What still waits to go on, empty if nothing does."""
        for name, held in self.outboxes.items():
            if held:
                return f"{len(held)} readings wait in the outbox of {name}"
        away = sum(reason == "database_away" for reason in self.letters.values())
        return f"{away} dead letters wait to be replayed" if away else ""

    def count(self, recorder: Recorder) -> Count:
        """The account that all trials have."""
        sent = {key: recorder.contents(key) for key in self.rows.keys() | self.letters.keys()}
        known = [(sent[key], content) for key, contents in self.rows.items() for content in contents]
        both = self.rows.keys() & {key for key, reason in self.letters.items() if reason != "mismatch"}
        return Count(
            accepted=recorder.accepted,
            stored=len(self.rows),
            dead_letters=len(self.letters),
            missing=len(self.missing(recorder)),
            duplicates=sum(len(contents) - 1 for contents in self.rows.values()) + len(both),
            spurious=sum(not contents for contents in sent.values()),
            corrupt=sum(bool(contents) and content not in contents for contents, content in known),
        )


def look(places: Places) -> Copies:
    """Find all copies; a table that is not made yet has no rows."""
    rows: dict[Key, list[Content]] = {}
    # The copies that a reading leaves come first, and the ones to which it goes last: it is seen at least once.
    nodes = places.nodes()
    outboxes, kept = (
        {name: _identities(folder / file, table) for name, folder in places.gateways.items()}
        for file, table in (("outbox.db", "events"), ("kept.db", "kept"))
    )
    letters = read_letters(places.letters)
    gaps = [(str(node), *numbers, str(state)) for node, *numbers, state in _rows(places.query, GAPS)]
    for node, epoch, counter, temperature, humidity in _rows(places.query, ROWS):
        content = Content(round(temperature * 100), round(humidity * 100))
        rows.setdefault(Key(node, epoch, counter), []).append(content)
    return Copies(rows, letters, outboxes, kept, nodes, gaps)


def read_letters(path: Path) -> dict[Key, str]:
    """The server's dead letters that have an identity, with the reason."""
    return {Key(*key): str(reason) for *key, reason in select_rows(path, LETTERS)}


def unbalanced(settings: Database, letters: Iterable[Key]) -> list[str]:
    """The nodes and epochs whose ledger does not add up, each in words."""
    identities = [Identity(*key) for key in letters]
    with contextlib.closing(open_pool(settings, create=False)) as pool, open_facts(pool, identities) as facts:
        accounts = [account(facts.facts(key)) for key in facts.keys]
    return [str(one) for one in accounts if not one.is_balanced]


def _rows(query: Query, statement: str) -> Iterable[tuple[Any, ...]]:
    try:
        return query(statement)
    except pymysql.err.MySQLError as error:
        if error.args[0] not in NOT_MADE_YET:
            raise
        return ()


def _identities(path: Path, table: str) -> set[Key]:
    return {Key(*row) for row in select_rows(path, IDENTITIES.format(table))}
