"""What a request may do in the outbox file: read and replace the state of a node, add readings and remove them."""

import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from aoii.broker.messages import Committed, Identity, payload_digest
from aoii.core.errors import ProtocolError, UnavailableError
from aoii.gateway.drivers import outbox_rows
from aoii.gateway.outbox import Fetch, Fetched
from aoii.gateway.readings import Item


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
        events_corrupt: Readings quarantined.
        states_lost: States of nodes deleted because they failed their checksum.
    """

    events_added: int = 0
    events_corrupt: int = 0
    states_lost: int = 0


class Transaction:
    """The outbox file as one request sees it; valid only while the request runs.

    Args:
        connection: Of the file, in a transaction.
        may_grow: Whether readings may be added; False while the disk reserve is given up.
    """

    def __init__(self, connection: sqlite3.Connection, may_grow: bool) -> None:
        self._connection = connection
        self._may_grow = may_grow
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
        """Add a reading and count it in `total_tx`; None when the same reading is there already.

        Raises:
            ProtocolError: With reason `conflict`: the same identity is there with another content.
            OutboxFullError: The disk is full; what room is left is needed for deleting.
        """
        if not self._may_grow:
            raise OutboxFullError("the disk under the outbox is full", "make room there")
        key = (who.node, who.epoch, who.counter)
        row = self._connection.execute(
            "SELECT digest FROM events WHERE node = ? AND epoch = ? AND counter = ?", key
        ).fetchone()
        if row is not None:
            if row[0] != digest.encode():
                raise ProtocolError(
                    "conflict", f"node {who.node}: event {who.counter} of epoch {who.epoch} with two contents"
                )
            return None
        cursor = self._connection.execute(
            "INSERT INTO events (node, epoch, counter, digest, qos, payload, accepted_ms, checksum) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*key, digest, qos, payload, now_ms, outbox_rows.event_checksum(*key, digest, qos, payload, now_ms)),
        )
        outbox_rows.set_meta(self._connection, "total_tx", self.total_tx() + 1)
        self.changes.events_added += 1
        return Item(cursor.lastrowid or 0, who, qos, payload, now_ms)

    def delete(self, identities: Iterable[Identity]) -> list[int]:
        """Remove readings; for each one that was here, return when it was accepted, Unix milliseconds."""
        accepted_ms: list[int] = []
        for who in identities:
            rows = self._connection.execute(
                "DELETE FROM events WHERE node = ? AND epoch = ? AND counter = ? RETURNING accepted_ms",
                (who.node, who.epoch, who.counter),
            ).fetchall()
            accepted_ms += [at_ms for (at_ms,) in rows if isinstance(at_ms, int)]  # any other type is damage
            self.changes.events_added -= len(rows)
        return accepted_ms

    def acknowledge(self, committed: Iterable[Committed]) -> Acknowledgement:
        """Remove the readings that commit acknowledgements name.

        A reading stays if the acknowledgement names another payload: then somebody else has published something under
        this identity. A reading that is damaged here is quarantined and counts as acknowledged: the server has it.
        """
        done = Acknowledgement([], [], [])
        for item in committed:
            if item.digest is not None and self._is_other(item.identity, item.digest):
                done.mismatched.append(item.identity)
            else:
                done.accepted_ms.extend(self.delete([item.identity]))
                done.acknowledged.append(item.identity)
        return done

    def _is_other(self, who: Identity, digest: str) -> bool:
        """Whether the reading is here, undamaged, with another payload than the digest names."""
        row = self._connection.execute(
            f"SELECT {outbox_rows.EVENT_COLUMNS} FROM events WHERE node = ? AND epoch = ? AND counter = ?",  # noqa: S608 - our own constant
            (who.node, who.epoch, who.counter),
        ).fetchone()
        if row is None:
            return False
        event = self._decode(row)
        return event is not None and payload_digest(event.payload) != digest

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
