"""Opening the outbox file: its tables, a check of its health, and what is done when it is damaged.

A file that fails the check is not written to again: check and recovery read it through connections that cannot write,
and so leave its write-ahead log where it is, which closing another kind would copy into the file. Rows that pass their
own checksum move into a new file; rows that can be read and fail it are listed there in `corrupt`, for a person; what
cannot be read at all is counted. The damaged file stays beside the new one. It refuses to guess: a row is used as it
was written, or not at all.
"""

import contextlib
import os
import secrets
import sqlite3
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aoii.core.errors import WorldError

VERSION = 1
PAGE_BYTES = 4096
SEQ_LIMIT = 1 << 40  # more readings than any outbox will ever number
FAILURE_LIMIT = 20_000  # failed reads of one damaged file before the rest is given up; each costs about 20 µs
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
CREATE TABLE meta (name TEXT NOT NULL UNIQUE, value INTEGER NOT NULL);
CREATE TABLE corrupt (
    id INTEGER PRIMARY KEY, seq INTEGER, node BLOB, epoch INTEGER, counter INTEGER, payload BLOB,
    found_ms INTEGER NOT NULL
);
PRAGMA user_version = {VERSION};
"""

EVENT_COLUMNS = "seq, node, epoch, counter, digest, qos, payload, accepted_ms, checksum"
STATE_COLUMNS = "rowid, node, state, checksum"


class OutboxBrokenError(WorldError):
    """The file cannot be opened, read or written, other than for want of room."""


@dataclass(frozen=True)
class Recovery:
    """What became of a damaged file.

    Attributes:
        kept_as: Where the damaged file lies now.
        salvaged: Readings that passed their checksum and are in the new file.
        corrupt: Readings that could be read and failed it; listed in the table `corrupt`.
        lost: Readings that could not be read.
        is_lost_exact: Whether `lost` is a count; otherwise nobody knows, and it says at least 1.
        states_lost: Nodes whose picture and replay window are gone.
    """

    kept_as: Path
    salvaged: int
    corrupt: int
    lost: int
    is_lost_exact: bool
    states_lost: int


def event_checksum(node: str, epoch: int, counter: int, digest: str, qos: int, payload: bytes, accepted_ms: int) -> int:
    """CRC-32 over everything in a row but its place."""
    return zlib.crc32(payload, zlib.crc32(f"{node}|{epoch}|{counter}|{digest}|{qos}|{accepted_ms}|".encode()))


def state_checksum(node: str, state: bytes) -> int:
    """CRC-32 over a node's name and state."""
    return zlib.crc32(state, zlib.crc32(f"{node}|".encode()))


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


