"""Opening the outbox file: its tables, a check of its health, and what is done when it is damaged.

Rows that pass their own checksum move into a new file (`sqlite_file`); rows that can be read and fail it are listed
there in `corrupt`, for a person; what cannot be read at all is counted. The damaged file stays beside the new one. It
refuses to guess: a row is used as it was written, or not at all.
"""

import contextlib
import functools
import secrets
import sqlite3
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

from aoii.core.errors import UnavailableError
from aoii.runtime import sqlite_recovery

VERSION = 2
PAGE_BYTES = 4096
OLD_EPOCH_FLOOR = 1 << 16  # epochs of our own nodes have 16 bits; these can be told apart
OLD_EPOCH_LIMIT = 1 << 53  # whole numbers that every JSON reader keeps exact

SCHEMA = f"""
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    node TEXT NOT NULL, epoch INTEGER NOT NULL, counter INTEGER NOT NULL,
    digest TEXT NOT NULL, qos INTEGER NOT NULL, payload BLOB NOT NULL,
    accepted_ms INTEGER NOT NULL, checksum INTEGER NOT NULL,
    UNIQUE (node, epoch, counter)
);
CREATE TABLE nodes (node TEXT NOT NULL UNIQUE, state BLOB NOT NULL, checksum INTEGER NOT NULL);
CREATE TABLE meta (name TEXT NOT NULL UNIQUE, value INTEGER NOT NULL, checksum INTEGER NOT NULL);
CREATE TABLE corrupt (
    id INTEGER PRIMARY KEY, seq INTEGER, node BLOB, epoch INTEGER, counter INTEGER, payload BLOB,
    found_ms INTEGER NOT NULL
);
PRAGMA user_version = {VERSION};
"""

EVENT_COLUMNS = "seq, node, epoch, counter, digest, qos, payload, accepted_ms, checksum"
STATE_COLUMNS = "rowid, node, state, checksum"
CORRUPT_COLUMNS = "id, seq, node, epoch, counter, payload, found_ms"
META = {"old_epoch", "total_tx"}


class OutboxBrokenError(UnavailableError):
    """The file cannot be opened, read or written, other than for want of room."""


@dataclass(frozen=True)
class Recovery(sqlite_recovery.Recovery):
    """What became of a damaged outbox; its rows are readings, and the corrupt ones are in the table `corrupt`.

    Attributes:
        states_lost: Nodes whose forecast and replay window are gone.
    """

    states_lost: int


def event_checksum(node: str, epoch: int, counter: int, digest: str, qos: int, payload: bytes, accepted_ms: int) -> int:
    """CRC-32 over everything in a row but its place."""
    return zlib.crc32(payload, zlib.crc32(f"{node}|{epoch}|{counter}|{digest}|{qos}|{accepted_ms}|".encode()))


def state_checksum(node: str, state: bytes) -> int:
    """CRC-32 over a node's name and state."""
    return zlib.crc32(state, zlib.crc32(f"{node}|".encode()))


def meta_checksum(name: str, value: int) -> int:
    """CRC-32 over one of the file's own numbers and its name."""
    return zlib.crc32(f"{name}|{value}".encode())


def drawn_epoch() -> int:
    """An epoch for old-firmware nodes that no file ever had."""
    return OLD_EPOCH_FLOOR + secrets.randbelow(OLD_EPOCH_LIMIT - OLD_EPOCH_FLOOR)


def sound_event(row: tuple[object, ...]) -> tuple[int, str, int, int, str, int, bytes, int, int] | None:
    """A row, by EVENT_COLUMNS and read with text as bytes, with its text decoded; None when it fails its checksum."""
    match row:
        case (int() as seq, bytes() as name, int() as epoch, int() as counter, bytes() as digest, int() as qos,
              bytes() as payload, int() as accepted_ms, int() as checksum):  # fmt: skip
            try:
                node, code = name.decode(), digest.decode()
            except UnicodeDecodeError:
                return None
            if checksum == event_checksum(node, epoch, counter, code, qos, payload, accepted_ms):
                return seq, node, epoch, counter, code, qos, payload, accepted_ms, checksum
    return None


def sound_state(row: tuple[object, ...]) -> tuple[str, bytes] | None:
    """Name and state of a node, from STATE_COLUMNS read with text as bytes; None when they fail their checksum."""
    match row:
        case (_, bytes() as name, bytes() as state, int() as checksum):
            with contextlib.suppress(UnicodeDecodeError):
                if checksum == state_checksum(node := name.decode(), state):
                    return node, state
    return None


