"""What has a copy of what a lost disk takes: the node keys, the readings in outbox and database, and the backup.

A disk that dies is no fault that can be found beforehand; a copy that is not there can be.
"""

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from aoii.commands.doctor_durability import guarded, here, not_lasting, on_disks
from aoii.commands.doctor_installation import Installation
from aoii.commands.findings import Finding
from aoii.core.errors import AoiiError
from aoii.runtime import disks, health_limits
from aoii.security import node_keys
from aoii.security.node_keys import NodeKey
from aoii.server import durability
from aoii.settings import Settings

SUBJECT = "copies"
NAMED_NODES = 5  # a finding names no more nodes than this


def examine(installation: Installation) -> Iterator[Finding]:
    """What is found on this machine; in a station's container, what concerns that station."""
    gateway, server = here(installation, "gateway"), here(installation, "server")
    if gateway is not None:
        yield from guarded(SUBJECT, _node_keys(gateway))
    if server is not None:
        yield from guarded(SUBJECT, _one_disk(server, _outbox_beside(installation, gateway)))
        yield from guarded(SUBJECT, _backup(server))


def _outbox_beside(installation: Installation, gateway: Settings | None) -> Path | None:
    """The outbox of this machine; the server's container sees it where both share their folder."""
    if gateway is not None:
        return gateway.gateway.outbox_path
    own = installation.settings.get("gateway") if installation.own is not None else None
    return own.gateway.outbox_path if own is not None and own.gateway.outbox_path.exists() else None


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
        yield Finding(SUBJECT, "outbox: on another machine than the database: each has what the other loses")
        return
    shared = None if files is None else disks.are_on_one_disk(files, outbox)
    if shared is False:
        yield Finding(SUBJECT, "outbox: on another disk than the database, in the same machine")
        return
    how = "on one disk with the database" if shared else "on one machine with the database, perhaps on one disk"
    left = "the newest readings that the nodes still hold"
    if base.backup_dir is not None:
        left = f"the backup and {left}"
    yield Finding(SUBJECT, f"outbox: {how}: if that dies, what is left is {left}", is_checked=False)


def _backup(values: Settings) -> Iterator[Finding]:
    base = values.database
    folder = base.backup_dir
    if folder is None:
        state = (
            "none is known (BACKUP_DIR): a database that is lost gets back only what the gateways have kept and the "
            "nodes still hold"
        )
        yield Finding(SUBJECT, f"backup: {state}", is_checked=False)
        return
    if not folder.is_dir():
        yield Finding(SUBJECT, f"backup: {folder} is not a folder", "mount it, make it, or correct BACKUP_DIR")
        return
    newest = _newest(folder)
    if newest is None:
        yield Finding(
            SUBJECT, f"backup: {folder} has no file, or only empty ones", "make a backup, and see why there is none"
        )
        return
    age_h = max(0.0, time.time() - newest.stat().st_mtime) / 3600
    state = f"the newest, {newest.relative_to(folder)}, is {age_h:.0f} h old"
    if age_h > base.backup_interval_h * health_limits.BACKUP_LATE_FACTOR:
        remedy = "see why none was made since then, or correct BACKUP_DIR or BACKUP_INTERVAL_H"
        yield Finding(SUBJECT, f"backup: {state}, and one is due every {base.backup_interval_h} h", remedy)
    elif bad := not_lasting(SUBJECT, "backup", newest, "BACKUP_DIR"):
        yield bad
    elif base.host is None and disks.are_on_one_disk(base.sqlite_path, folder):
        yield Finding(
            SUBJECT, f"backup: {state}, on the database's own disk: keep a copy on another one", is_checked=False
        )
    else:
        yield Finding(SUBJECT, f"backup: {state}")


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
        yield Finding(SUBJECT, "node keys: NODE_KEYS_COPY=elsewhere: you vouch for a copy that is not compared here")
    elif copy is None:
        state = "no copy is known (NODE_KEYS_COPY): if this disk dies, every node must be given a new key by hand"
        yield Finding(SUBJECT, f"node keys: {state}", is_checked=False)
    else:
        yield _compared(path, keys, Path(copy))


def _compared(path: Path, keys: Mapping[int, NodeKey], copy: Path) -> Finding:
    """Whether the copy has every key, on another disk; no key is said."""
    again = f"copy it: install -m 600 {path} {copy}"
    if not copy.exists():
        return Finding(SUBJECT, f"node keys: the copy {copy} does not exist", f"mount its disk, or {again}")
    try:
        theirs = node_keys.read_key_file(copy)
    except AoiiError as error:
        remedy = f"{error.remedy}; a disk without modes, such as FAT, needs the mount option umask=077"
        return Finding(SUBJECT, f"node keys: the copy {error.problem}", remedy)
    if missing := [node for node in sorted(keys) if not _keys_of(keys[node]) <= _keys_of(theirs.get(node))]:
        return Finding(SUBJECT, f"node keys: the copy {copy} lacks keys of node {_named(missing)}", again)
    if disks.are_on_one_disk(path, copy):
        state = f"the copy {copy} is on the same disk: both die together"
        return Finding(
            SUBJECT, f"node keys: {state}", "copy it to another disk, and name that, or NODE_KEYS_COPY=elsewhere"
        )
    return not_lasting(SUBJECT, "node keys", copy, "NODE_KEYS_COPY") or Finding(
        SUBJECT, f"node keys: {copy} has all of them{on_disks(copy)}"
    )


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
