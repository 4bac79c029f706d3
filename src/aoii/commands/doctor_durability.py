"""Whether an acknowledgement means disk: which hop may forget what it has acknowledged, and what then has a copy.

A reading waits in the outbox until the database has committed it, so outbox, database and dead letters must be on a
disk that keeps what it is told to keep. Nothing here can find a disk that lies about its own cache; for that, and for
disks that die, there are copies: of the node keys, and the backup. `weaknesses` only decides; `examine` asks.
"""

import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from aoii.commands.doctor_installation import Installation
from aoii.commands.findings import Finding
from aoii.core.errors import AoiiError
from aoii.gateway.drivers import outbox_recovery
from aoii.runtime import disks, health_limits
from aoii.security import node_keys
from aoii.security.node_keys import NodeKey
from aoii.server import durability
from aoii.server.database_errors import DatabaseAway
from aoii.server.dead_letters import file as dead_letters
from aoii.server.durability import DurabilityFacts
from aoii.settings import Settings

FULL = 2  # SQLite's number of `synchronous = FULL`; EXTRA, 3, does more
MODES = ("OFF", "NORMAL", "FULL", "EXTRA")
TRIAL_BYTES = 1 << 20
NAMED_NODES = 5  # a finding names no more nodes than this

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
    gateway, server = _here(installation, "gateway"), _here(installation, "server")
    if gateway is not None:
        yield from _guarded("outbox", _outbox(gateway))
        yield _broker(gateway)
        yield from _guarded("node keys", _node_keys(gateway))
    if server is not None:
        yield from _guarded("dead letters", _dead_letters(server))
        yield from _guarded("database", _database(server))
        yield from _guarded("outbox", _one_disk(server, _outbox_beside(installation, gateway)))
        yield from _guarded("backup", _backup(server))


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


def _here(installation: Installation, station: str) -> Settings | None:
    """The settings of a station that belongs here; in a container only its own station does."""
    if installation.own is not None and installation.own.station != station:
        return None
    groups = installation.groups((station,), lambda _: None)
    return groups[0].values if groups else None


def _outbox_beside(installation: Installation, gateway: Settings | None) -> Path | None:
    """The outbox of this machine; the server's container sees it where both share their folder."""
    if gateway is not None:
        return gateway.gateway.outbox_path
    own = installation.settings.get("gateway") if installation.own is not None else None
    return own.gateway.outbox_path if own is not None and own.gateway.outbox_path.exists() else None


def _guarded(subject: str, findings: Iterator[Finding]) -> Iterator[Finding]:
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


def _file(subject: str, path: Path, opened: Callable[[Path], sqlite3.Connection]) -> Iterator[Finding]:
    """Whether a file of ours is written to the disk before anybody is told so.

    The file itself may be in use, so another one is made beside it as its station makes it, asked, and removed.
    """
    with (
        suppress(PermissionError),  # of which the check of the disk has a finding
        tempfile.TemporaryDirectory(dir=disks.existing(path.parent), prefix=".aoii-doctor-") as folder,
        closing(opened(Path(folder) / path.name)) as connection,
    ):
        yield _synced(subject, path, int(connection.execute("PRAGMA synchronous").fetchone()[0]))


def _synced(subject: str, path: Path, synchronous: int) -> Finding:
    """How SQLite syncs a file, and what the file is on."""
    if synchronous < FULL:
        state = f"{path}: SQLite runs with synchronous={MODES[synchronous]}: a power cut loses what was acknowledged"
        return Finding(subject, state, "report this as a mistake of aoii: it sets FULL")
    return _kept(subject, path, "AOII_DATA_DIR") or Finding(
        subject, f"written to disk before it is acknowledged (synchronous={MODES[synchronous]}{_on(path)})"
    )


def _kept(subject: str, path: Path, setting: str) -> Finding | None:
    """A finding if the file would not outlive a power cut or a restart; `setting` names it."""
    found, risk = disks.file_system(path), disks.risk(path)
    if found is None or risk is None:
        return None
    effect, remedy = RISKS[risk]
    return Finding(subject, f"{path} is on {found.kind}, {effect}", remedy.format(setting=setting))


def _on(path: Path) -> str:
    """The file system and the disks, as far as they are known."""
    found, names = disks.file_system(path), sorted(disks.disks(path))
    if found is None:
        return ""
    return f", {found.kind} on {', '.join(names)}" if names else f", {found.kind}"


# --- broker, database, backup -----------------------------------------------------------------------------------------


def _broker(values: Settings) -> Finding:
    if values.gateway.outbox_keep_until == "published":
        state = (
            "may lose what it has taken: with OUTBOX_KEEP_UNTIL=published nobody else keeps a reading, and Mosquitto "
            "writes it to disk only now and then (persistence, autosave_interval)"
        )
        return Finding("broker", state, is_checked=False)
    return Finding("broker", "need not remember: the outbox keeps each reading until the server acknowledges it")


def _database(values: Settings) -> Iterator[Finding]:
    base = values.database
    if base.host is None and not base.sqlite_path.exists():
        return  # the server makes it; what its folder is on is said of the dead letters
    facts = durability.durability_facts(base)
    if facts.synchronous is not None:
        yield _synced("database", base.sqlite_path, facts.synchronous)
        return
    found = [Finding("database", weak.state, weak.remedy) for weak in weaknesses(facts)]
    if facts.files is not None and (bad := _kept("database", facts.files, "its datadir")):
        found.append(bad)
    yield from found
    if not found:
        flush = facts.variables.get("innodb_flush_log_at_trx_commit", "unknown")
        state = f"a commit is on its disk before it is acknowledged (innodb_flush_log_at_trx_commit={flush})"
        yield Finding("database", state)


