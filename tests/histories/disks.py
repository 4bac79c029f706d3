"""Disks of machines: SQLite files that a crash takes back to their last commit, and that can be copied and lost.

A file is a database in memory, which stays when its process ends. A crash rolls back what was not committed, which is
what SQLite makes of a file that was torn in a transaction: its own recovery is not tried here, but by the fault
campaign. A file whose `synchronous` is below FULL has not been synced, so a crash takes it back to when it was opened.
"""

import sqlite3
from pathlib import Path
from typing import Any

FULL = 2


class DiskFile(sqlite3.Connection):
    """A file: closing it changes nothing on the disk."""

    def close(self) -> None:
        self.rollback()


def new_file() -> DiskFile:
    return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False, factory=DiskFile)


def read_whole(file: sqlite3.Connection) -> bytes:
    """The content of a file; empty if nothing was ever written."""
    return file.serialize() if file.execute("PRAGMA page_count").fetchone()[0] else b""


def write_whole(file: sqlite3.Connection, content: bytes) -> None:
    file.rollback()
    file.deserialize(content)


class Disk:
    """The files of one machine, by name."""

    def __init__(self) -> None:
        self._files: dict[str, DiskFile] = {}
        self._opened: dict[str, bytes] = {}

    def open(self, path: Path) -> DiskFile:
        file = self._files.setdefault(path.name, new_file())
        file.text_factory = str
        self._opened[path.name] = read_whole(file)
        return file

    def open_for_reading(self, name: str, query: str) -> list[tuple[Any, ...]]:
        """Rows as whoever looks from outside sees them; none of a file or table that is not there."""
        file = self._files.get(name)
        if file is None or not file.execute("PRAGMA page_count").fetchone()[0]:
            return []
        return file.execute(query).fetchall()

    def crash(self) -> None:
        """The power goes, or the process is killed: what was not committed and synced is gone."""
        for name, file in list(self._files.items()):
            file.rollback()
            if file.execute("PRAGMA synchronous").fetchone()[0] < FULL:
                self._put(name, self._opened[name])

    def copy(self) -> dict[str, bytes]:
        """A backup."""
        return {name: read_whole(file) for name, file in self._files.items()}

    def put_back(self, copy: dict[str, bytes]) -> None:
        for name, content in copy.items():
            self._put(name, content)

    def lose(self) -> None:
        """The disk is lost; an empty one takes its place."""
        self._files.clear()

    def _put(self, name: str, content: bytes) -> None:
        if content:
            write_whole(self._files[name], content)
        else:
            self._files[name] = new_file()
