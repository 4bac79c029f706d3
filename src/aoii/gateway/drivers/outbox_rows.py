"""The tables of the outbox file, their rows, and the checksum of each row.

SQLite does not notice a flipped bit in a value. So every row has a CRC-32 of its content, and is used exactly as it was
written or not at all. Text is read as bytes, because damaged text may no longer be UTF-8.
"""

import contextlib
import secrets
import sqlite3
import zlib
from typing import NamedTuple

from aoii.runtime import sqlite_pages, sqlite_recovery

VERSION = 2
OLD_EPOCH_FLOOR = 1 << 16  # epochs of our own nodes have 16 bits, so the two kinds can be told apart
OLD_EPOCH_LIMIT = 1 << 53  # every JSON reader keeps whole numbers below this exact

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

STATE_COLUMNS = "rowid, node, state, checksum"
META = {"old_epoch", "total_tx"}  # the numbers in the table `meta`, which belong to the whole file


class EventRow(NamedTuple):
    """A reading in the table `events`, with the order in which it was accepted."""

    seq: int
    node: str
    epoch: int
    counter: int
    digest: str
    qos: int
    payload: bytes
    accepted_ms: int
    checksum: int


EVENT_COLUMNS = ", ".join(EventRow._fields)


class StateRow(NamedTuple):
    """Name and state of a node, from the table `nodes`."""

    node: str
    state: bytes


def event_checksum(node: str, epoch: int, counter: int, digest: str, qos: int, payload: bytes, accepted_ms: int) -> int:
    """CRC-32 of all columns of a reading but `seq` and itself."""
    return zlib.crc32(payload, zlib.crc32(f"{node}|{epoch}|{counter}|{digest}|{qos}|{accepted_ms}|".encode()))


def state_checksum(node: str, state: bytes) -> int:
    """CRC-32 of a node's name and state."""
    return zlib.crc32(state, zlib.crc32(f"{node}|".encode()))


def decode_event(row: tuple[object, ...]) -> EventRow | None:
    """The reading in a row of `EVENT_COLUMNS`; None when it fails its checksum."""
    match row:
        case (int() as seq, bytes() as name, int() as epoch, int() as counter, bytes() as code, int() as qos,
              bytes() as payload, int() as accepted_ms, int() as checksum):  # fmt: skip
            with contextlib.suppress(UnicodeDecodeError):
                node, digest = name.decode(), code.decode()
                if checksum == event_checksum(node, epoch, counter, digest, qos, payload, accepted_ms):
                    return EventRow(seq, node, epoch, counter, digest, qos, payload, accepted_ms, checksum)
    return None


def decode_state(row: tuple[object, ...]) -> StateRow | None:
    """The node in a row of `STATE_COLUMNS`; None when it fails its checksum."""
    match row:
        case (_, bytes() as name, bytes() as state, int() as checksum):
            with contextlib.suppress(UnicodeDecodeError):
                if checksum == state_checksum(node := name.decode(), state):
                    return StateRow(node, state)
    return None


def create_tables(connection: sqlite3.Connection) -> None:
    """Create the tables in an empty file."""
    sqlite_pages.prepare(connection)
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # so that deleted pages can go back to a full disk
    connection.executescript(f"BEGIN;{SCHEMA}")
    for name, value in (("old_epoch", draw_epoch()), ("total_tx", 0)):
        connection.execute("INSERT INTO meta VALUES (?, ?, ?)", (name, value, _meta_checksum(name, value)))
    connection.execute("COMMIT")


def draw_epoch() -> int:
    """A random epoch for old nodes, one of so many that no file should have used it before."""
    return OLD_EPOCH_FLOOR + secrets.randbelow(OLD_EPOCH_LIMIT - OLD_EPOCH_FLOOR)


def get_meta(connection: sqlite3.Connection, name: str) -> int:
    """One of the numbers that belong to the whole file."""
    return int(connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchall()[0][0])


def set_meta(connection: sqlite3.Connection, name: str, value: int) -> None:
    """Change one of the numbers that belong to the whole file."""
    connection.execute(
        "UPDATE meta SET value = ?, checksum = ? WHERE name = ?", (value, _meta_checksum(name, value), name)
    )


# The name of the file stands in SQLite's own table of sequence numbers, under a name that no table has. Older releases
# take another table, or another row of `meta`, for damage.
FILE_ROW = "aoii file"


def file_id(connection: sqlite3.Connection) -> str:
    """The name of the file, sixteen hexadecimal digits; drawn now if it has none."""
    number = file_number(connection)
    if number is None:
        number = secrets.randbits(63)
        set_file_number(connection, number)
    return f"{number:016x}"


def file_number(connection: sqlite3.Connection) -> int | None:
    """The name of the file as a number; None if it has none, or it cannot be read."""
    return sqlite_recovery.read_number(connection, f"SELECT seq FROM sqlite_sequence WHERE name = '{FILE_ROW}'")  # noqa: S608 - our own constant


def set_file_number(connection: sqlite3.Connection, number: int) -> None:
    """Name the file."""
    connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", (FILE_ROW,))
    connection.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (FILE_ROW, number))


def last_seq(connection: sqlite3.Connection) -> int:
    """The highest sequence number ever given to a reading in this file; 0 before the first."""
    return sqlite_recovery.last_rowid(connection, "events")


def sound_meta(connection: sqlite3.Connection) -> dict[str, int]:
    """The file's numbers that pass their checksum; all of them in a file of version 1, which has no checksums."""
    sound = {}
    with contextlib.suppress(*sqlite_recovery.UNREADABLE):
        checksum = "checksum" if sqlite_recovery.user_version(connection) > 1 else "NULL"
        for row in connection.execute(f"SELECT name, value, {checksum} FROM meta").fetchall():  # noqa: S608 - constants
            match row:
                case (bytes() as code, int() as value, stored):
                    name = code.decode(errors="replace")
                    if stored in (None, _meta_checksum(name, value)):
                        sound[name] = value
    return sound


def _meta_checksum(name: str, value: int) -> int:
    return zlib.crc32(f"{name}|{value}".encode())
