"""A new outbox file with the readings of older ones, for a restore; of the rest only the quarantine is taken over.

An outbox that is put back as it was gives sequence numbers a second time, and what it says of nodes is not true any
more. So the readings go into a file with a name of its own, which numbers them anew. Forecasts, replay windows and the
epoch of old nodes begin empty, as in the outbox of a new gateway.
"""

import contextlib
import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from aoii.core.errors import UnavailableError
from aoii.gateway.drivers import kept_rows, outbox_rows
from aoii.gateway.drivers.outbox_rows import EVENT_COLUMNS
from aoii.runtime import sqlite_recovery
from aoii.runtime.sqlite_recovery import readable_rows
from aoii.security import private_file

INSERT = (
    "INSERT OR IGNORE INTO events (node, epoch, counter, digest, qos, payload, accepted_ms, checksum) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
CORRUPT_COLUMNS = "id, seq, node, epoch, counter, payload, found_ms"
QUARANTINE = (  # the files may be one file at two instants
    "INSERT INTO corrupt SELECT NULL, :seq, :node, :epoch, :counter, :payload, :found_ms WHERE NOT EXISTS "
    "(SELECT 1 FROM corrupt WHERE seq IS :seq AND node IS :node AND epoch IS :epoch AND counter IS :counter "
    "AND payload IS :payload)"
)


@dataclass(frozen=True)
class Restored:
    """What a new outbox was made of.

    Attributes:
        readings: How many readings are in it.
        acknowledged: How many were left out because they are among the kept readings, so the database had them.
        corrupt: How many fail their checksum, and are in its quarantine now.
    """

    readings: int
    acknowledged: int
    corrupt: int


def make(target: Path, sources: Iterable[Path], kept: Path | None) -> Restored:
    """Make an outbox file with the readings of others that wait, each identity once; the first of two stays.

    Of a file that is damaged it takes what can be read.

    Args:
        target: The new file, which must not exist; it gets mode 0600, and is on the disk when this returns.
        sources: Outbox files that nobody uses.
        kept: The kept readings of this gateway; None: there are none.

    Raises:
        UnavailableError: A file cannot be read or written, and the reason is not damage; or a newer aoii made it.
    """
    try:
        private_file.create(target).close()
        with contextlib.closing(sqlite_recovery.connect_as_owner(target)) as connection:
            outbox_rows.create_tables(connection)
            acknowledged = set() if kept is None else _identities(kept)
            connection.execute("BEGIN")
            left_out = corrupt = 0
            now_ms = time.time_ns() // 1_000_000
            for source in sources:
                with _opened(source) as older:
                    _require_known_version(source, older)
                    for seq, node, epoch, counter, payload, found_ms in _quarantined(older):
                        _quarantine(connection, seq, node, epoch, counter, payload, found_ms)
                    for row in readable_rows(older, "events", EVENT_COLUMNS):
                        event = outbox_rows.decode_event(row)
                        if event is None:
                            seq, node, epoch, counter, _, _, payload, _, _ = row
                            _quarantine(connection, seq, node, epoch, counter, payload, now_ms)
                            corrupt += 1
                        elif (event.node, event.epoch, event.counter) in acknowledged:
                            left_out += 1
                        else:
                            connection.execute(INSERT, event[1:])
            readings = int(connection.execute("SELECT count(*) FROM events").fetchone()[0])
            outbox_rows.set_meta(connection, "total_tx", readings)
            outbox_rows.file_id(connection)
            connection.execute("COMMIT")
    except (sqlite3.Error, OSError) as error:
        raise UnavailableError(
            f"{target}: no outbox can be made of the older one ({error})", "check the disk, and who may write there"
        ) from error
    return Restored(readings, left_out, corrupt)


def _quarantined(older: sqlite3.Connection) -> Iterator[tuple[object, ...]]:
    return (row[1:] for row in readable_rows(older, "corrupt", CORRUPT_COLUMNS))


def _quarantine(connection: sqlite3.Connection, *values: object) -> None:
    names = ("seq", "node", "epoch", "counter", "payload", "found_ms")
    connection.execute(QUARANTINE, dict(zip(names, values, strict=True)))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that reads what can be read of a file, with text as bytes."""
    try:
        connection = sqlite_recovery.connect_as_guest(path, writes=False)
    except sqlite3.Error as error:
        if not sqlite_recovery.is_damage(error):
            raise
        connection = sqlite_recovery.connect_read_only(path)
    with contextlib.closing(connection):
        connection.text_factory = bytes
        with contextlib.suppress(sqlite3.DatabaseError):
            connection.execute("PRAGMA writable_schema = ON")  # otherwise nothing of a truncated file can be read
        yield connection


def _require_known_version(path: Path, connection: sqlite3.Connection) -> None:
    version = sqlite_recovery.read_number(connection, "PRAGMA user_version") or 0
    if version > outbox_rows.VERSION:
        raise UnavailableError(f"{path}: a newer aoii made this outbox (version {version})", "install that release")


def _identities(kept: Path) -> set[tuple[str, int, int]]:
    """The kept readings. One that cannot be read is sent again, and the database recognises it."""
    found = set()
    with _opened(kept) as connection:
        for row in readable_rows(connection, "kept", kept_rows.KEPT_COLUMNS):
            if (event := outbox_rows.decode_event(row)) is not None:
                found.add((event.node, event.epoch, event.counter))
    return found