def open_file(path: Path, max_bytes: int, is_damaged: bool = False) -> tuple[sqlite3.Connection, Recovery | None]:
    """Open the file for the store's thread, make it if it does not exist, and replace it if it is damaged.

    Text is read through this connection as bytes.

    Args:
        path: The file; its folder is made.
        max_bytes: Its size is capped there.
        is_damaged: Its use has shown that it is, whatever a check says.

    Raises:
        OutboxBrokenError: It cannot be opened for another reason than damage, or a newer aoii made it.
    """
    try:
        schema = sqlite_recovery.Schema(VERSION, SCHEMA)
        check = functools.partial(_check, path)
        connection, recovery = sqlite_recovery.open_or_recover(path, schema, check, _salvage, is_damaged)
        connection.text_factory = bytes  # a text that is no UTF-8 any more is for the checksum to find
        match sqlite_recovery.user_version(connection):
            case 0:
                _create(connection)
            case 1:
                _add_meta_checksums(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_size_limit = 16777216")  # bytes that a burst may leave in the -wal file
        connection.execute(f"PRAGMA max_page_count = {max(max_bytes // PAGE_BYTES, 16)}")
    except (sqlite3.Error, OSError) as error:
        raise OutboxBrokenError(
            f"{path}: the outbox cannot be opened ({error}); check the folder, its rights and the disk"
        ) from error
    return connection, recovery


def _create(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # so that a full disk can be given back what was deleted
    connection.executescript(f"BEGIN;{SCHEMA}")
    for name, value in (("old_epoch", drawn_epoch()), ("total_tx", 0)):
        connection.execute("INSERT INTO meta VALUES (?, ?, ?)", (name, value, meta_checksum(name, value)))
    connection.execute("COMMIT")


def _add_meta_checksums(connection: sqlite3.Connection) -> None:
    """From version 1, whose numbers can only be believed."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("ALTER TABLE meta ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0")
    for name, value in connection.execute("SELECT name, value FROM meta").fetchall():
        set_meta(connection, name.decode(), value)
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def set_meta(connection: sqlite3.Connection, name: str, value: int) -> None:
    """Set one of the file's own numbers."""
    connection.execute(
        "UPDATE meta SET value = ?, checksum = ? WHERE name = ?", (value, meta_checksum(name, value), name)
    )


def _sound_meta(connection: sqlite3.Connection) -> dict[str, int]:
    """The file's own numbers that pass their checksum; all of them when it is older than the checksums."""
    sound = {}
    with contextlib.suppress(*sqlite_recovery.UNREADABLE):
        checksum = "checksum" if sqlite_recovery.user_version(connection) > 1 else "NULL"
        for row in connection.execute(f"SELECT name, value, {checksum} FROM meta").fetchall():  # noqa: S608 - constants
            match row:
                case (bytes() as code, int() as value, kept):
                    name = code.decode(errors="replace")
                    if kept in (None, meta_checksum(name, value)):
                        sound[name] = value
    return sound


def _check(path: Path, connection: sqlite3.Connection) -> bool:
    version = sqlite_recovery.user_version(connection)
    if version > VERSION:
        raise OutboxBrokenError(f"{path}: made by a newer aoii (version {version}); install that one again")
    if version == 0:
        return bool(connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0)
    return set(_sound_meta(connection)) == META


def _salvage(damaged: sqlite3.Connection, target: sqlite3.Connection, kept_as: Path) -> Recovery:
    _create(target)
    target.execute("BEGIN")
    salvaged = corrupt = listed = states_lost = 0
    found_ms = time.time_ns() // 1_000_000
    for row in sqlite_recovery.readable_rows(
        damaged, "corrupt", CORRUPT_COLUMNS
    ):  # set aside earlier, and seen by nobody perhaps
        when_ms = row[-1] if isinstance(row[-1], int) else found_ms
        list_again = "INSERT OR IGNORE INTO corrupt VALUES (?, ?, ?, ?, ?, ?, ?)"
        listed += target.execute(list_again, (*row[:-1], when_ms)).rowcount
    for row in sqlite_recovery.readable_rows(damaged, "events", EVENT_COLUMNS):
        seq, node, epoch, counter, _, _, payload, _, _ = row
        values = sound_event(row)
        if values is None:
            target.execute(
                "INSERT INTO corrupt VALUES (NULL, ?, ?, ?, ?, ?, ?)", (seq, node, epoch, counter, payload, found_ms)
            )
            corrupt += 1
        elif target.execute("INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values).rowcount:
            salvaged += 1
    for row in sqlite_recovery.readable_rows(damaged, "nodes", STATE_COLUMNS):
        named = sound_state(row)
        if named is None:
            states_lost += 1
        else:
            target.execute("INSERT OR REPLACE INTO nodes VALUES (?, ?, ?)", (*named, state_checksum(*named)))
    set_meta(target, "total_tx", _sound_meta(damaged).get("total_tx", salvaged))
    highest = sqlite_recovery.last_rowid(damaged, "events")
    target.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'events'", (highest,))
    lost = [
        _lost(damaged, "events INDEXED BY sqlite_autoindex_events_1", salvaged + corrupt),
        _lost(damaged, "corrupt", listed),
    ]
    target.execute("COMMIT")
    at_least = sum(1 if count is None else count for count in lost)
    return Recovery(kept_as, salvaged, corrupt, at_least, None not in lost, states_lost)


def _lost(damaged: sqlite3.Connection, table: str, found: int) -> int | None:
    """How many rows there were beside those that were found; None when nobody knows."""
    held = sqlite_recovery.read_number(damaged, f"SELECT count(*) FROM {table}")  # noqa: S608 - constants
    return None if held is None else max(0, held - found)
