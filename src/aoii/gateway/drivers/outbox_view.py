"""The oldest readings in the files that a gateway owns, seen from another process; nothing is changed."""

import contextlib
from pathlib import Path
from typing import NamedTuple

from aoii.broker.messages import Identity, decode_sender
from aoii.gateway.drivers import kept_rows
from aoii.runtime import sqlite_recovery


class Oldest(NamedTuple):
    """The reading that has waited longest.

    Attributes:
        identity: Node, epoch and counter.
        gateway: GATEWAY_ID under which it was accepted; None if its payload cannot be read.
    """

    identity: Identity
    gateway: str | None


def oldest_reading(path: Path) -> Oldest | None:
    """The reading that has waited longest; None if none waits.

    Raises:
        sqlite3.Error: The file is missing, damaged, or may not be read.
    """
    with contextlib.closing(sqlite_recovery.connect_as_guest(path, writes=False)) as connection:
        row = connection.execute("SELECT node, epoch, counter, payload FROM events ORDER BY seq LIMIT 1").fetchone()
    if row is None:
        return None
    *identity, payload = row
    sender = decode_sender(payload) if isinstance(payload, bytes) else None
    return Oldest(Identity(*identity), None if sender is None else sender[0])


class KeptSpan(NamedTuple):
    """How far back a gateway can give readings back.

    Attributes:
        oldest_ms: When the reading that has been kept for longest was accepted, Unix milliseconds; None: none is kept.
        has_forgotten: Whether older ones have made room; if not, all that were ever acknowledged are there.
    """

    oldest_ms: int | None
    has_forgotten: bool


def kept_span(outbox: Path) -> KeptSpan:
    """How far back the kept readings beside an outbox go.

    Raises:
        sqlite3.Error: The file is missing, damaged, or may not be read.
    """
    path = outbox.with_name(kept_rows.FILE)
    with contextlib.closing(sqlite_recovery.connect_as_guest(path, writes=False)) as connection:
        row = connection.execute("SELECT accepted_ms FROM kept ORDER BY id LIMIT 1").fetchone()
        forgotten = connection.execute("SELECT 1 FROM forgotten LIMIT 1").fetchone()
    return KeptSpan(None if row is None else int(row[0]), forgotten is not None)
