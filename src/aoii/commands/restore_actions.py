"""Puts back what a backup has saved: checks everything first, and then puts one member after the other in its place.

A file comes to its place complete and on the disk, by a rename. What was there is renamed, never deleted. If it is
interrupted, the same command can be run again: what is in its place already is left alone.
"""

import contextlib
import fcntl
import os
import shutil
import socket
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from aoii import settings
from aoii.commands import backup_archive
from aoii.commands.backup_actions import megabytes
from aoii.commands.backup_archive import Archive, Counted, Manifest, Member
from aoii.commands.progress import Progress
from aoii.core.errors import InputError, UnavailableError
from aoii.gateway.drivers import kept_rows, restored_outbox
from aoii.runtime import sqlite_copy, sqlite_recovery
from aoii.runtime.advice import document
from aoii.runtime.sqlite_recovery import sibling
from aoii.security import private_file
from aoii.server import dump
from aoii.server.connection import open_pool
from aoii.settings import Database, Settings
from aoii.settings.faults import SettingsError

ANSWER_S = 1.0  # for which a status port on this machine is waited for
NEW, FRESH = ".restoring", ".restored"  # endings of files that are not complete, or not in their place yet

EMPTY = """\
begins empty, on purpose:
- sequence numbers and the name of the outbox: those of the old file may have been given since
- estimates, replay windows and link state of nodes: nodes have gone on since; they send a little more for a day
- kept readings, unless they are still there: the database has them
- the epoch of nodes with the old firmware: in the old one, numbers would be given twice"""
AFTERWARDS = """\
next: start the stations, and run `aoii audit --full` where the server runs: it asks gateways and nodes for what came
after the backup"""


@dataclass(frozen=True)
class Wish:
    """What is to be put back.

    Attributes:
        archive: The archive.
        to: The folder below which files go, for trial; None: to their places.
        dry_run: Only say what would be done.
        force: Also over what exists and differs.
        parts: The names of the parts that are put back.
    """

    archive: Path
    to: Path | None
    dry_run: bool
    force: bool
    parts: frozenset[str]


class Step(NamedTuple):
    """A member, and where it goes.

    Attributes:
        member: The member of the archive.
        target: The file.
        database: For a dump that goes into its database; None otherwise.
        is_done: Whether the file is there already, byte for byte.
    """

    member: Member
    target: Path
    database: Database | None
    is_done: bool

    @property
    def place(self) -> str:
        """Where it goes, for people."""
        at = self.database
        return str(self.target) if at is None else f"{at.name} at {at.host}:{at.port}"


def restore(env_file: Path | None, wish: Wish) -> int:
    """Check an archive, put back what is wished, say what begins empty, and return the exit code.

    Raises:
        InputError: The archive is damaged, or something is in the way; nothing was changed.
        UnavailableError: A station runs, and nothing was changed; or something cannot be written.
    """
    try:
        with Archive(wish.archive) as archive, Progress("MB checked and put back") as shown:
            counted = megabytes(shown)
            archive.check(counted)
            steps = _steps(archive.manifest, wish, env_file)
            running = [] if wish.to else list(_running(_ports(env_file, archive.manifest), steps))
            in_the_way = [] if wish.force else list(_in_the_way(steps))
            if wish.dry_run:
                return _describe(archive, steps, [*running, *in_the_way])
            if running:
                raise UnavailableError("; ".join(running), "stop the stations first: sudo systemctl stop aoii.target")
            if in_the_way:
                raise InputError("; ".join(in_the_way), "move it away, choose with --only, or say --force")
            said = [line for step in steps for line in _put(archive, step, counted)]
    except (OSError, sqlite3.Error) as error:
        raise UnavailableError(
            f"not everything was put back ({error})", "correct that, and run it again; as root for places of others"
        ) from error
    print("\n".join(said))
    if any(step.member.kind == "outbox" for step in steps):
        print(EMPTY)
    if wish.to is None:
        print(AFTERWARDS)
    return 0


