"""What a request may do in the outbox file: read and replace the state of a node, add readings and remove them.

It sees the kept readings as well: what it removes is kept from the commit on, and it can give kept readings back.
"""

import itertools
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aoii.broker.messages import Committed, Identity, payload_digest
from aoii.core.errors import ProtocolError, UnavailableError
from aoii.gateway import node_state
from aoii.gateway.drivers import outbox_rows
from aoii.gateway.drivers.kept_file import KeptFile
from aoii.gateway.drivers.outbox_rows import EventRow
from aoii.gateway.numbers import GivenBack, NodeNumbers, Stretch, stretches, united
from aoii.gateway.outbox import Fetch, Fetched
from aoii.gateway.readings import OLD_NODE_MARK, Item

STRETCHES_LIMIT = 1000  # in one answer of `find`
FIND_LIMIT = 5_000  # numbers and ranges read for one answer: 15 ms, for which accepting a reading waits


class OutboxFullError(UnavailableError):
    """There is no room for this reading, under the size limit or on the disk; nothing of it was stored."""


class Acknowledgement(NamedTuple):
    """What commit acknowledgements have led to.

    Attributes:
        accepted_ms: For each removed reading: when it was accepted, Unix milliseconds.
        acknowledged: Readings that need not be published again.
        mismatched: Readings that stay, because the server names another payload.
    """

    accepted_ms: list[int]
    acknowledged: list[Identity]
    mismatched: list[Identity]


@dataclass
class Changes:
    """What a transaction has changed, for the counts of the file's owner.

    Attributes:
        events_added: Readings added, less those removed or quarantined.
        accepted: New readings added.
        events_corrupt: Readings quarantined.
        states_lost: States of nodes deleted because they failed their checksum.
        removed: Readings removed because they were acknowledged; they are to be kept.
    """

    events_added: int = 0
    accepted: int = 0
    events_corrupt: int = 0
    states_lost: int = 0
    removed: list[EventRow] = field(default_factory=list)


