"""The tables of the file of kept readings, and what is written and read in them.

`kept` has the readings as they stood in the outbox, checksums included, in the order in which they left it. `forgotten`
has the numbers of those that have made room, as ranges. `origin` has the name of the outbox file from which the
readings came, and the highest sequence number among them, so that an outbox file which was put back is noticed.
"""

import contextlib
import itertools
import sqlite3
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from aoii.gateway.drivers import outbox_rows
from aoii.gateway.drivers.outbox_rows import EventRow
from aoii.gateway.numbers import merged
from aoii.runtime import sqlite_pages, sqlite_recovery
from aoii.runtime.sqlite_recovery import Recovery

FILE = "kept.db"  # beside the outbox
VERSION = 1
NUMBER_LIMIT = 2**63 - 1  # what SQLite holds
RANGES_LIMIT = 10_000  # in `forgotten`; about 700 kB
MERGE_STEP = 1000  # ranges that are merged at a time when there are more
LOG_LIMIT_BYTES = 4 * 2**20  # what a checkpoint usually leaves

SCHEMA = f"""
CREATE TABLE kept (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    node TEXT NOT NULL, epoch INTEGER NOT NULL, counter INTEGER NOT NULL,
    digest TEXT NOT NULL, qos INTEGER NOT NULL, payload BLOB NOT NULL,
    accepted_ms INTEGER NOT NULL, checksum INTEGER NOT NULL,
    UNIQUE (node, epoch, counter)
);
CREATE TABLE forgotten (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    node TEXT NOT NULL, epoch INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    UNIQUE (node, epoch, first)
);
CREATE TABLE origin (file TEXT NOT NULL, seq INTEGER NOT NULL, checksum INTEGER NOT NULL);
PRAGMA user_version = {VERSION};
"""

KEPT_COLUMNS = "id, node, epoch, counter, digest, qos, payload, accepted_ms, checksum"  # those of an `EventRow`
FORGOTTEN_COLUMNS = "id, node, epoch, first, last, checksum"


class ForgottenRow(NamedTuple):
    """A range of numbers whose readings were kept once."""

    node: str
    epoch: int
    first: int
    last: int


class Origin(NamedTuple):
    """The outbox file that the newest kept readings came from, and the highest sequence number among them."""

    file: str
    seq: int


def create_tables(connection: sqlite3.Connection) -> None:
    """Create the tables in an empty file."""
    sqlite_pages.prepare(connection)
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # so that deleted pages can go back to the disk
    connection.executescript(f"BEGIN;{SCHEMA}COMMIT")


def insert(connection: sqlite3.Connection, rows: Iterable[EventRow]) -> int:
    """Add readings, in this order; return how many were not there before. One that is there stays as it is."""
    statement = (
        "INSERT INTO kept (node, epoch, counter, digest, qos, payload, accepted_ms, checksum) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (node, epoch, counter) DO NOTHING"
    )
    return connection.executemany(statement, (row[1:] for row in rows)).rowcount


def forget_oldest(connection: sqlite3.Connection, limit: int) -> int:
    """Delete the readings that have been kept for longest, and note their numbers; return how many."""
    rows = connection.execute("SELECT id, node, epoch, counter FROM kept ORDER BY id LIMIT ?", (limit,)).fetchall()
    if rows:
        connection.execute("DELETE FROM kept WHERE id <= ?", rows[-1][:1])
        note_forgotten(connection, [row[1:] for row in rows])
    return len(rows)


def note_forgotten(connection: sqlite3.Connection, numbers: Iterable[tuple[bytes, int, int]]) -> None:
    """Add numbers (node, epoch, counter) to the ranges; ranges that touch become one."""
    for (name, epoch), group in itertools.groupby(sorted(numbers), key=lambda number: number[:2]):
        for first, last in merged((counter, counter) for _, _, counter in group):
            _add_range(connection, ForgottenRow(name.decode(errors="replace"), epoch, first, last))
    excess = connection.execute("SELECT count(*) FROM forgotten").fetchone()[0] - RANGES_LIMIT
    if excess > 0:
        _merge_nearest(connection, max(excess, MERGE_STEP))


def _add_range(connection: sqlite3.Connection, new: ForgottenRow) -> None:
    below = connection.execute(
        f"SELECT {FORGOTTEN_COLUMNS} FROM forgotten WHERE node = ? AND epoch = ? AND first < ? "  # noqa: S608 - constants
        "ORDER BY first DESC LIMIT 1",
        new[:3],
    ).fetchall()
    touching = connection.execute(
        f"SELECT {FORGOTTEN_COLUMNS} FROM forgotten WHERE node = ? AND epoch = ? AND first BETWEEN ? AND ?",  # noqa: S608 - constants
        (*new[:3], min(new.last + 1, NUMBER_LIMIT)),
    ).fetchall()
    first, last = new.first, new.last
    for row in (*below, *touching):
        found = decode_forgotten(row)
        if found is not None and found.last < new.first - 1:
            continue  # it lies below, and does not touch
        connection.execute("DELETE FROM forgotten WHERE id = ?", row[:1])
        if found is not None:
            first, last = min(first, found.first), max(last, found.last)
    insert_forgotten(connection, ForgottenRow(new.node, new.epoch, first, last))


def insert_forgotten(connection: sqlite3.Connection, row: ForgottenRow) -> None:
    """Add a range that touches no other; one with the same beginning is replaced."""
    connection.execute(
        "INSERT OR REPLACE INTO forgotten (node, epoch, first, last, checksum) VALUES (?, ?, ?, ?, ?)",
        (*row, _forgotten_checksum(row)),
    )