def _steps(manifest: Manifest, wish: Wish, env_file: Path | None) -> list[Step]:
    members = [member for member in manifest.members if member.part in wish.parts]
    if not members:
        there = ", ".join(dict.fromkeys(member.part for member in manifest.members))
        raise InputError(f"{wish.archive} has nothing of {', '.join(sorted(wish.parts))}", f"it has: {there}")
    return [_step(member, manifest, wish, env_file) for member in members]


def _step(member: Member, manifest: Manifest, wish: Wish, env_file: Path | None) -> Step:
    if member.kind == "dump":
        name = Path(member.name).name
        if wish.to is not None:
            target = wish.to / name
            return Step(member, target, None, _is_there(member, target))
        return Step(member, Path(name), _database(env_file, manifest), is_done=False)
    place = Path(member.place)
    target = place if wish.to is None else wish.to / place.relative_to("/")
    return Step(member, target, None, _is_there(member, target))


def _is_there(member: Member, target: Path) -> bool:
    """Whether exactly this file is there; an outbox never is, because it is not put back as it was."""
    if member.kind == "outbox" or not target.is_file() or target.stat().st_size != member.bytes:
        return False
    return not sibling(target, "-wal").exists() and backup_archive.sha256(target) == member.sha256


def _settings(env_file: Path | None, manifest: Manifest) -> Settings | None:
    """The settings of the server on this machine, as given, as in `.env`, or where the backup found them."""
    files = [env_file] if env_file is not None else [None] if Path(settings.ENV_FILE).is_file() else []
    if not files and manifest.env_file is not None and Path(manifest.env_file).is_file():
        files = [Path(manifest.env_file)]
    if not files and not settings.BY_NAME.keys() & os.environ.keys():
        return None
    return settings.load(env_file=files[0] if files else None, station="server")


def _database(env_file: Path | None, manifest: Manifest) -> Database:
    values = _settings(env_file, manifest)
    if values is None:
        first = "put the settings back first with --without database"
        raise InputError("no settings say where the database is", f"name them with --env-file, or {first}")
    if values.database.host is None:
        raise InputError("the archive has a dump of MariaDB, and the settings say SQLite", "set MYSQL_HOST")
    dump.require_tools()
    return values.database


def _ports(env_file: Path | None, manifest: Manifest) -> dict[str, int]:
    """The status ports of the stations; none where settings are wrong, as before the keys that they name are back."""
    with contextlib.suppress(SettingsError):
        values = _settings(env_file, manifest)
        return {} if values is None else values.status_ports
    return {}


def _running(ports: dict[str, int], steps: list[Step]) -> Iterator[str]:
    """What shows that a station runs: its status port answers, or a file or the database is in use."""
    for station, port in ports.items():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), ANSWER_S):
            yield f"the {station} runs (port {port} answers)"
    for step in steps:
        if step.database is not None:
            with contextlib.closing(open_pool(step.database, create=False)) as pool:
                if others := dump.others_connected(pool):
                    yield f"database {pool.place}: {others} others are connected"
        elif step.member.kind == "outbox" and _is_locked(sibling(step.target, ".lock")):
            yield f"{step.target}: a gateway uses it"
        elif step.member.kind in ("sqlite", "outbox") and sqlite_copy.is_in_use(step.target):
            yield f"{step.target}: a station uses it"


