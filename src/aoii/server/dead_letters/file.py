"""The file of dead letters: its table, the upgrade of older files, and the recovery of a damaged one.

In a recovery (`sqlite_recovery`), letters that pass their checksum move into a new file. Letters that can be read but
fail their checksum get the reason `corrupt` there, for a person. Letters that cannot be read are counted. The damaged
file stays beside the new one.
"""

import contextlib
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from aoii.broker.messages import DeliveryStatus
from aoii.core.errors import UnavailableError
from aoii.runtime import sqlite_recovery
from aoii.runtime.sqlite_recovery import Recovery, Schema
from aoii.security import private_file

REASONS: tuple[DeliveryStatus, ...] = ("database_away", "bad_row", "mismatch", "malformed", "corrupt")

VERSION = 1  # version 0 had no checksums, and could give the number of a removed letter to another one
PAGE_BYTES = 4096
CORRUPT = "read from a damaged file; fails its checksum"

SCHEMA = """
CREATE TABLE letters (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    node TEXT,
    epoch INTEGER,
    counter INTEGER,
    digest TEXT,
    payload BLOB NOT NULL,
    first_unix_ms INTEGER NOT NULL,
    last_unix_ms INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    UNIQUE (node, epoch, counter, digest)
) STRICT;
CREATE INDEX letters_reason ON letters (reason, id);
"""
OLD_COLUMNS = "id, reason, detail, node, epoch, counter, digest, payload, first_unix_ms, last_unix_ms, attempts"
COLUMNS = f"{OLD_COLUMNS}, checksum"
INSERT = f"INSERT OR IGNORE INTO letters ({COLUMNS}) VALUES ({', '.join('?' * 12)})"  # noqa: S608 - constants


def letter_checksum(
    node: str | None, epoch: int | None, counter: int | None, digest: str | None, payload: bytes, first_unix_ms: int
) -> int:
    """CRC-32 over everything in a letter that never changes."""
    return zlib.crc32(payload, zlib.crc32(f"{node}|{epoch}|{counter}|{digest}|{first_unix_ms}|".encode()))


def open_file(path: Path, max_pages: int, is_damaged: bool = False) -> tuple[sqlite3.Connection, Recovery | None]:
    """Open the file for the server, make it if it is missing, or replace it if it is damaged.

    Args:
        path: The file; its folder is made.
        max_pages: Cap of its size, in pages of PAGE_BYTES.
        is_damaged: Whether its use has shown damage; a check may not find that.

    Returns:
        The connection, and what became of a damaged file.

    Raises:
        UnavailableError: The file cannot be opened, and the reason is not damage; or a newer aoii made it.
    """
    try:
        connection, recovery = sqlite_recovery.open_or_recover(
            path, Schema(VERSION, SCHEMA), lambda found: check_version(path, found) <= VERSION, _salvage, is_damaged
        )
        if sqlite_recovery.user_version(connection) == 0:
            _create(connection)
        # FULL: what is added has to survive a power cut
        connection.executescript(
            f"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA max_page_count = {max_pages}"
        )
    except (sqlite3.Error, OSError) as error:
        raise UnavailableError(
            f"dead letters {path}: the file cannot be opened ({error}); check the folder, its rights and the disk"
        ) from error
    return connection, recovery


def merge(target: Path, sources: Iterable[Path]) -> int:
    """Make a file with the letters of others, each once, and have it on the disk; the first of two stays.

    Numbers stay, unless another letter has them. Of a file that is damaged it takes what can be read.

    Args:
        target: The new file, which must not exist.
        sources: Files of dead letters that nobody uses.

    Returns:
        How many letters are in it.

    Raises:
        UnavailableError: A file cannot be read or written, and the reason is not damage; or a newer aoii made it.
    """
    files = list(sources)
    seen: set[tuple[object, ...]] = set()
    try:
        private_file.create(target).close()
        with contextlib.closing(sqlite_recovery.connect_as_owner(target)) as connection:
            _create(connection)
            connection.execute("BEGIN")
            highest = max(map(_highest, files), default=0)
            connection.execute("INSERT INTO sqlite_sequence VALUES ('letters', ?)", (highest,))
            for key, letter in (one for file in files for one in _letters(file)):
                if key not in seen:
                    seen.add(key)
                    if not connection.execute(INSERT, letter).rowcount:
                        connection.execute(INSERT, (None, *letter[1:]))
            connection.execute("COMMIT")
            return int(connection.execute("SELECT count(*) FROM letters").fetchone()[0])
    except (sqlite3.Error, OSError) as error:
        raise UnavailableError(
            f"dead letters {target}: cannot be made of older ones ({error}); check the disk"
        ) from error


def _highest(path: Path) -> int:
    with contextlib.closing(sqlite_recovery.connect_read_only(path)) as older:
        return sqlite_recovery.last_rowid(older, "letters")


