"""What a restore would do: where each member of an archive goes, and what is in the way. Changes nothing."""

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from aoii import settings
from aoii.commands import backup_archive
from aoii.commands.backup_archive import Manifest, Member
from aoii.core.errors import InputError
from aoii.runtime import sqlite_copy
from aoii.runtime.sqlite_recovery import sibling
from aoii.server import dump
from aoii.server.connection import open_pool
from aoii.settings import Database, Settings
from aoii.settings.faults import SettingsError

ANSWER_S = 1.0  # for which a status port on this machine is waited for


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


def steps(manifest: Manifest, wish: Wish, env_file: Path | None) -> list[Step]:
    """What is to be done, in this order.

    An outbox comes last: what is there already cannot be told from one that differs, so a restore that has ended
    before can be run again.

    Raises:
        InputError: The archive has nothing of what is wished, or it is not known where it goes.
    """
    members = [member for member in manifest.members if member.part in wish.parts]
    if not members:
        there = ", ".join(dict.fromkeys(member.part for member in manifest.members))
        raise InputError(f"{wish.archive} has nothing of {', '.join(sorted(wish.parts))}", f"it has: {there}")
    members.sort(key=lambda member: member.kind == "outbox")
    return [_step(member, manifest, wish, env_file) for member in members]


def _step(member: Member, manifest: Manifest, wish: Wish, env_file: Path | None) -> Step:
    if member.kind == "dump":
        name = Path(member.name).name
        if wish.to is not None:
            target = wish.to / name
            return Step(member, target, None, _is_there(member, target))
        return Step(member, Path(name), _database(env_file, manifest), is_done=False)
    place = Path(member.place)
    if wish.to is not None:
        target = wish.to / place.relative_to("/")
    else:
        target = place.resolve() if place.is_symlink() else place  # a link stays one
    return Step(member, target, None, _is_there(member, target))


def _is_there(member: Member, target: Path) -> bool:
    """Whether exactly this file is there; an outbox never is, because it is not put back as it was."""
    if member.kind == "outbox" or not target.is_file() or target.stat().st_size != member.bytes:
        return False
    return not sibling(target, "-wal").exists() and backup_archive.sha256(target) == member.sha256


def _settings(env_file: Path | None, manifest: Manifest) -> Settings | None:
    """The settings of the server on this machine, as given, as in `.env`, or where the backup found them."""
    files = [env_file] if env_file is not None else [None] if _is_file(Path(settings.ENV_FILE)) else []
    if not files and manifest.env_file is not None and Path(manifest.env_file).is_file():
        files = [Path(manifest.env_file)]
    if not files and not settings.BY_NAME.keys() & os.environ.keys():
        return None
    return settings.load(env_file=files[0] if files else None, station="server")


def _is_file(path: Path) -> bool:
    """Whether a file is there; not where we may not look, as in a folder of the one who has become another user."""
    with contextlib.suppress(PermissionError):
        return path.is_file()
    return False


def _database(env_file: Path | None, manifest: Manifest) -> Database:
    values = _settings(env_file, manifest)
    if values is None:
        first = "put the settings back first with --without database"
        raise InputError("no settings say where the database is", f"name them with --env-file, or {first}")
    if values.database.host is None:
        raise InputError("the archive has a dump of MariaDB, and the settings say SQLite", "set MYSQL_HOST")
    dump.require_tools()
    return values.database


def status_ports(env_file: Path | None, manifest: Manifest) -> dict[str, int]:
    """The status ports of the stations; none where settings are wrong, as before the keys that they name are back."""
    with contextlib.suppress(SettingsError):
        values = _settings(env_file, manifest)
        return {} if values is None else values.status_ports
    return {}


def running(ports: dict[str, int], all_steps: list[Step]) -> Iterator[str]:
    """What shows that a station runs: its status port answers, or a file or the database is in use."""
    for station, port in ports.items():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), ANSWER_S):
            yield f"the {station} runs (port {port} answers)"
    for step in all_steps:
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


def in_the_way(all_steps: list[Step]) -> Iterator[str]:
    """What is there and differs."""
    for step in all_steps:
        if step.database is not None:
            with contextlib.closing(open_pool(step.database, create=False)) as pool:
                if filled := dump.filled_tables(pool):
                    yield f"database {pool.place}: there are rows in {', '.join(filled)}"
        elif step.target.exists() and not step.is_done:
            yield f"{step.target} exists and differs"
