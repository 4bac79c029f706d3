"""Quarantine: the readings of an outbox that failed their checksum and could not be salvaged (its table `corrupt`).

A person can read these rows and delete them, also while the gateway runs. A row never goes back to the outbox, because
its original content is unknown.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from aoii.core.errors import UnavailableError
from aoii.runtime import sqlite_recovery

PAGE_ROWS = 1000  # rows read at a time; the gateway can write in between


@dataclass(frozen=True)
class QuarantinedRow:
    """A row that failed its checksum, field by field as it was read.

    A field of the wrong type is None; such a payload is empty. `found_ms` is when the gateway found the damage, Unix
    milliseconds.
    """

    id: int
    node: str | None
    epoch: int | None
    counter: int | None
    payload: bytes
    found_ms: int


class Quarantine:
    """The table `corrupt` of an outbox that a gateway owns.

    Args:
        path: The outbox; it must exist.
        writes: Whether rows will be deleted.

    Raises:
        UnavailableError: The file does not exist, cannot be read or written, or is damaged.
    """

    def __init__(self, path: Path, writes: bool = False) -> None:
        self._path = path
        with self._translated():
            self._connection = sqlite_recovery.connect_as_guest(path, writes)
            self._connection.text_factory = bytes

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def rows(self) -> Iterator[QuarantinedRow]:
        """Every row, in the order of `id`."""
        last_id = 0
        while page := self._read("WHERE id > ? ORDER BY id LIMIT ?", last_id, PAGE_ROWS):
            yield from page
            last_id = page[-1].id

    def row(self, id_: int) -> QuarantinedRow | None:
        """The row with this number; None when there is none."""
        return next(iter(self._read("WHERE id = ?", id_)), None)

    def drop(self, rows: Iterable[QuarantinedRow]) -> list[QuarantinedRow]:
        """Delete rows that a person has seen; return those that were still there.

        Raises:
            UnavailableError: The file cannot be written; nothing was deleted.
        """
        delete = "DELETE FROM corrupt WHERE id = ? AND found_ms = ?"
        with self._translated(), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            return [row for row in rows if self._connection.execute(delete, (row.id, row.found_ms)).rowcount]

    def _read(self, condition: str, *values: int) -> list[QuarantinedRow]:
        query = f"SELECT id, node, epoch, counter, payload, found_ms FROM corrupt {condition}"  # noqa: S608 - constants
        with self._translated():
            found = self._connection.execute(query, values).fetchall()
        return [
            QuarantinedRow(
                id_,
                node.decode(errors="replace") if isinstance(node, bytes) else None,
                epoch if isinstance(epoch, int) else None,
                counter if isinstance(counter, int) else None,
                payload if isinstance(payload, bytes) else b"",
                found_ms,
            )
            for id_, node, epoch, counter, payload, found_ms in found
        ]

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            remedy = (
                "the file is damaged; the gateway salvages what it can at its next start"
                if sqlite_recovery.is_damage(error)
                else "run this command as the gateway's user, who may read and write the file"
            )
            raise UnavailableError(f"outbox {self._path}: {error}", remedy) from error
