"""Puts back what a backup has saved: checks everything first, and then puts one member after the other in its place.

A file comes to its place complete and on the disk, by a rename. What was there is renamed, never deleted. If it is
interrupted, the same command can be run again: what is in its place already is left alone.
"""

import contextlib
import os
import pwd
import shutil
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from aoii.commands import backup_archive, restore_steps
from aoii.commands.backup_actions import megabytes
from aoii.commands.backup_archive import Archive, Counted, Member
from aoii.commands.progress import Progress
from aoii.commands.restore_steps import Step, Wish
from aoii.core.errors import InputError, UnavailableError
from aoii.gateway.drivers import kept_rows, restored_outbox
from aoii.runtime import sqlite_copy, sqlite_recovery
from aoii.runtime.advice import document
from aoii.runtime.sqlite_recovery import sibling
from aoii.security import private_file
from aoii.server import dump
from aoii.server.dead_letters import file as dead_letters

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


def restore(env_file: Path | None, wish: Wish) -> int:
    """Check an archive, put back what is wished, say what begins empty, and return the exit code.

    Raises:
        InputError: The archive is damaged, or something is in the way; nothing was changed.
        UnavailableError: A station runs, and nothing was changed; or something cannot be written.
    """
    said: list[str] = []
    try:
        with Archive(wish.archive) as archive, Progress("MB checked and put back") as shown:
            counted = megabytes(shown)
            archive.check(counted)
            manifest = archive.manifest
            steps = restore_steps.steps(manifest, wish, env_file)
            ports = {} if wish.to else restore_steps.status_ports(env_file, manifest)
            running = [] if wish.to else list(restore_steps.running(ports, steps))
            in_the_way = [] if wish.force else list(restore_steps.in_the_way(steps))
            if wish.dry_run:
                return _describe(archive, steps, [*running, *in_the_way])
            if running:
                raise UnavailableError("; ".join(running), "stop the stations first: sudo systemctl stop aoii.target")
            if in_the_way:
                raise InputError("; ".join(in_the_way), "move it away, choose with --only, or say --force")
            if manifest.machine != (here := socket.gethostname()):
                said.append(f"this was saved on {manifest.machine}, and is put back on {here}")
            for step in steps:
                said.extend(_put(archive, step, counted))
    except (OSError, sqlite3.Error) as error:
        raise UnavailableError(
            f"not everything was put back ({error})", "correct that, and run it again; as root for places of others"
        ) from error
    finally:
        for line in said:
            print(line)
    if any(step.member.kind == "outbox" for step in steps):
        print(EMPTY)
    if wish.to is None:
        print(AFTERWARDS)
    return 0


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
        try:
            dump.load(step.database, archive.chunks(member), counted)
        except UnavailableError as error:
            again = "correct that, and run it again with --force: a part of the tables may be there already"
            raise UnavailableError(error.problem, again) from error
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
    elif member.part == "dead-letters" and target.exists():
        new, how = _merged_letters(new, target)
    new.chmod(member.mode)
    yield from _give(new, target, member.owner)
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
        how += f"; {made.corrupt:,} were damaged, and are among the dead letters (`aoii dlq list`)"
    return fresh, how


def _merged_letters(copy: Path, target: Path) -> tuple[Path, str]:
    """Dead letters made of those that are there, and of the copy, which is deleted."""
    fresh = target.with_name(f".{target.name}{FRESH}")
    for left in (fresh, sibling(fresh, "-journal")):
        left.unlink(missing_ok=True)
    letters = dead_letters.merge(fresh, [target, copy])
    copy.unlink()
    return fresh, f"has {letters:,} dead letters now: those that were there, and those of the archive"


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
    list(_give(folder, folder, member.folder_owner))


def _give(path: Path, place: Path, owner: tuple[str, str] | None) -> Iterator[str]:
    """Give a file, which will be at a place, to its user and group; only root may, and else it is said."""
    if owner is None:
        return
    if os.geteuid() != 0:
        with contextlib.suppress(KeyError):  # of a user without a name
            if pwd.getpwuid(os.geteuid()).pw_name != owner[0]:
                yield f"{place} is yours now and was {':'.join(owner)}'s: only root may give it back"
        return
    try:
        shutil.chown(path, *owner)
    except LookupError as error:
        remedy = (
            f"make the user first, as in step 1 of {document('docs/howto/deploy-with-systemd.md')}, and run it again"
        )
        raise UnavailableError(f"{path}: there is no user {':'.join(owner)} on this machine", remedy) from error