class Transaction:
    """The outbox file as one request sees it; valid only while the request runs.

    Args:
        connection: Of the file, in a transaction.
        may_grow: Whether readings may be added; False while the disk reserve is given up.
        kept: The kept readings.
    """

    def __init__(self, connection: sqlite3.Connection, may_grow: bool, kept: KeptFile) -> None:
        self._connection = connection
        self._may_grow = may_grow
        self._kept = kept
        self.changes = Changes()

    def state(self, node: str) -> bytes | None:
        """The latest state of a node; None when it is unknown or was damaged (see `states`)."""
        query = f"SELECT {outbox_rows.STATE_COLUMNS} FROM nodes WHERE node = ?"  # noqa: S608 - our own constant
        row = self._connection.execute(query, (node,)).fetchone()
        found = None if row is None else outbox_rows.decode_state(row)
        if found is None:  # new, or damaged, which `states` finds out; a node is new only once, so this costs little
            return dict(self.states()).get(node)
        return found.state

    def states(self) -> list[outbox_rows.StateRow]:
        """Name and state of every node.

        A state that fails its checksum is deleted, and all old nodes get a new epoch. The damaged name may have been
        that of an old node, whose readings are now counted from 0 again: in the same epoch, identities would repeat.
        """
        rows = self._connection.execute(f"SELECT {outbox_rows.STATE_COLUMNS} FROM nodes ORDER BY rowid")  # noqa: S608 - our own constant
        found = []
        for row in rows.fetchall():
            node = outbox_rows.decode_state(row)
            if node is not None:
                found.append(node)
                continue
            self._connection.execute("DELETE FROM nodes WHERE rowid = ?", row[:1])
            outbox_rows.set_meta(self._connection, "old_epoch", outbox_rows.draw_epoch())
            self.changes.states_lost += 1
        return found

    def set_state(self, node: str, state: bytes) -> None:
        """Replace the state of a node."""
        self._connection.execute(
            "INSERT INTO nodes VALUES (?, ?, ?) "
            "ON CONFLICT (node) DO UPDATE SET state = excluded.state, checksum = excluded.checksum",
            (node, state, outbox_rows.state_checksum(node, state)),
        )

    def old_epoch(self) -> int:
        """The epoch of all old nodes; a new file has a new one, and so has a file in which a state was damaged."""
        return outbox_rows.get_meta(self._connection, "old_epoch")

    def total_tx(self) -> int:
        """Readings accepted since this file was created."""
        return outbox_rows.get_meta(self._connection, "total_tx")

    def insert(self, who: Identity, digest: str, qos: int, payload: bytes, now_ms: int) -> Item | None:
        """Add a reading and count it in `total_tx`; None when the same reading is there or among the kept ones already.

        Raises:
            ProtocolError: With reason `conflict`: the same identity is there with another content.
            OutboxFullError: The disk is full; what room is left is needed for deleting.
        """
        self._require_room()
        key = (who.node, who.epoch, who.counter)
        row = self._connection.execute(
            "SELECT digest FROM events WHERE node = ? AND epoch = ? AND counter = ?", key
        ).fetchone()
        found = self._kept.digest(*key) if row is None else row[0]
        if found is not None:
            if found != digest.encode():
                raise ProtocolError(
                    "conflict", f"node {who.node}: event {who.counter} of epoch {who.epoch} with two contents"
                )
            return None
        seq = self._add(*key, digest, qos, payload, now_ms)
        outbox_rows.set_meta(self._connection, "total_tx", self.total_tx() + 1)
        self.changes.accepted += 1
        return Item(seq, who, qos, payload, now_ms)

    def _require_room(self) -> None:
        if not self._may_grow:
            raise OutboxFullError("the disk under the outbox is full", "make room there")

    def _add(self, node: str, epoch: int, counter: int, digest: str, qos: int, payload: bytes, accepted_ms: int) -> int:
        """Add a row to the table `events`; return its sequence number."""
        values = (node, epoch, counter, digest, qos, payload, accepted_ms)
        cursor = self._connection.execute(
            "INSERT INTO events (node, epoch, counter, digest, qos, payload, accepted_ms, checksum) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*values, outbox_rows.event_checksum(*values)),
        )
        self.changes.events_added += 1
        return cursor.lastrowid or 0

    def delete(self, identities: Iterable[Identity]) -> list[int]:
        """Remove readings; for each one that was here, return when it was accepted, Unix milliseconds.

        With the commit they are among the kept ones, but for those that fail their checksum.
        """
        return self.acknowledge(Committed(who, "stored") for who in identities).accepted_ms

    def acknowledge(self, committed: Iterable[Committed]) -> Acknowledgement:
        """Remove the readings that commit acknowledgements name.

        A reading stays if the acknowledgement names another payload: then somebody else has published something under
        this identity. A reading that is damaged here counts as acknowledged, because the server has it; it is
        quarantined, but not if the acknowledgement names no payload.

        With the commit, what is removed and not damaged is among the kept readings.
        """
        done = Acknowledgement([], [], [])
        removed: dict[int, EventRow | None] = {}  # by sequence number; each row is read, checked and deleted once
        for item in committed:
            row = self._row(item.identity)
            event = None if row is None else outbox_rows.decode_event(row)
            if event is not None and item.digest is not None and payload_digest(event.payload) != item.digest:
                done.mismatched.append(item.identity)
                continue
            done.acknowledged.append(item.identity)
            if row is None or row[0] in removed:
                continue
            if event is None and item.digest is not None:
                self._decode(row)
                continue
            removed[row[0]] = event
            if isinstance(row[7], int):  # any other type is damage
                done.accepted_ms.append(row[7])
        self._connection.executemany("DELETE FROM events WHERE seq = ?", ((seq,) for seq in removed))
        self.changes.events_added -= len(removed)
        self.changes.removed += [event for event in removed.values() if event is not None]
        return done

    def _row(self, who: Identity) -> tuple[Any, ...] | None:
        """The row of a reading, which may be damaged; None if it is not here."""
        row: tuple[Any, ...] | None = self._connection.execute(
            f"SELECT {outbox_rows.EVENT_COLUMNS} FROM events WHERE node = ? AND epoch = ? AND counter = ?",  # noqa: S608 - our own constant
            (who.node, who.epoch, who.counter),
        ).fetchone()
        return row

    def fetch(self, fetch: Fetch) -> Fetched:
        """The readings asked for. One that fails its checksum is quarantined and left out."""
        rows = self._connection.execute(
            f"SELECT {outbox_rows.EVENT_COLUMNS} FROM events WHERE seq > ? ORDER BY seq LIMIT ?",  # noqa: S608 - our own constant
            (fetch.after, fetch.limit),
        ).fetchall()
        items = []
        for event in map(self._decode, rows):
            if event is not None:
                identity = Identity(event.node, event.epoch, event.counter)
                items.append(Item(event.seq, identity, event.qos, event.payload, event.accepted_ms))
        return Fetched(items, rows[-1][0] if rows else fetch.after, len(rows) < fetch.limit)

    def _decode(self, row: tuple[object, ...]) -> outbox_rows.EventRow | None:
        """The event of a row; a row that fails its checksum is quarantined."""
        event = outbox_rows.decode_event(row)
        if event is None:
            self._connection.execute(
                "INSERT INTO corrupt SELECT NULL, seq, node, epoch, counter, payload, ? FROM events WHERE seq = ?",
                (time.time_ns() // 1_000_000, row[0]),
            )
            self._connection.execute("DELETE FROM events WHERE seq = ?", row[:1])
            self.changes.events_added -= 1
            self.changes.events_corrupt += 1
        return event

    # For repair: what this gateway still has of what the database lacks.

    def file_id(self) -> str:
        """The name of this outbox file, sixteen hexadecimal digits: drawn when it was made, and in every copy of it."""
        return outbox_rows.file_id(self._connection)

    def last_seq(self) -> int:
        """The highest sequence number that was ever given to a reading in this file; 0 before the first."""
        return outbox_rows.last_seq(self._connection)

    def numbers(self) -> list[NodeNumbers]:
        """Which numbers of each node and epoch this gateway has accepted, as far as it knows, by node and epoch.

        Those in the outbox, the kept and the forgotten ones. Reads the indexes of both files: 0.1 s for a million
        readings.

        Raises:
            KeptUnavailableError: The kept readings cannot be read now.
        """
        query = "SELECT node, epoch, min(counter), max(counter), count(*) FROM events GROUP BY node, epoch"
        waiting = [
            NodeNumbers(name.decode(errors="replace"), *numbers)
            for name, *numbers in self._connection.execute(query).fetchall()
        ]
        here = (NodeNumbers(*each, 0) for each in self._kept.numbers()) if self._kept.is_on else ()
        return united([*waiting, *here])

    def find(self, node: str, epoch: int, first: int, last: int, limit: int = STRETCHES_LIMIT) -> list[Stretch]:
        """Where the numbers `first`..`last` are: disjoint stretches in order, which leave none out.

        The time that it takes grows with the readings found, never with the numbers between them; it is bounded.

        Args:
            node: The node's name.
            epoch: The epoch.
            first: The lowest number asked for, 0..2**63 - 1.
            last: The highest, not below `first`, in the same range.
            limit: At most so many stretches, of at most FIND_LIMIT readings and ranges: if the last one ends below
                `last`, ask again from the number above it.

        Raises:
            KeptUnavailableError: The kept readings cannot be read now, so nobody knows.
        """
        query = (
            "SELECT counter FROM events WHERE node = ? AND epoch = ? AND counter BETWEEN ? AND ? "
            "ORDER BY counter LIMIT ?"
        )
        rows = self._connection.execute(query, (node, epoch, first, last, FIND_LIMIT + 1))
        waiting = [counter for (counter,) in rows]
        kept: list[int] = []
        forgotten: list[tuple[int, int]] = []
        if self._kept.is_on:
            kept = list(itertools.islice(self._kept.counters(node, epoch, first, last), FIND_LIMIT + 1))
            forgotten = self._kept.forgotten(node, epoch, first, last, FIND_LIMIT + 1)
        for numbers in (waiting, kept, [begin for begin, _ in forgotten]):
            if len(numbers) > FIND_LIMIT:  # there may be more of them
                last = min(last, numbers[-1] - 1)
        known = (
            [number for number in waiting if number <= last],
            [number for number in kept if number <= last],
            [one for one in forgotten if one[0] <= last],
        )
        return list(itertools.islice(stretches(first, last, *known), limit))

    def give_back(self, node: str, epoch: int, first: int, last: int, limit: int) -> GivenBack:
        """Copy kept readings with the numbers `first`..`last` into the outbox, as if they were accepted now.

        They get new sequence numbers and stay among the kept ones; they do not count in `total_tx`. One that waits in
        the outbox already is passed over. A damaged one is not copied, and is `forgotten` from then on.

        Args:
            node: The node's name.
            epoch: The epoch.
            first: The lowest number.
            last: The highest.
            limit: At most so many kept readings are looked at; whoever wants the rest calls again with `next`.

        Raises:
            KeptUnavailableError: The kept readings cannot be read now.
            OutboxFullError: The disk is full; what room is left is needed for deleting.
        """
        self._require_room()
        if not self._kept.is_on:
            return GivenBack(0, None)
        rows = self._kept.rows(node, epoch, first, last, limit)
        present = "SELECT 1 FROM events WHERE node = ? AND epoch = ? AND counter = ?"
        now_ms = time.time_ns() // 1_000_000
        copied = 0
        for _, event in rows:
            if event is None or self._connection.execute(present, event[1:4]).fetchone() is not None:
                continue
            self._add(*event[1:7], now_ms)
            copied += 1
        is_more = len(rows) == limit and rows[-1][0] < last
        return GivenBack(copied, rows[-1][0] + 1 if is_more else None)

    def forget_states(self) -> None:
        """For a file that is an older copy of itself: what it says of nodes is not true any more.

        Forecasts of our own nodes are deleted; their epochs and replay windows stay. States of old nodes are deleted,
        and these nodes get a new epoch, or they would use identities again. Who holds forecasts in memory must forget
        them, too.
        """
        for node, state in self.states():
            if OLD_NODE_MARK in node:
                self._connection.execute("DELETE FROM nodes WHERE node = ?", (node,))
            else:
                self.set_state(node, node_state.without_forecasts(state))
        outbox_rows.set_meta(self._connection, "old_epoch", outbox_rows.draw_epoch())
