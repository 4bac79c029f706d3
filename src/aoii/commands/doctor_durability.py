"""Whether an acknowledgement means disk: which hop may forget what it has acknowledged, and what then has a copy.

A reading waits in the outbox until the database has committed it, so outbox, database and dead letters must be on a
disk that keeps what it is told to keep. Nothing here can find a disk that lies about its own cache; for that, and for
disks that die, there are copies (`doctor_copies.py`). `weaknesses` only decides; `examine` asks.
"""

import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from aoii.commands.doctor_installation import Installation
from aoii.commands.findings import Finding
from aoii.core.errors import AoiiError
from aoii.gateway.drivers import outbox_recovery
from aoii.runtime import disks
from aoii.server import durability
from aoii.server.database_errors import DatabaseAway
from aoii.server.dead_letters import file as dead_letters
from aoii.server.durability import DurabilityFacts
from aoii.settings import Settings

SUBJECT = "durability"
FULL = 2  # SQLite's number of `synchronous = FULL`; EXTRA, 3, does more
MODES = ("OFF", "NORMAL", "FULL", "EXTRA")
TRIAL_BYTES = 1 << 20

RISKS: Mapping[disks.Risk, tuple[str, str]] = {
    "memory": ("which is in memory: a restart forgets it", "{setting}: name a folder on a disk"),
    "layer": (
        "which is the container's own: it goes with the container",
        "{setting}: mount a folder of the machine, or a volume, there",
    ),
    "cache": (
        "which is mounted without barriers: a power cut may undo what was written",
        "remove nobarrier, barrier=0 or volatile from its mount options, as in /etc/fstab",
    ),
}
"""What each risk does, and what to do about it; `setting` is the one that names the file."""


class Weakness(NamedTuple):
    """A setting of MySQL or MariaDB with which a commit may be lost, and what to write instead."""

    state: str
    remedy: str


def examine(installation: Installation) -> Iterator[Finding]:
    """What is found on this machine; in a station's container, what concerns that station."""
    gateway, server = here(installation, "gateway"), here(installation, "server")
    if gateway is not None:
        yield from guarded(SUBJECT, _outbox(gateway))
        yield _broker(gateway)
    if server is not None:
        yield from guarded(SUBJECT, _dead_letters(server))
        yield from guarded(SUBJECT, _database(server))


def weaknesses(facts: DurabilityFacts) -> Iterator[Weakness]:
    """What in the settings of a MySQL or MariaDB lets it lose what it has committed."""
    given = {name: value.lower() for name, value in facts.variables.items()}
    flush = given.get("innodb_flush_log_at_trx_commit", "1")
    if flush not in ("1", "3"):  # MariaDB's 3 syncs twice for each commit
        when = "the machine or the server stops" if flush == "0" else "the machine stops"
        state = f"innodb_flush_log_at_trx_commit is {flush}: the last second of commits is lost when {when} suddenly"
        yield Weakness(state, _write("innodb_flush_log_at_trx_commit = 1"))
    if given.get("log_bin") in ("on", "1") and given.get("sync_binlog", "1") != "1":
        # With a binary log, InnoDB syncs no commit of its own: it is recovered from that log, or rolled back.
        state = f"sync_binlog is {given['sync_binlog']} and the binary log is on: a power cut may lose commits"
        yield Weakness(state, _write("sync_binlog = 1") + "; or turn the log off with skip-log-bin")
    if given.get("innodb_doublewrite") in ("off", "0", "detect_only"):
        state = f"innodb_doublewrite is {given['innodb_doublewrite']}: a power cut may leave torn pages of the table"
        yield Weakness(state, _write("innodb_doublewrite = ON"))
    if (method := given.get("innodb_flush_method")) in ("nosync", "littlesync"):
        state = f"innodb_flush_method is {method}: it does not make the disk write what it commits"
        yield Weakness(state, _write("innodb_flush_method = fsync"))
    if facts.engine is not None and facts.engine.lower() != "innodb":
        state = f"the table readings has the engine {facts.engine}, which does not sync a commit"
        yield Weakness(state, "run ALTER TABLE readings ENGINE=InnoDB as a user who may change tables")


def _write(line: str) -> str:
    return f"write {line} below [mysqld] of its configuration, and restart it"


def here(installation: Installation, station: str) -> Settings | None:
    """The settings of a station that belongs here; in a container only its own station does."""
    if installation.own is not None and installation.own.station != station:
        return None
    groups = installation.groups((station,), lambda _: None)
    return groups[0].values if groups else None


