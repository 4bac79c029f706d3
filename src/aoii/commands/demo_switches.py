"""Breaks and mends parts of a running demo, as the switches on its page say."""

import contextlib
import sqlite3
from pathlib import Path

from aoii.commands.demo_processes import ProcessGroup
from aoii.runtime import switches
from aoii.runtime.switches import Switch, Switches

WORDS: dict[Switch, str] = {
    "broker": "the broker was stopped",
    "database": "the database took no rows",
    "receiver": "the receiver was unplugged",
    "node": "node 1 was without power",
    "clock": "the gateway's clock was an hour ahead",
}
LOCK_WAIT_S = 0.5  # for a writer to finish; then it is tried again at the next step


class Switchboard:
    """The switches of one demo.

    Args:
        file: The file that the page writes.
        group: The processes.
        database: The SQLite file; None: the database is a server of the user's, and is left alone.
    """

    def __init__(self, file: Path, group: ProcessGroup, database: Path | None) -> None:
        self._file = file
        self._group = group
        self._database = database
        self._lock: sqlite3.Connection | None = None
        self._done: frozenset[Switch] = frozenset()
        absent = {"database"} if database is None else set()
        absent |= set() if group.has_own_broker else {"broker"}
        self._present = frozenset(name for name in switches.SWITCHES if name not in absent)
        switches.write(file, Switches(self._present))

    def step(self) -> None:
        """Do what the switches say now."""
        self._go_to(switches.read(self._file).broken)

    def mend(self) -> None:
        """Mend everything; the page's switches have no effect any more."""
        switches.write(self._file, Switches())
        self._go_to(frozenset())

    def _go_to(self, broken: frozenset[Switch]) -> None:
        for name in sorted(broken ^ self._done):
            if self._turn(name, name in broken):
                self._done ^= {name}
                if name in broken:
                    self._group.notes.append(f"{WORDS[name]} for a while, by its switch")

    def _turn(self, name: Switch, is_broken: bool) -> bool:
        """Break or mend one part; return whether that is done."""
        match name:
            case "broker":
                self._group.hold_broker(is_broken)
            case "clock":
                self._group.restart_gateway(is_broken)
            case "database":
                return self._lock_database() if is_broken else self._unlock_database()
        return True  # receiver and node belong to the simulated nodes, which read the switches themselves

    def _lock_database(self) -> bool:
        """Keep every writer out by a transaction of our own; readers, such as the page, go on."""
        assert self._database is not None  # noqa: S101 - otherwise there is no such switch
        connection = sqlite3.connect(self._database, timeout=LOCK_WAIT_S, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            connection.close()
            return False
        self._lock = connection
        return True

    def _unlock_database(self) -> bool:
        if self._lock is not None:
            with contextlib.suppress(sqlite3.Error):
                self._lock.rollback()
            self._lock.close()
            self._lock = None
        return True
