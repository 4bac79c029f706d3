"""A new outbox file with the readings of older ones, for a restore; nothing else of them is taken over.

An outbox that is put back as it was gives sequence numbers a second time, and what it says of nodes is not true any
more. So the readings go into a file with a name of its own, which numbers them anew. Forecasts, replay windows and the
epoch of old nodes begin empty, as in the outbox of a new gateway.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from aoii.core.errors import UnavailableError
from aoii.gateway.drivers import outbox_rows
from aoii.runtime import sqlite_recovery
from aoii.security import private_file

COLUMNS = "node, epoch, counter, digest, qos, payload, accepted_ms, checksum"


@dataclass(frozen=True)
class Restored:
    """What a new outbox was made of.

    Attributes:
        readings: How many readings are in it.
        acknowledged: How many were left out because they are among the kept readings, so the database had them.
        corrupt: How many were left out because they fail their checksum.
    """

    readings: int
    acknowledged: int
    corrupt: int


def make(target: Path, sources: Iterable[Path], kept: Path | None) -> Restored:
    """Make an outbox file with the readings of others that wait, each identity once; the first of two stays.

    Args:
        target: The new file, which must not exist; it gets mode 0600, and is on the disk when this returns.
        sources: Outbox files that nobody uses.
        kept: The kept readings of this gateway; None: there are none.

    Raises:
        UnavailableError: A file cannot be read or written.
    """
    try:
        private_file.create(target).close()
        with contextlib.closing(sqlite_recovery.connect_as_owner(target)) as connection:
            outbox_rows.create_tables(connection)
            acknowledged = _identities(kept)
            connection.execute("BEGIN")
            left_out = corrupt = 0
            for event in _readings(sources):
                if event is None:
                    corrupt += 1
                elif (event.node, event.epoch, event.counter) in acknowledged:
                    left_out += 1
                else:
                    connection.execute(
                        f"INSERT OR IGNORE INTO events ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants
                        event[1:],
                    )
            readings = int(connection.execute("SELECT count(*) FROM events").fetchone()[0])
            outbox_rows.set_meta(connection, "total_tx", readings)
            outbox_rows.file_id(connection)
            connection.execute("COMMIT")
    except (sqlite3.Error, OSError) as error:
        raise UnavailableError(
            f"{target}: no outbox can be made of the older one ({error})", "check the disk, and who may write there"
        ) from error
    return Restored(readings, left_out, corrupt)


def _readings(sources: Iterable[Path]) -> Iterator[outbox_rows.EventRow | None]:
    """Every reading that waits, in the order in which each file accepted them; None for one that is damaged."""
    for source in sources:
        with contextlib.closing(sqlite_recovery.connect_as_guest(source, writes=False)) as connection:
            connection.text_factory = bytes
            query = f"SELECT {outbox_rows.EVENT_COLUMNS} FROM events ORDER BY seq"  # noqa: S608 - constants
            yield from map(outbox_rows.decode_event, connection.execute(query))


def _identities(kept: Path | None) -> set[tuple[str, int, int]]:
    if kept is None:
        return set()
    with contextlib.closing(sqlite_recovery.connect_as_guest(kept, writes=False)) as connection:
        return set(connection.execute("SELECT node, epoch, counter FROM kept"))
