"""Opens the outbox file: creates it, checks it, brings it up to date, and replaces it when it is damaged.

The damaged file stays beside the new one. Rows that pass their checksum are copied into the new one. Readings that fail
it are quarantined there, in the table `corrupt`, for a person. States of nodes that fail it, and rows that cannot be
read, are only counted.
"""

import functools
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from aoii.core.errors import UnavailableError
from aoii.gateway.drivers import outbox_rows
from aoii.runtime import sqlite_pages, sqlite_recovery

LEAST_PAGES = 64  # that the file may have, for its tables and some readings
LOG_LIMIT_BYTES = 16 * 2**20  # what a burst may leave of the write-ahead log
CORRUPT_COLUMNS = "id, seq, node, epoch, counter, payload, found_ms"


class OutboxBrokenError(UnavailableError):
    """The outbox is closed, does not keep up, or cannot be opened, read or written; without room: `OutboxFullError`."""


@dataclass(frozen=True)
class Recovery(sqlite_recovery.Recovery):
    """What became of a damaged outbox; the numbers of rows are of readings.

    Attributes:
        states_lost: Nodes whose forecast and replay window are gone.
    """

    states_lost: int


def open_file(path: Path, max_bytes: int, is_damaged: bool = False) -> tuple[sqlite3.Connection, Recovery | None]:
    """Open the outbox; create it if it does not exist, and replace it if it is damaged.

    The connection returns text as bytes.

    Args:
        path: The file; its folder is created.
        max_bytes: Limit on its size.
        is_damaged: Whether using it has shown that it is damaged, whatever a check says.

    Raises:
        OutboxBrokenError: It cannot be opened for another reason than damage, or a newer aoii made it.
    """
    try:
        schema = sqlite_recovery.Schema(outbox_rows.VERSION, outbox_rows.SCHEMA)
        check = functools.partial(_check, path)
        connection, recovery = sqlite_recovery.open_or_recover(path, schema, check, _salvage, is_damaged)
        connection.text_factory = bytes
        match sqlite_recovery.user_version(connection):
            case 0:
                outbox_rows.create_tables(connection)
            case 1:
                _add_meta_checksums(connection)
        sqlite_pages.rebuild(connection)
        sqlite_pages.log_ahead(connection, LOG_LIMIT_BYTES)
        outbox_rows.file_id(connection)  # files of earlier versions have none
        pages = max(max_bytes // sqlite_pages.page_bytes(connection), LEAST_PAGES)
        connection.execute(f"PRAGMA max_page_count = {pages}")
    except (sqlite3.Error, OSError) as error:
        raise OutboxBrokenError(
            f"{path}: the outbox cannot be opened ({error})", "check the folder, its permissions and the disk"
        ) from error
    return connection, recovery


def _add_meta_checksums(connection: sqlite3.Connection) -> None:
    """Bring a file of version 1 up to date. Its table `meta` has no checksums, so the numbers are taken as they are."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("ALTER TABLE meta ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0")
    for name, value in connection.execute("SELECT name, value FROM meta").fetchall():
        outbox_rows.set_meta(connection, name.decode(), value)
    connection.execute(f"PRAGMA user_version = {outbox_rows.VERSION}")
    connection.execute("COMMIT")


def _check(path: Path, connection: sqlite3.Connection) -> bool:
    """Whether the file is new and empty, or has every number of its table `meta` undamaged.

    Raises:
        OutboxBrokenError: A newer aoii made it.
    """
    version = sqlite_recovery.user_version(connection)
    if version > outbox_rows.VERSION:
        raise OutboxBrokenError(f"{path}: a newer aoii made this file (version {version})", "install that release")
    if version == 0:
        return bool(connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0)
    return set(outbox_rows.sound_meta(connection)) == outbox_rows.META


def _salvage(damaged: sqlite3.Connection, target: sqlite3.Connection, kept_as: Path) -> Recovery:
    """Copy what is sound, and what was or is now quarantined, into the empty file `target`."""
    outbox_rows.create_tables(target)
    target.execute("BEGIN")
    now_ms = time.time_ns() // 1_000_000
    listed = _copy_quarantine(damaged, target, now_ms)
    salvaged, corrupt = _copy_events(damaged, target, now_ms)
    states_lost = _copy_states(damaged, target)
    outbox_rows.set_meta(target, "total_tx", outbox_rows.sound_meta(damaged).get("total_tx", salvaged))
    highest = sqlite_recovery.last_rowid(damaged, "events")
    target.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'events'", (highest,))
    if (number := outbox_rows.file_number(damaged)) is not None:
        outbox_rows.set_file_number(target, number)
    lost = [  # an index may be sound, and count rows that cannot be read
        _lost(damaged, "events INDEXED BY sqlite_autoindex_events_1", salvaged + corrupt),
        _lost(damaged, "corrupt", listed),
    ]
    target.execute("COMMIT")
    at_least = sum(1 if count is None else count for count in lost)
    return Recovery(kept_as, salvaged, corrupt, at_least, None not in lost, states_lost)


def _copy_quarantine(damaged: sqlite3.Connection, target: sqlite3.Connection, now_ms: int) -> int:
    """Copy the rows that were quarantined earlier, which perhaps nobody has seen yet; return their number."""
    insert = "INSERT OR IGNORE INTO corrupt VALUES (?, ?, ?, ?, ?, ?, ?)"
    copied = 0
    for *row, found_ms in sqlite_recovery.readable_rows(damaged, "corrupt", CORRUPT_COLUMNS):
        copied += target.execute(insert, (*row, found_ms if isinstance(found_ms, int) else now_ms)).rowcount
    return copied


def _copy_events(damaged: sqlite3.Connection, target: sqlite3.Connection, now_ms: int) -> tuple[int, int]:
    """Copy sound readings and quarantine the others; return how many of each."""
    insert = "INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    salvaged = corrupt = 0
    for row in sqlite_recovery.readable_rows(damaged, "events", outbox_rows.EVENT_COLUMNS):
        event = outbox_rows.decode_event(row)
        if event is not None:
            salvaged += target.execute(insert, event).rowcount
            continue
        seq, node, epoch, counter, _, _, payload, _, _ = row
        target.execute(
            "INSERT INTO corrupt VALUES (NULL, ?, ?, ?, ?, ?, ?)", (seq, node, epoch, counter, payload, now_ms)
        )
        corrupt += 1
    return salvaged, corrupt


def _copy_states(damaged: sqlite3.Connection, target: sqlite3.Connection) -> int:
    """Copy the sound states of nodes; return the number of the others."""
    lost = 0
    for row in sqlite_recovery.readable_rows(damaged, "nodes", outbox_rows.STATE_COLUMNS):
        node = outbox_rows.decode_state(row)
        if node is None:
            lost += 1
        else:
            target.execute("INSERT OR REPLACE INTO nodes VALUES (?, ?, ?)", (*node, outbox_rows.state_checksum(*node)))
    return lost


def _lost(damaged: sqlite3.Connection, table: str, found: int) -> int | None:
    """Number of rows in `table` beyond those that were `found`; None if unknown."""
    held = sqlite_recovery.read_number(damaged, f"SELECT count(*) FROM {table}")  # noqa: S608 - constants
    return None if held is None else max(0, held - found)