def _is_locked(path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _in_the_way(steps: list[Step]) -> Iterator[str]:
    for step in steps:
        if step.database is not None:
            with contextlib.closing(open_pool(step.database, create=False)) as pool:
                if filled := dump.filled_tables(pool):
                    yield f"database {pool.place}: there are rows in {', '.join(filled)}"
        elif step.target.exists() and not step.is_done:
            yield f"{step.target} exists and differs"


def _describe(archive: Archive, steps: list[Step], obstacles: list[str]) -> int:
    """Print what would be done, and return 1 if it would be refused."""
    manifest = archive.manifest
    print(f"{archive.path}: of {manifest.machine}, {manifest.made_at}; every checksum is right")
    for step in steps:
        how = "is there already" if step.is_done else f"{step.member.bytes / 1e6:,.1f} MB"
        print(f"{step.member.part}: {step.place} ({how})")
    for obstacle in obstacles:
        print(f"would be refused: {obstacle}")
    return 1 if obstacles else 0


def _put(archive: Archive, step: Step, counted: Counted) -> Iterator[str]:
    """Put one member in its place, and say so."""
    member = step.member
    if step.is_done:
        yield f"{member.part}: {step.place} is there already"
        return
    if step.database is not None:
        dump.load(step.database, archive.chunks(member), counted)
        yield f"{member.part}: {step.place} is back"
        return
    target = step.target
    _make_folder(target.parent, member)
    new = target.with_name(f".{target.name}{NEW}")
    archive.extract(member, new)
    counted(member.bytes)
    if member.kind in ("sqlite", "outbox") and (wrong := sqlite_copy.problem(new)) is not None:
        new.unlink()
        raise InputError(f"{archive.path}: {member.name} is damaged ({wrong})", backup_archive.REMEDY)
    if target.exists() and member.kind in ("sqlite", "outbox"):
        _fold(target)
    how = "is back"
    if member.kind == "outbox":
        new, how = _new_outbox(new, target)
    new.chmod(member.mode)
    _give(new, member.owner)
    if target.exists():
        aside = _set_aside(target)
        yield f"{member.part}: what was there is now {aside}"
    new.rename(target)
    private_file.sync(target.parent)
    yield f"{member.part}: {target} {how}"


def _new_outbox(copy: Path, target: Path) -> tuple[Path, str]:
    """A new outbox made of the copy, and of the one that is there; and what is in it. The copy is deleted."""
    kept, fresh = target.with_name(kept_rows.FILE), target.with_name(f".{target.name}{FRESH}")
    for left in (fresh, sibling(fresh, "-journal")):
        left.unlink(missing_ok=True)
    sources = [copy, target] if target.exists() else [copy]
    made = restored_outbox.make(fresh, sources, kept if kept.exists() else None)
    copy.unlink()
    how = f"is new, with the {made.readings:,} readings that were not acknowledged"
    if made.acknowledged:
        how += f"; {made.acknowledged:,} were acknowledged since"
    if made.corrupt:
        how += f"; {made.corrupt:,} were damaged before the backup, and stay in the archive"
    return fresh, how


def _fold(path: Path) -> None:
    """Move what is in the write-ahead log into the file, so that the file is all; a damaged file stays as it is."""
    with contextlib.suppress(sqlite3.DatabaseError), contextlib.closing(sqlite_recovery.connect_as_owner(path)) as own:
        own.execute("PRAGMA journal_mode = DELETE")


def _set_aside(path: Path) -> Path:
    """Give a file another name beside it, with its write-ahead log if it has one."""
    aside = sibling(path, f".before-restore-{time.time_ns()}")
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            sibling(path, suffix).rename(sibling(aside, suffix))
    os.link(path, aside)  # until the rename that follows, the file is at both names, so that it is never missing
    return aside


def _make_folder(folder: Path, member: Member) -> None:
    """Make a missing folder as it was, and those above it for everybody to pass."""
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700)
    folder.chmod(member.folder_mode)
    _give(folder, member.folder_owner)


def _give(path: Path, owner: tuple[str, str] | None) -> None:
    """Give a file to its user and group; only root may."""
    if owner is None or os.geteuid() != 0:
        return
    try:
        shutil.chown(path, *owner)
    except LookupError as error:
        remedy = (
            f"make the user first, as in step 1 of {document('docs/howto/deploy-with-systemd.md')}, and run it again"
        )
        raise UnavailableError(f"{path}: there is no user {':'.join(owner)} on this machine", remedy) from error
