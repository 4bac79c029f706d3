"""What has a copy of what a lost disk takes: the node keys, the readings in outbox and database, and the backup.

A disk that dies is no fault that can be found beforehand; a copy that is not there can be.
"""

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

from aoii.commands import doctor_backup
from aoii.commands.doctor_durability import guarded, here, not_lasting, on_disks
from aoii.commands.doctor_installation import Installation
from aoii.commands.findings import Finding
from aoii.core.errors import AoiiError
from aoii.edge.drivers.board_flash import RING_SLOTS
from aoii.gateway.drivers import kept_rows, outbox_view
from aoii.runtime import disks
from aoii.security import node_keys
from aoii.security.node_keys import NodeKey
from aoii.server import durability
from aoii.server.connection import open_pool
from aoii.settings import Settings

SUBJECT = "copies"
NAMED_NODES = 5  # a finding names no more nodes than this


def examine(installation: Installation) -> Iterator[Finding]:
    """What is found on this machine; in a station's container, what concerns that station."""
    gateway, server = here(installation, "gateway"), here(installation, "server")
    if gateway is not None:
        yield from guarded(SUBJECT, _node_keys(gateway))
        yield from guarded(SUBJECT, _kept(gateway))
    if server is not None:
        yield from guarded(SUBJECT, _one_disk(server, _outbox_beside(installation, gateway)))
        yield from guarded(SUBJECT, doctor_backup.examine(server))


def _outbox_beside(installation: Installation, gateway: Settings | None) -> Path | None:
    """The outbox of this machine; the server's container sees it where both share their folder."""
    if gateway is not None:
        return gateway.gateway.outbox_path
    own = installation.settings.get("gateway") if installation.own is not None else None
    return own.gateway.outbox_path if own is not None and own.gateway.outbox_path.exists() else None


def _one_disk(values: Settings, outbox: Path | None) -> Iterator[Finding]:
    """A note if one disk that dies takes both the outbox and the database."""
    if outbox is None:
        return
    with closing(open_pool(values.database, create=False)) as pool:
        shared = durability.shares_disk(pool, outbox)
    if shared is False:
        yield Finding(SUBJECT, "outbox: not on the database's disk: each has what the other loses")
        return
    how = "on one disk with the database" if shared else "perhaps on one disk with the database (it cannot be seen)"
    rings = f"the last {RING_SLOTS} readings that each node holds"
    folder = values.database.backup_dir
    if folder is None or not folder.is_dir():
        left = f"only {rings} are left"
    else:
        left = {
            False: f"only the backup and {rings} are left",
            True: f"only {rings} are left, because the backup (BACKUP_DIR) is on it, too",
            None: f"only {rings} are left, and the backup if it is on another disk",
        }[disks.are_on_one_disk(folder, outbox)]
    yield Finding(SUBJECT, f"outbox: {how}: if that dies, {left}", is_checked=False)


# --- kept readings ----------------------------------------------------------------------------------------------------


def _kept(values: Settings) -> Iterator[Finding]:
    """Whether this gateway can complete a database that comes back from its backup."""
    own, base = values.gateway, values.database
    if own.keep_mb == 0:
        state = "kept readings: none (KEEP_MB=0): what a restored database lacks, this gateway cannot give back"
        yield Finding(SUBJECT, state, is_checked=False)
        return
    if not own.outbox_path.with_name(kept_rows.FILE).exists():
        return  # no gateway has run here since there is one
    try:
        span = outbox_view.kept_span(own.outbox_path)
    except sqlite3.Error as error:
        state = f"kept readings: {own.outbox_path.with_name(kept_rows.FILE)} cannot be read ({error})"
        yield Finding(SUBJECT, state, "run this as the user that runs the gateway; see the gateway's log")
        return
    if not span.has_forgotten:
        yield Finding(SUBJECT, "kept readings: all that the database has acknowledged; none has had to make room")
        return
    reach_h = 0.0 if span.oldest_ms is None else max(0.0, time.time() - span.oldest_ms / 1000) / 3600
    newest = doctor_backup.newest(base)
    age_h = 0.0 if newest is None else newest.age_h
    state = f"kept readings: they go back {reach_h:.0f} h"
    if reach_h >= max(age_h, base.backup_interval_h):  # the backup ages until the next one is made
        yield Finding(SUBJECT, state)
        return
    due = f"a backup gets {base.backup_interval_h} h old (BACKUP_INTERVAL_H)"
    backup = f"the newest backup is {age_h:.0f} h old" if age_h > reach_h else due
    state += f", and {backup}: a database restored from it would lack what lies between"
    yield Finding(SUBJECT, state, f"raise KEEP_MB, which is {own.keep_mb}, or make backups more often")


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
        remedy = "copy it to another disk, and name that, or NODE_KEYS_COPY=elsewhere"
        return Finding(SUBJECT, f"node keys: the copy {copy} is on the same disk: both die together", remedy)
    well = Finding(SUBJECT, f"node keys: {copy} has all of them{on_disks(copy)}")
    return not_lasting(SUBJECT, "node keys", copy, "NODE_KEYS_COPY") or well


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