def _merge_nearest(connection: sqlite3.Connection, count: int) -> None:
    """Join so many neighbours of one node and epoch, those with the fewest numbers between them.

    The numbers between them then count as forgotten, too, although they never were here: rather too many readings that
    are called lost than too few.
    """
    pairs = connection.execute(
        "SELECT node, epoch, first, last, next FROM (SELECT node, epoch, first, last, "
        "lead(first) OVER (PARTITION BY node, epoch ORDER BY first) AS next FROM forgotten) "
        "WHERE next IS NOT NULL ORDER BY next - last LIMIT ?",
        (count,),
    ).fetchall()
    for name, epoch, _, last, following in pairs:
        if following - last > 1:
            _add_range(connection, ForgottenRow(name.decode(errors="replace"), epoch, last + 1, following - 1))


def decode_forgotten(row: tuple[object, ...]) -> ForgottenRow | None:
    """The range in a row of `FORGOTTEN_COLUMNS`; None when it fails its checksum."""
    match row:
        case (_, bytes() as name, int() as epoch, int() as first, int() as last, int() as checksum):
            found = ForgottenRow(name.decode(errors="replace"), epoch, first, last)
            return found if checksum == _forgotten_checksum(found) else None
    return None


def origin(connection: sqlite3.Connection) -> Origin | None:
    """Where the newest readings came from; None in a new file, and when the row fails its checksum."""
    for row in connection.execute("SELECT file, seq, checksum FROM origin").fetchall():
        match row:
            case (bytes() as name, int() as seq, int() as checksum):
                found = Origin(name.decode(errors="replace"), seq)
                if checksum == _origin_checksum(found):
                    return found
    return None


def set_origin(connection: sqlite3.Connection, new: Origin) -> None:
    """Replace what `origin` returns."""
    connection.execute("DELETE FROM origin")
    connection.execute("INSERT INTO origin VALUES (?, ?, ?)", (*new, _origin_checksum(new)))


def used_bytes(connection: sqlite3.Connection) -> int:
    """Room that rows occupy in the file, without its write-ahead log."""
    pages, free = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
    return int(pages - free) * sqlite_pages.page_bytes(connection)


def open_file(path: Path, is_damaged: bool) -> tuple[sqlite3.Connection, Recovery | None]:
    """Open the file; create it if it does not exist, and replace it if it is damaged.

    The connection returns text as bytes. Sound rows of a damaged file are in the new one. Of the damaged files that
    stay beside it, only the latest is not deleted: the database has these readings.

    Raises:
        sqlite3.Error, OSError: It cannot be opened for another reason than damage, or a newer aoii made it.
    """
    schema = sqlite_recovery.Schema(VERSION, SCHEMA)
    connection, recovery = sqlite_recovery.open_or_recover(path, schema, _check, _salvage, is_damaged)
    connection.text_factory = bytes
    if sqlite_recovery.user_version(connection) == 0:
        create_tables(connection)
    else:
        sqlite_pages.rebuild(connection)
    sqlite_pages.log_ahead(connection, LOG_LIMIT_BYTES)
    if recovery is not None:
        for old in path.parent.glob(f"{path.name}.corrupt-*"):
            if not old.name.startswith(recovery.kept_as.name):
                old.unlink(missing_ok=True)
    return connection, recovery


def _check(connection: sqlite3.Connection) -> bool:
    """Whether the file is new and empty, or of this version.

    Raises:
        sqlite3.NotSupportedError: A newer aoii made it.
    """
    version = sqlite_recovery.user_version(connection)
    if version > VERSION:
        raise sqlite3.NotSupportedError(f"a newer aoii made this file (version {version})")
    return version == VERSION or connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0


def _salvage(damaged: sqlite3.Connection, target: sqlite3.Connection, kept_as: Path) -> Recovery:
    """Copy what is sound into the empty file `target`."""
    create_tables(target)
    target.text_factory = bytes
    target.execute("BEGIN")
    salvaged = corrupt = 0
    insert_kept = "INSERT OR IGNORE INTO kept VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    for row in sqlite_recovery.readable_rows(damaged, "kept", KEPT_COLUMNS):
        event = outbox_rows.decode_event(row)
        if event is None:
            corrupt += 1
        else:
            salvaged += target.execute(insert_kept, event).rowcount
    for row in sqlite_recovery.readable_rows(damaged, "forgotten", FORGOTTEN_COLUMNS):
        found = decode_forgotten(row)
        if found is not None:
            _add_range(target, found)
    with contextlib.suppress(*sqlite_recovery.UNREADABLE):
        if (came_from := origin(damaged)) is not None:
            set_origin(target, came_from)
    held = sqlite_recovery.read_number(damaged, "SELECT count(*) FROM kept INDEXED BY sqlite_autoindex_kept_1")
    target.execute("COMMIT")
    lost = 1 if held is None else max(0, held - salvaged - corrupt)
    return Recovery(kept_as, salvaged, corrupt, lost, held is not None)


def _forgotten_checksum(row: ForgottenRow) -> int:
    return zlib.crc32(f"{row.node}|{row.epoch}|{row.first}|{row.last}".encode())


def _origin_checksum(row: Origin) -> int:
    return zlib.crc32(f"{row.file}|{row.seq}".encode())