def open_file(path: Path, max_bytes: int) -> tuple[sqlite3.Connection, Recovery | None]:
    """Open the file for the store's thread, make it if it does not exist, and replace it if it is damaged.

    Text is read through this connection as bytes.

    Args:
        path: The file; its folder is made.
        max_bytes: Its size is capped there.

    Raises:
        OutboxBrokenError: It cannot be opened for another reason than damage, or a newer aoii made it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _finish_recovery(path)
        recovery = None if _is_healthy(path) else _recover(path)
        connection = _connect(path)
        connection.text_factory = bytes  # a text that is no UTF-8 any more is for the checksum to find
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            _create(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_size_limit = 16777216")  # bytes that a burst may leave in the -wal file
        connection.execute(f"PRAGMA max_page_count = {max(max_bytes // PAGE_BYTES, 16)}")
    except (sqlite3.Error, OSError) as error:
        raise OutboxBrokenError(
            f"{path}: the outbox cannot be opened ({error}); check the folder, its rights and the disk"
        ) from error
    return connection, recovery


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)


def _connect_to_read(path: Path) -> sqlite3.Connection:
    if _beside(path, "-journal").exists():  # killed while the file was made: only a writer may undo that
        return _connect(path)
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5, isolation_level=None)


def _create(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # so that a full disk can be given back what was deleted
    connection.executescript(f"BEGIN;{SCHEMA}")
    connection.execute("INSERT INTO meta VALUES ('old_epoch', ?), ('total_tx', 0)", (drawn_epoch(),))
    connection.execute("COMMIT")


def _is_healthy(path: Path) -> bool:
    """Whether the file is there without damage, or not there at all.

    Raises:
        OutboxBrokenError: A newer aoii made it.
    """
    if not path.exists():
        return True
    with contextlib.closing(_connect_to_read(path)) as connection:
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise OutboxBrokenError(f"{path}: made by a newer aoii (version {version}); install that one again")
            if version == 0:
                return bool(connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0)
            checked: bool = connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
            return checked and connection.execute("SELECT count(*) FROM meta").fetchone()[0] == 2
        except sqlite3.DatabaseError as error:
            if is_damage(error):
                return False
            raise


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the error says that the file itself is wrong."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


# A recovery that is killed at any point is taken up again by the next start: as long as the damaged file is in its
# place the new one is not complete, and afterwards it is.


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _finish_recovery(path: Path) -> None:
    new = _beside(path, ".salvaged")
    if path.exists():
        for stale in (new, _beside(new, "-journal")):
            stale.unlink(missing_ok=True)
    elif new.exists():
        for suffix in ("-wal", "-shm"):  # of the damaged file: they must not be taken for the new one's
            _beside(path, suffix).unlink(missing_ok=True)
        new.rename(path)


def _recover(path: Path) -> Recovery:
    new, kept_as = _beside(path, ".salvaged"), _beside(path, f".corrupt-{time.time_ns()}")
    with contextlib.closing(_connect_to_read(path)) as damaged, contextlib.closing(_connect(new)) as target:
        _create(target)
        target.execute("BEGIN")
        recovery = _salvage(damaged, target, kept_as)
        target.execute("COMMIT")
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            _beside(path, suffix).rename(_beside(kept_as, suffix))
    new.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return recovery


def _salvage(damaged: sqlite3.Connection, target: sqlite3.Connection, kept_as: Path) -> Recovery:
    damaged.text_factory = bytes
    salvaged = corrupt = states_lost = 0
    found_ms = time.time_ns() // 1_000_000
    for row in _rows(damaged, "events", EVENT_COLUMNS):
        seq, node, epoch, counter, _, _, payload, _, _ = row
        values = sound_event(row)
        if values is None:
            target.execute(
                "INSERT INTO corrupt VALUES (NULL, ?, ?, ?, ?, ?, ?)", (seq, node, epoch, counter, payload, found_ms)
            )
            corrupt += 1
        elif target.execute("INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values).rowcount:
            salvaged += 1
    for row in _rows(damaged, "nodes", STATE_COLUMNS):
        named = sound_state(row)
        if named is None:
            states_lost += 1
        else:
            target.execute("INSERT OR REPLACE INTO nodes VALUES (?, ?, ?)", (*named, state_checksum(*named)))
    total_tx = _number(damaged, "SELECT value FROM meta WHERE name = 'total_tx'")
    target.execute("UPDATE meta SET value = max(value, ?) WHERE name = 'total_tx'", (total_tx or salvaged,))
    highest = _number(damaged, "SELECT seq FROM sqlite_sequence WHERE name = 'events'")
    target.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'events'", (highest or 0,))
    rows = _number(damaged, "SELECT count(*) FROM events INDEXED BY sqlite_autoindex_events_1")
    lost = max(0, rows - salvaged - corrupt) if rows is not None else 1
    return Recovery(kept_as, salvaged, corrupt, lost, rows is not None, states_lost)


def _rows(damaged: sqlite3.Connection, table: str, columns: str) -> Iterator[tuple[object, ...]]:
    """Every row that can be read, in order; around a bad page by halving the range. The first column is the rowid."""
    ranges = [(1, SEQ_LIMIT)]
    failures = 0
    while ranges and failures < FAILURE_LIMIT:
        low, high = ranges.pop()
        try:
            query = f"SELECT {columns} FROM {table} NOT INDEXED WHERE rowid BETWEEN ? AND ? ORDER BY rowid"  # noqa: S608 - constants
            for row in damaged.execute(query, (low, high)):
                yield row
                low = row[0] + 1
        except sqlite3.DatabaseError:
            failures += 1
            if low < high:
                middle = (low + high) // 2
                ranges += [(middle + 1, high), (low, middle)]


def _number(connection: sqlite3.Connection, query: str) -> int | None:
    with contextlib.suppress(sqlite3.DatabaseError):
        row = connection.execute(query).fetchone()
        if row is not None and isinstance(row[0], int):
            return row[0]
    return None
