"""The newest backup of the database in BACKUP_DIR: how old it is, by what its manifest says, and whether it helps.

An archive without the database is none. Of what another program has put there it is only known when that was.
"""

import os
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from aoii.commands.backup_archive import Archive
from aoii.commands.doctor_durability import not_lasting
from aoii.commands.findings import Finding
from aoii.core.errors import InputError
from aoii.runtime import health_limits
from aoii.server import durability
from aoii.server.connection import open_pool
from aoii.server.database_errors import DatabaseAway
from aoii.settings import Database, Settings

SUBJECT = "copies"
UNKNOWN_CONTENT = "not made by aoii backup, so nobody knows here what is in it"


class Backup(NamedTuple):
    """A backup.

    Attributes:
        path: The file.
        age_h: How old it is, hours.
        is_ours: Whether its manifest was read, and lists the database.
    """

    path: Path
    age_h: float
    is_ours: bool


class _Folder(NamedTuple):
    """What a folder has: backups with the database, archives without it, archives that cannot be read, other files."""

    whole: list[Backup]
    partial: list[Path]
    unreadable: list[InputError]
    others: list[Backup]


def newest(base: Database) -> Backup | None:
    """The newest backup of the database, as far as it can be seen from here."""
    with suppress(OSError):
        if base.backup_dir is not None:
            found = _look(base.backup_dir)
            return min(found.whole or found.others, key=lambda one: one.age_h, default=None)
    return None


def examine(values: Settings) -> Iterator[Finding]:
    """What is found of the backup.

    Raises:
        OSError: A folder cannot be read.
    """
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
    found = _look(folder)
    for error in found.unreadable:
        remedy = "remove it if it is damaged, or run this as a user who may read it"
        yield Finding(SUBJECT, f"backup: {error.problem}", remedy)
    best = min(found.whole or found.others, key=lambda one: one.age_h, default=None)
    if best is None:
        state = f"{folder} has no file, or only empty ones"
        if found.partial or found.unreadable:
            state = f"{folder} has no archive with the database that can be read"
        yield Finding(SUBJECT, f"backup: {state}", "make a backup, and see why there is none")
        return
    yield _judged(base, folder, best)


def _judged(base: Database, folder: Path, best: Backup) -> Finding:
    state = f"backup: the newest, {best.path.relative_to(folder)}, is {best.age_h:.0f} h old"
    if best.age_h > base.backup_interval_h * health_limits.BACKUP_LATE_FACTOR:
        remedy = "see why none was made since then, or correct BACKUP_DIR or BACKUP_INTERVAL_H"
        return Finding(SUBJECT, f"{state}, and one is due every {base.backup_interval_h} h", remedy)
    if bad := not_lasting(SUBJECT, "backup", best.path, "BACKUP_DIR"):
        return bad
    if _is_beside_database(base, folder):
        return Finding(SUBJECT, f"{state}, on the database's own disk: keep a copy on another one", is_checked=False)
    if not best.is_ours:
        return Finding(SUBJECT, f"{state}, and {UNKNOWN_CONTENT}", is_checked=False)
    return Finding(SUBJECT, state)


def _is_beside_database(base: Database, folder: Path) -> bool:
    with closing(open_pool(base, create=False)) as pool, suppress(DatabaseAway):  # of which a check has a finding
        return durability.shares_disk(pool, folder) is True
    return False


def _look(folder: Path) -> _Folder:
    """Every file with content in a folder or in a folder of it; an empty one is a dump that failed.

    What begins with a dot does not count: `aoii backup` puts parts and archives together under such names.
    """
    names = [Path(entry) for entry in os.scandir(folder) if not entry.name.startswith(".")]
    inner = [Path(entry) for name in names if name.is_dir() for entry in os.scandir(name)]
    found = _Folder([], [], [], [])
    for path in (*names, *inner):
        if not path.is_file() or path.stat().st_size == 0:
            continue
        if not (path.name.startswith("aoii-") and path.suffix == ".tar"):
            found.others.append(Backup(path, _age_h(path.stat().st_mtime), is_ours=False))
            continue
        try:
            with Archive(path) as archive:
                made_s = datetime.fromisoformat(archive.manifest.made_at).timestamp()
                has_database = any(member.part == "database" for member in archive.manifest.members)
        except InputError as error:
            found.unreadable.append(error)
            continue
        if has_database:
            found.whole.append(Backup(path, _age_h(made_s), is_ours=True))
        else:
            found.partial.append(path)
    return found


def _age_h(at_s: float) -> float:
    return max(0.0, time.time() - at_s) / 3600