def guarded(subject: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """The findings; an error becomes one, too, but for what has been found already: the database is away."""
    try:
        yield from findings
    except DatabaseAway:
        return
    except AoiiError as error:
        yield Finding(subject, error.problem, error.remedy or "see the message")
    except OSError as error:
        state = f"{error.filename or subject}: {error.strerror or error}"
        yield Finding(subject, state, "run this as the user that runs the stations")


# --- our files --------------------------------------------------------------------------------------------------------


def _outbox(values: Settings) -> Iterator[Finding]:
    def opened(path: Path) -> sqlite3.Connection:
        return outbox_recovery.open_file(path, TRIAL_BYTES)[0]

    yield from _file("outbox", values.gateway.outbox_path, opened)


def _dead_letters(values: Settings) -> Iterator[Finding]:
    def opened(path: Path) -> sqlite3.Connection:
        return dead_letters.open_file(path, TRIAL_BYTES // dead_letters.PAGE_BYTES)[0]

    yield from _file("dead letters", values.server.dead_letter_path, opened)


def _file(what: str, path: Path, opened: Callable[[Path], sqlite3.Connection]) -> Iterator[Finding]:
    """Whether a file of ours is written to the disk before anybody is told so.

    The file itself may be in use, so another one is made beside it as its station makes it, asked, and removed.
    """
    with (
        suppress(PermissionError),  # of which the check of the disk has a finding
        tempfile.TemporaryDirectory(dir=disks.existing(path.parent), prefix=".aoii-doctor-") as folder,
        closing(opened(Path(folder) / path.name)) as connection,
    ):
        yield _synced(what, path, int(connection.execute("PRAGMA synchronous").fetchone()[0]))


def _synced(what: str, path: Path, synchronous: int) -> Finding:
    """How SQLite syncs a file, and what the file is on."""
    if synchronous < FULL:
        state = f"{what}: SQLite syncs {path} with {MODES[synchronous]}: a power cut loses what was acknowledged"
        return Finding(SUBJECT, state, "report this as a mistake of aoii: it sets FULL")
    well = f"{what}: written to disk before it is acknowledged (synchronous={MODES[synchronous]}{on_disks(path)})"
    return not_lasting(SUBJECT, what, path, "AOII_DATA_DIR") or Finding(SUBJECT, well)


def not_lasting(subject: str, what: str, path: Path, setting: str) -> Finding | None:
    """A finding if the file would not outlive a power cut or a restart; `setting` names it."""
    found, risk = disks.file_system(path), disks.risk(path)
    if found is None or risk is None:
        return None
    effect, remedy = RISKS[risk]
    return Finding(subject, f"{what}: {path} is on {found.kind}, {effect}", remedy.format(setting=setting))


def on_disks(path: Path) -> str:
    """The file system and the disks, as far as they are known."""
    found, names = disks.file_system(path), sorted(disks.disks(path))
    if found is None:
        return ""
    return f", {found.kind} on {', '.join(names)}" if names else f", {found.kind}"


# --- broker, database, backup -----------------------------------------------------------------------------------------


def _broker(values: Settings) -> Finding:
    if values.gateway.outbox_keep_until == "published":
        state = (
            "broker: may lose what it has taken: with OUTBOX_KEEP_UNTIL=published nobody else keeps a reading, and "
            "Mosquitto writes it to disk only now and then (persistence, autosave_interval)"
        )
        return Finding(SUBJECT, state, is_checked=False)
    state = "broker: need not remember (Mosquitto's persistence): the outbox keeps each reading until the server has it"
    return Finding(SUBJECT, state)


def _database(values: Settings) -> Iterator[Finding]:
    base = values.database
    if base.host is None and not base.sqlite_path.exists():
        return  # the server makes it; what its folder is on is said of the dead letters
    facts = durability.durability_facts(base)
    if facts.synchronous is not None:
        yield _synced("database", base.sqlite_path, facts.synchronous)
        return
    found = [Finding(SUBJECT, f"database: {weak.state}", weak.remedy) for weak in weaknesses(facts)]
    if facts.files is not None and (bad := not_lasting(SUBJECT, "database", facts.files, "its datadir")):
        found.append(bad)
    yield from found
    if not found:
        flush = facts.variables.get("innodb_flush_log_at_trx_commit", "unknown")
        state = f"database: a commit is on disk before it is acknowledged (innodb_flush_log_at_trx_commit={flush})"
        yield Finding(SUBJECT, state)