def _letters(path: Path) -> Iterator[tuple[tuple[object, ...], tuple[object, ...]]]:
    """The values of INSERT for every letter that can be read, each behind what tells it from any other."""
    with contextlib.closing(sqlite_recovery.connect_read_only(path)) as older:
        older.text_factory = bytes
        try:
            older.execute("PRAGMA writable_schema = ON")  # otherwise nothing of a truncated file can be read
            check_version(path, older)
        except sqlite3.Error as error:
            if not sqlite_recovery.is_damage(error):
                raise
        columns = COLUMNS if _has_checksums(older) else f"{OLD_COLUMNS}, NULL"
        for row in sqlite_recovery.readable_rows(older, "letters", columns):
            letter = _sound(row)
            yield (row[3:9], letter) if letter is not None else (row, _corrupt(row))


def check_version(path: Path, connection: sqlite3.Connection) -> int:
    """The version of the file.

    Raises:
        UnavailableError: A newer aoii made it.
    """
    version = sqlite_recovery.user_version(connection)
    if version > VERSION:
        raise UnavailableError(f"dead letters {path}: made by a newer aoii (version {version}); install that one again")
    return version


def _create(connection: sqlite3.Connection) -> None:
    """Make the table, and move the letters of an older file into it; those have no checksum to verify."""
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.execute("BEGIN IMMEDIATE")
    is_older = connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'letters'").fetchone()[0]
    if is_older:
        connection.execute("DROP INDEX IF EXISTS letters_reason")
        connection.execute("ALTER TABLE letters RENAME TO old_letters")
    for statement in SCHEMA.split(";")[:-1]:
        connection.execute(statement)
    if is_older:
        old = connection.execute(f"SELECT {OLD_COLUMNS} FROM old_letters ORDER BY id")  # noqa: S608 - constants
        connection.executemany(INSERT, (_with_checksum(row) for row in old))
        connection.execute("DROP TABLE old_letters")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def _with_checksum(row: tuple[Any, ...]) -> tuple[object, ...]:
    """The values of INSERT for a row of an older file."""
    _id, _reason, _detail, *content, _last_unix_ms, _attempts = row
    return *row, letter_checksum(*content)


def _salvage(damaged: sqlite3.Connection, target: sqlite3.Connection, kept_as: Path) -> Recovery:
    """Copy what can be read of a damaged file, which is kept as `kept_as`, into a new one."""
    _create(target)
    target.execute("BEGIN")
    salvaged = corrupt = 0
    columns = COLUMNS if _has_checksums(damaged) else f"{OLD_COLUMNS}, NULL"
    for row in sqlite_recovery.readable_rows(damaged, "letters", columns):
        letter = _sound(row)
        if letter is None:
            target.execute(INSERT, _corrupt(row))
            corrupt += 1
        else:
            salvaged += target.execute(INSERT, letter).rowcount
    highest = sqlite_recovery.last_rowid(damaged, "letters")
    target.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'letters'", (highest,))
    held = sqlite_recovery.read_number(damaged, "SELECT count(*) FROM letters INDEXED BY sqlite_autoindex_letters_1")
    target.execute("COMMIT")
    lost = max(0, held - salvaged - corrupt) if held is not None else 1  # as `Recovery` says: at least one
    return Recovery(kept_as, salvaged, corrupt, lost, held is not None)


def _has_checksums(damaged: sqlite3.Connection) -> bool:
    """Whether the file is not of version 0; if its version cannot be read, the newest is assumed."""
    with contextlib.suppress(*sqlite_recovery.UNREADABLE):
        return sqlite_recovery.user_version(damaged) > 0
    return True


def _sound(row: tuple[object, ...]) -> tuple[object, ...] | None:
    """The values of INSERT for a row (its text as bytes); None if the row fails its checksum."""
    match row:
        case (
            int() as id_, bytes() as reason, bytes() as detail, bytes() | None as node, int() | None as epoch,
            int() | None as counter, bytes() | None as digest, bytes() as payload, int() as first_unix_ms,
            int() as last_unix_ms, int() as attempts, int() | None as checksum,
        ):  # fmt: skip
            who = _text(node), epoch, counter, _text(digest)
            expected = letter_checksum(*who, payload, first_unix_ms)
            if _text(reason) in REASONS and checksum in (None, expected):
                return (
                    id_, _text(reason), _text(detail), *who, payload, first_unix_ms, last_unix_ms, attempts, expected,
                )  # fmt: skip
    return None


def _corrupt(row: tuple[object, ...]) -> tuple[object, ...]:
    """The values of INSERT for a letter that shows what could be read of a row; its digest is unknown."""
    now_ms = time.time_ns() // 1_000_000
    id_, _, _, node, epoch, counter, _, payload, *_ = row
    who = (
        _text(node) if isinstance(node, bytes) else None,
        epoch if isinstance(epoch, int) else None,
        counter if isinstance(counter, int) else None,
        None,
    )
    content = payload if isinstance(payload, bytes) else b""
    return (id_, "corrupt", CORRUPT, *who, content, now_ms, now_ms, 1, letter_checksum(*who, content, now_ms))


def _text(encoded: bytes | None) -> str | None:
    return None if encoded is None else encoded.decode(errors="replace")
