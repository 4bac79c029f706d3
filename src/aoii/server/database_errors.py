"""What an error of the database means: the database is away for now, or a row will never fit.

SQLite has result codes, MySQL and MariaDB have error numbers. An unknown code means "away", because the server
replays such rows by itself: a bad row waits among the dead letters for a person, and no row must do that just because
an operator renamed a table.
"""

import sqlite3
from typing import Literal

from aoii.core.errors import ProtocolError, UnavailableError

AwayReason = Literal["conflict", "unreachable", "refused", "full", "read_only", "schema", "damaged", "other"]


class DatabaseAway(UnavailableError):  # noqa: N818 - a state, named like one
    """The database cannot be used now. The transaction was rolled back, or it is unknown whether it was committed.

    Attributes:
        reason: `conflict` (a lock or a deadlock: retry at once), `unreachable`, `refused` (login, too many connections,
            shutting down), `full`, `read_only`, `schema` (a table or column is missing), `damaged` (the file is not a
            sound database) or `other`.
        code: The number of MySQL's or SQLite's error; 0 without one.
    """

    def __init__(self, reason: AwayReason, problem: str, remedy: str = "", code: int = 0) -> None:
        super().__init__(problem, remedy)
        self.reason = reason
        self.code = code


class BadRow(ProtocolError):  # noqa: N818 - the name of its reason
    """At least one row of the batch can never be stored; none of the batch was."""

    def __init__(self, detail: str) -> None:
        super().__init__("bad_row", detail)


def translated(cause: BaseException, dialect: str, place: str) -> DatabaseAway | BadRow:
    """Our error for a driver's error.

    Args:
        cause: The driver's error; its message, which contains no password, is quoted.
        dialect: `sqlite` or `mysql`.
        place: Which database, for the message.
    """
    code = _code(cause)
    if isinstance(cause, OverflowError) or code in _DATA_CODES[dialect]:
        return BadRow(str(cause))
    reason = _AWAY_CODES[dialect].get(code, "other")
    if isinstance(cause, UnicodeError):
        reason = "unreachable"  # the host, such as `db..example`, is not a valid name; all text of rows is printable
    if dialect == "sqlite" and "no such" in str(cause):
        reason = "schema"  # SQLite has no code of its own for "no such table" or "no such column"
    remedy = _SQLITE_REMEDY.get(reason) if dialect == "sqlite" else _MYSQL_REMEDY.get(code)
    return DatabaseAway(reason, f"database {place}: {cause}", remedy or _REMEDY[reason], code)


_SQLITE_REMEDY: dict[AwayReason, str] = {
    "unreachable": "start `aoii server`, which makes the file, correct AOII_DATA_DIR, or set MYSQL_HOST",
    "refused": "give this user access to the file and its folder",
    "schema": "start `aoii server`, which brings the tables up to date",
    "other": "see the message, and the disk and the rights of the file",  # SQLite has no log
}
_MYSQL_REMEDY = {
    1044: "give the user rights in this database, make it if there is none, or correct MYSQL_DATABASE",
    1045: "correct MYSQL_USER and MYSQL_PASSWORD, or make this user for the machine that connects",
    1049: "make the database (CREATE DATABASE), or correct MYSQL_DATABASE",
    **dict.fromkeys(  # the login was right, and a station need not have the right to change tables
        (1142, 1143),
        "to create tables or bring them up to date, run `aoii migrate` as a user who may; else check the user's rights",
    ),
}
_REMEDY: dict[AwayReason, str] = {
    "conflict": "try again; another writer held a lock",
    "unreachable": "check that it runs, and MYSQL_HOST and MYSQL_PORT",
    "refused": "check MYSQL_USER, MYSQL_PASSWORD, MYSQL_DATABASE and the user's rights",
    "full": "make room on its disk",
    "read_only": "make it writable",
    "schema": "start `aoii server`, which brings the tables up to date; if its user may not, run `aoii migrate` as one "
    "who may",
    "damaged": "stop the stations that use the file and move it away: `aoii server` makes a new one, and stores the "
    "readings that wait; `sqlite3 OLD .recover | sqlite3 NEW` saves what can still be read of the old one",
    "other": "see the database's own log",
}

# Codes of MySQL's and MariaDB's errors, and SQLite's primary result codes.
_AWAY_CODES: dict[str, dict[int, AwayReason]] = {
    "mysql": {
        # 1205 rolls back one statement only; we roll back the transaction.
        **dict.fromkeys((1205, 1213), "conflict"),
        **dict.fromkeys((0, 2002, 2003, 2006, 2013, 2014, 2055, 4031), "unreachable"),
        **dict.fromkeys((1040, 1044, 1045, 1049, 1053, 1142, 1143, 1203, 1226, 1698, 3118), "refused"),
        **dict.fromkeys((1021, 1041, 1114), "full"),
        **dict.fromkeys((1036, 1290, 1792, 1836), "read_only"),
        **dict.fromkeys((1054, 1136, 1146, 1364), "schema"),
    },
    "sqlite": {
        **dict.fromkeys((sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED), "conflict"),
        **dict.fromkeys((sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR), "unreachable"),
        **dict.fromkeys((sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH), "refused"),
        sqlite3.SQLITE_FULL: "full",
        sqlite3.SQLITE_READONLY: "read_only",
        **dict.fromkeys((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB), "damaged"),
    },
}
# Only errors about the values of one row: with any other error the same row may fit tomorrow.
_DATA_CODES = {
    "mysql": frozenset({1048, 1264, 1265, 1292, 1366, 1406, 1452, 1644, 1690, 3819, 4025}),
    "sqlite": frozenset({sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG}),
}


def _code(error: BaseException) -> int:
    """The number of an error; -1 if it has none."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", -1) & 0xFF  # the low byte of an extended code is the primary one
    number = error.args[0] if error.args else -1
    return number if isinstance(number, int) else -1
