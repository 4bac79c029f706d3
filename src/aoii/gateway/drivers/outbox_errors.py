"""What can go wrong with the outbox file, and SQLite's errors in these terms."""

import sqlite3

from aoii.core.errors import UnavailableError
from aoii.runtime import sqlite_recovery


class OutboxFullError(UnavailableError):
    """There is no room for this reading, under the size limit or on the disk; nothing of it was stored."""


class OutboxBrokenError(UnavailableError):
    """The file cannot be opened, read or written, for another reason than lack of room."""


def is_full(error: Exception) -> bool:
    """Whether SQLite found no room, under the size limit or on the disk."""
    return isinstance(error, sqlite3.Error) and sqlite_recovery.is_full(error)


def translate(error: Exception) -> Exception:
    """SQLite's errors as ours; any other error unchanged."""
    if not isinstance(error, sqlite3.Error):
        return error
    if is_full(error):
        return OutboxFullError("the outbox is full; see why the server does not acknowledge, or raise OUTBOX_MAX_MB")
    return OutboxBrokenError(f"the outbox cannot be used ({error}); check the disk")