def _one_disk(values: Settings, outbox: Path | None) -> Iterator[Finding]:
    """A note if one disk, or one machine, that dies takes both the outbox and the database."""
    if outbox is None:
        return
    base = values.database
    is_here, files = True, base.sqlite_path if base.host is None else None
    if base.host is not None:
        facts = durability.durability_facts(base)
        is_here, files = facts.is_here, facts.files
    if not is_here:
        yield Finding("outbox", "on another machine than the database: each has what the other loses")
        return
    shared = None if files is None else disks.are_on_one_disk(files, outbox)
    if shared is False:
        yield Finding("outbox", "on another disk than the database, in the same machine")
        return
    how = "on one disk with the database" if shared else "on one machine with the database, perhaps on one disk"
    left = "the newest readings that the nodes still hold"
    if base.backup_dir is not None:
        left = f"the backup and {left}"
    yield Finding("outbox", f"{how}: if that dies, what is left is {left}", is_checked=False)


def _backup(values: Settings) -> Iterator[Finding]:
    base = values.database
    folder = base.backup_dir
    if folder is None:
        state = (
            "none is known (BACKUP_DIR): a database that is lost gets back only what the gateways have kept and the "
            "nodes still hold"
        )
        yield Finding("backup", state, is_checked=False)
        return
    if not folder.is_dir():
        yield Finding("backup", f"{folder} is not a folder", "mount it, make it, or correct BACKUP_DIR")
        return
    newest = _newest(folder)
    if newest is None:
        yield Finding("backup", f"{folder} has no file, or only empty ones", "make a backup, and see why there is none")
        return
    age_h = max(0.0, time.time() - newest.stat().st_mtime) / 3600
    state = f"the newest, {newest.relative_to(folder)}, is {age_h:.0f} h old"
    if age_h > base.backup_interval_h * health_limits.BACKUP_LATE_FACTOR:
        remedy = "see why none was made since then, or correct BACKUP_DIR or BACKUP_INTERVAL_H"
        yield Finding("backup", f"{state}, and one is due every {base.backup_interval_h} h", remedy)
    elif bad := _kept("backup", newest, "BACKUP_DIR"):
        yield bad
    elif base.host is None and disks.are_on_one_disk(base.sqlite_path, folder):
        yield Finding("backup", f"{state}, on the database's own disk: keep a copy on another one", is_checked=False)
    else:
        yield Finding("backup", state)


def _newest(folder: Path) -> Path | None:
    """The newest file with content in a folder or in a folder of it; an empty one is a dump that failed.

    Raises:
        OSError: A folder cannot be read.
    """
    names = [Path(entry) for entry in os.scandir(folder)]
    inner = [Path(entry) for name in names if name.is_dir() for entry in os.scandir(name)]
    files = [name for name in (*names, *inner) if name.is_file() and name.stat().st_size > 0]
    return max(files, key=lambda name: name.stat().st_mtime, default=None)


# --- node keys --------------------------------------------------------------------------------------------------------


def _node_keys(values: Settings) -> Iterator[Finding]:
    path, copy = values.gateway.node_keys_file, values.gateway.node_keys_copy
    if not path.exists():
        return
    try:
        keys = node_keys.read_key_file(path)
    except AoiiError:
        return  # the check of the file has a finding
    if not keys:
        return
    if copy == "elsewhere":
        yield Finding("node keys", "NODE_KEYS_COPY=elsewhere: you vouch for a copy that is not compared here")
    elif copy is None:
        state = "no copy is known (NODE_KEYS_COPY): if this disk dies, every node must be given a new key by hand"
        yield Finding("node keys", state, is_checked=False)
    else:
        yield _compared(path, keys, Path(copy))


def _compared(path: Path, keys: Mapping[int, NodeKey], copy: Path) -> Finding:
    """Whether the copy has every key, on another disk; no key is said."""
    again = f"copy it: install -m 600 {path} {copy}"
    if not copy.exists():
        return Finding("node keys", f"the copy {copy} does not exist", f"mount its disk, or {again}")
    try:
        theirs = node_keys.read_key_file(copy)
    except AoiiError as error:
        remedy = f"{error.remedy}; a disk without modes, such as FAT, needs the mount option umask=077"
        return Finding("node keys", f"the copy {error.problem}", remedy)
    if missing := [node for node in sorted(keys) if not _keys_of(keys[node]) <= _keys_of(theirs.get(node))]:
        return Finding("node keys", f"the copy {copy} lacks keys of node {_named(missing)}", again)
    if disks.are_on_one_disk(path, copy):
        state = f"the copy {copy} is on the same disk: both die together"
        return Finding("node keys", state, "copy it to another disk, and name that, or NODE_KEYS_COPY=elsewhere")
    return _kept("node keys", copy, "NODE_KEYS_COPY") or Finding("node keys", f"{copy} has all of them{_on(copy)}")


def _keys_of(key: NodeKey | None) -> set[tuple[int, bytes]]:
    """The epochs and keys that the gateway accepts, or will, for a node; during a rotation there are two."""
    found: set[tuple[int, bytes]] = set()
    while key is not None:
        found.add((key.epoch, key.key))
        key = key.previous
    return found


def _named(nodes: list[int]) -> str:
    more = f" and {len(nodes) - NAMED_NODES} more" if len(nodes) > NAMED_NODES else ""
    return ", ".join(map(str, nodes[:NAMED_NODES])) + more
