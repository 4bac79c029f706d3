"""Counts what lies in the database, the dead letters and the outbox against what the recorder knows.

It reads the files and tables themselves, with the drivers' own libraries and none of the stations' code: a fault in
how a station reads its own files must not hide what is in them.
"""

import contextlib
import json
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql

from faults import old_node
from faults.recorder import Content, Key, Recorder

PAGE_ROWS = 20_000
COUNT_LIMIT = 1_000  # waiting readings beyond which nobody needs to know how many
ROWS = "SELECT id, node, epoch, counter, actual_temp, actual_humidity FROM readings WHERE id > %s ORDER BY id LIMIT %s"


@dataclass(frozen=True)
class Count:
    """The account of everything so far; differences between two of them belong to a trial.

    Attributes:
        accepted: Readings that the radio was told are safe.
        stored: Identities in the database.
        dead_letters: Identities in the dead letters, of the server and of a damaged outbox.
        missing: Accepted and in neither.
        duplicates: Rows beyond the first of one identity, and readings that are both a row and a dead letter.
        spurious: Rows and dead letters that nobody sent.
        corrupt: Rows and dead letters with another content than was sent under their identity.
    """

    accepted: int
    stored: int
    dead_letters: int
    missing: int
    duplicates: int
    spurious: int
    corrupt: int


class Audit:
    """The account of one stack; to be used by one thread.

    Args:
        recorder: What was sent and told.
        port: Of the database itself, past every proxy.
        schema: Where the table is.
        letters: The server's file of dead letters.
        outboxes: The gateway's files.
    """

    def __init__(self, recorder: Recorder, port: int, schema: str, letters: Path, outboxes: list[Path]) -> None:
        self._recorder = recorder
        self._port = port
        self._schema = schema
        self._letters = letters
        self.outboxes = outboxes
        self._connection: pymysql.Connection[pymysql.cursors.Cursor] | None = None
        self._unseen: set[Key] = set()  # accepted, and not yet seen as a row
        self._written_off: set[Key] = set()
        self._nameless_before = 0
        self._seen, self._seen_s = (0, 0), time.monotonic()
        self._forget()

    def _forget(self) -> None:
        self._last_id = 0
        self._rows: dict[Key, Content] = {}
        self._repeated = self._spurious = self._corrupt = 0

    def close(self) -> None:
        """Close the connection to the database."""
        if self._connection is not None:
            with contextlib.suppress(pymysql.err.Error):
                self._connection.close()
        self._connection = None

    def has(self, key: Key) -> bool:
        """Whether the reading is a row."""
        return key in self._rows or bool(
            self._query(
                "SELECT 1 FROM readings WHERE node = %s AND epoch = %s AND counter = %s",
                key,
            )
        )

    def unfinished(self, lost: int = 0) -> str:
        """Why the stack is not drained yet, empty when it is; as many as `lost` readings are known to be gone."""
        self._read_rows()
        some_events = f"SELECT count(*) FROM (SELECT 1 FROM events LIMIT {COUNT_LIMIT})"  # noqa: S608 - a constant
        held = sum(_number(path, some_events) for path in self.outboxes)
        if (held, self._last_id) != self._seen or held:
            self._seen, self._seen_s = (held, self._last_id), time.monotonic()
        if held >= COUNT_LIMIT:  # to compare a million identities at each look would hold up load and proxy
            return f"{COUNT_LIMIT} readings or more wait in the outbox"
        if len(nowhere := self._nowhere()) > lost + self.nameless:
            some = ", ".join(map(str, sorted(nowhere)[:3]))
            return f"{len(nowhere)} accepted readings are neither rows nor dead letters, such as {some}"
        if held:
            return f"{held} readings wait in the outbox"
        if held := _number(self._letters, "SELECT count(*) FROM letters WHERE reason = 'database_away'"):
            return f"{held} dead letters wait to be replayed"
        return ""

    @property
    def nameless(self) -> int:
        """Readings that a damaged outbox lists without anything that tells whose they were, since `write_off`."""
        return max(0, self._damaged_readings()[1] - self._nameless_before)  # damage may take the list's own rows too

    @property
    def still_s(self) -> float:
        """For how many seconds the outbox has been empty and no row has come, as far as `unfinished` has looked."""
        return time.monotonic() - self._seen_s

    def malformed(self) -> int:
        """Number of payloads without identity in the server's dead letters."""
        return _number(self._letters, "SELECT count(*) FROM letters WHERE reason = 'malformed'")

    def write_off(self) -> None:
        """What is missing now has been counted, and is not counted again."""
        nowhere = self._nowhere()
        self._written_off |= nowhere
        self._unseen -= nowhere
        self._nameless_before = self._damaged_readings()[1]

    def count(self) -> Count:
        """Count everything; reads the whole table again when a row has come from behind, or has gone."""
        self._read_rows()
        if self._query("SELECT COUNT(*) FROM readings")[0][0] != len(self._rows) + self._repeated:
            self._forget()
            self._read_rows()
            self._unseen = self._recorder.all_accepted() - self._written_off
        letters, (damaged, _) = self._letters_of_the_server(), self._damaged_readings()
        doubled = sum(content is not None and self._rows.get(key) == content for key, content in letters)
        contents = [(content, self._recorder.contents(key)) for key, content in letters]
        return Count(
            accepted=self._recorder.accepted,
            stored=len(self._rows),
            dead_letters=len({key for key, _ in letters} | damaged),
            missing=len(self._nowhere()),
            duplicates=self._repeated + doubled,
            spurious=self._spurious + sum(not sent for _, sent in contents),
            corrupt=self._corrupt + sum(bool(content and sent) and content not in sent for content, sent in contents),
        )

    def _nowhere(self) -> set[Key]:
        """Accepted, and neither a row nor a dead letter."""
        self._unseen.update(self._recorder.new_accepted())
        self._unseen = {key for key in self._unseen if key not in self._rows}
        if not self._unseen:
            return set()
        return self._unseen - {key for key, _ in self._letters_of_the_server()} - self._damaged_readings()[0]

    def _read_rows(self) -> None:
        while rows := self._query(ROWS, (self._last_id, PAGE_ROWS)):
            for row_id, node, epoch, counter, temperature, humidity in rows:
                content = Content(round(temperature * 100), round(humidity * 100))
                key = _key(node, epoch, counter, content)
                contents = self._recorder.contents(key)
                self._repeated += key in self._rows
                self._spurious += not contents
                self._corrupt += bool(contents) and content not in contents
                self._rows[key] = content
                self._last_id = row_id

    def _letters_of_the_server(self) -> list[tuple[Key, Content | None]]:
        """Every dead letter that has an identity, and what it says; None: nobody can tell."""
        query = "SELECT node, epoch, counter, payload, reason FROM letters WHERE node IS NOT NULL"
        letters: list[tuple[Key, Content | None]] = []
        for node, epoch, counter, payload, reason in select_rows(self._letters, query):
            content = None if reason in ("malformed", "corrupt") else _content(payload)
            letters.append((_key(node, epoch, counter, content), content))
        return letters

    def _damaged_readings(self) -> tuple[set[Key], int]:
        """Readings that a damaged outbox gave up on and lists, by row or payload, and how many more nobody can name."""
        named: set[Key] = set()
        nameless = 0
        for path in self.outboxes:
            for node, epoch, counter, payload in select_rows(path, "SELECT node, epoch, counter, payload FROM corrupt"):
                row = Key(node.decode(errors="replace") if isinstance(node, bytes) else str(node), epoch, counter)
                sent = {key for key in (row, _named_by(payload)) if key is not None and self._recorder.contents(key)}
                named |= sent
                nameless += not sent
        return named, nameless

    def _query(self, text: str, values: tuple[object, ...] = ()) -> tuple[tuple[Any, ...], ...]:
        for attempt in range(2):
            try:
                if self._connection is None:
                    self._connection = pymysql.connect(
                        host="127.0.0.1", port=self._port, user="root", database=self._schema, autocommit=True,
                        connect_timeout=10, read_timeout=60,
                    )  # fmt: skip
                with self._connection.cursor() as cursor:
                    cursor.execute(text, values)
                    return cursor.fetchall()
            except pymysql.err.Error:
                self.close()
                if attempt:
                    raise
        raise AssertionError("the second attempt returns or raises")


def _key(node: str, epoch: int, counter: int, content: Content | None) -> Key:
    """Who said it; an old node's identity is the gateway's invention, and the recorder knows it by what it said."""
    is_old = content is not None and "/" in str(node)
    return old_node.key_of(content) if content is not None and is_old else Key(node, epoch, counter)


def _content(payload: bytes) -> Content:
    fields = json.loads(payload)
    return Content(round(fields["actual_t"] * 100), round(fields["actual_h"] * 100))


def _named_by(payload: object) -> Key | None:
    """Whose reading a payload is that may be damaged."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        fields = json.loads(payload)  # type: ignore[arg-type] # whatever it is, it is refused
        return Key(fields["node"], fields["epoch"], fields["counter"])
    return None


def select_rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    """Rows of a station's SQLite file, which is only looked at; none when the file or the table does not exist."""
    if not path.exists():
        return []
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as connection:
        try:
            return connection.execute(query).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return []
            raise


def _number(path: Path, query: str) -> int:
    return int(sum(row[0] for row in select_rows(path, query)))
