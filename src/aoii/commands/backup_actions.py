"""Makes a backup: saves each part, writes the archive, reads it back, and only then removes older ones."""

import contextlib
import fcntl
import grp
import os
import pwd
import re
import shutil
import socket
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from aoii import settings
from aoii.commands import backup_archive, backup_parts
from aoii.commands.backup_archive import Archive, Counted, Manifest, Member
from aoii.commands.backup_parts import PARTS, Found, Source
from aoii.commands.doctor_installation import Installation
from aoii.commands.progress import Progress
from aoii.core.errors import InputError, UnavailableError
from aoii.gateway.drivers import restored_outbox
from aoii.runtime import failpoints, sqlite_copy
from aoii.server import dump

WORK = ".aoii-backup"  # the folder in which parts are put together, and its lock; nothing takes them for a backup
TABLES = {"outbox": "events", "dead-letters": "letters", "database": "readings"}
CALLED = {"outbox": "readings that wait", "dead-letters": "dead letters", "database": "readings"}
NOT_IN_IT = (
    "not in it: kept readings, which the database has; the CSV files, which are views; the broker; and the authority "
    "(`aoii certs ca`), which is where you made it"
)


def backup(env_file: Path | None, to: Path | None, keep: int | None, without: Sequence[str]) -> int:
    """Make a backup of this machine, print what it has and has not, and return the exit code.

    Args:
        env_file: The file of settings that all stations share; None: `.env`.
        to: The folder for the archive; None: BACKUP_DIR.
        keep: How many archives of this machine stay; None: all.
        without: Parts that are left out.

    Raises:
        InputError: There is no folder, or nothing to save.
        UnavailableError: A part cannot be saved, or the archive cannot be written or read back.
    """
    installation = backup_parts.load(env_file)
    folder = (to or _backup_dir(installation)).absolute()
    at = datetime.now(UTC)
    found = {part.name: part.find(installation) for part in PARTS if part.name not in without}
    if not any(one.sources for one in found.values()):
        reasons = "; ".join(f"{name}: {one.absence}" for name, one in found.items())
        raise InputError(f"there is nothing to back up here ({reasons})", "name the settings with --env-file")
    with _work_folder(folder) as work, Progress("MB saved, packed and read back") as shown:
        counted = megabytes(shown)
        manifest = _save(installation, found, work, at, tuple(without), counted)
        failpoints.reach("before_backup_archive")
        archive = folder / f"{_prefix()}{at:%Y%m%dT%H%M%S.%f}Z.tar"
        unfinished = work / archive.name
        try:
            backup_archive.write(unfinished, manifest, work, counted)
            counts = _verify(unfinished, work, counted)
            failpoints.reach("before_backup_published")
            backup_archive.publish(unfinished, archive)
        except OSError as error:
            raise UnavailableError(
                f"{archive}: cannot be written ({error})", "make room, or name another --to"
            ) from error
    _report(found, without, manifest, counts)
    print(f"{archive}: {archive.stat().st_size / 1e6:,.1f} MB, read back and verified")
    older = _older(folder, archive)
    for old in older[: max(0, len(older) + 1 - keep)] if keep is not None else ():
        old.unlink()
        print(f"removed: {old}")
    return 0


def _backup_dir(installation: Installation) -> Path:
    found = {values.database.backup_dir for values in installation.settings.values()}
    given = [folder for folder in found if folder is not None]
    if len(given) != 1:
        state = "no folder is named" if not given else "the stations have different settings of BACKUP_DIR"
        raise InputError(
            f"{state}, so it is not known where a backup goes", "set BACKUP_DIR, or name one with --to DIR"
        )
    return given[0]


@contextlib.contextmanager
def _work_folder(folder: Path) -> Iterator[Path]:
    """A new folder beside the archives, for this backup only; what killed backups have left is removed first.

    Raises:
        UnavailableError: The folder is missing or cannot be written, or another backup runs.
    """
    if not folder.is_dir():
        raise UnavailableError(f"{folder} is not a folder", "mount its disk, make it, or name another --to")
    work = folder / WORK
    try:
        with (folder / f"{WORK}.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(mode=0o700)
            try:
                yield work
            finally:
                shutil.rmtree(work, ignore_errors=True)
    except BlockingIOError as error:
        raise UnavailableError(f"{folder}: another backup is being made there", "wait until it has ended") from error
    except OSError as error:
        raise UnavailableError(
            f"{folder}: cannot be used ({error})", "check who may write there, and the disk"
        ) from error


def _save(
    installation: Installation,
    found: dict[str, Found],
    work: Path,
    at: datetime,
    without: tuple[str, ...],
    counted: Counted,
) -> Manifest:
    """Make a file of every source in the folder, and list them."""
    members: list[Member] = []
    for part, one in found.items():
        for source in one.sources:
            number = len(members)
            file = work / f"{number}-{source.path.name}"
            backup_parts.save(source, file, counted)
            members.append(_member(part, source, file))
    shared = Path(settings.ENV_FILE) if installation.env_file is None else installation.env_file
    env_file = str(shared.absolute()) if shared.is_file() else None
    return Manifest(socket.gethostname(), at.isoformat(timespec="seconds"), env_file, without, tuple(members))


def _member(part: str, source: Source, file: Path) -> Member:
    size, digest = file.stat().st_size, backup_archive.sha256(file)
    name = f"{part}/{file.name}"
    if source.database is not None:
        return Member(name, part, source.kind, source.place, size, digest)
    own, above = source.path.stat(), source.path.parent.stat()
    return Member(
        name, part, source.kind, source.place, size, digest,
        own.st_mode & 0o777, _owner(own), above.st_mode & 0o777, _owner(above),
    )  # fmt: skip


def _owner(of: os.stat_result) -> tuple[str, str] | None:
    """User and group by name, which outlive a new installation; None if they have none."""
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(of.st_uid).pw_name, grp.getgrgid(of.st_gid).gr_name
    return None


def _verify(archive: Path, work: Path, counted: Counted) -> dict[str, int]:
    """Read the archive back, and restore what is in it into the folder `work`, for trial; by part, how many rows.

    Raises:
        UnavailableError: What was written is not what was saved.
        OSError: The folder cannot be written.
    """
    counts: dict[str, int] = {}
    try:
        with Archive(archive) as written:
            for member in written.manifest.members:
                file = work / "restored"
                written.extract(member, file)
                counted(member.bytes)
                _try(member, file)
                if member.kind in ("sqlite", "outbox"):
                    counts[member.part] = sqlite_copy.rows(file, TABLES[member.part])
                file.unlink()
    except InputError as error:
        raise UnavailableError(f"what was written is not what was saved: {error}") from error
    return counts


def _try(member: Member, file: Path) -> None:
    """Use a part that was restored for trial.

    Raises:
        InputError: It cannot be used.
    """
    wrong: str | None = None
    if member.kind == "dump":
        wrong = dump.problem(file)
    elif member.kind in ("sqlite", "outbox"):
        wrong = sqlite_copy.problem(file)
    if wrong is None and member.kind == "outbox":
        trial = file.with_name("outbox")
        made = restored_outbox.make(trial, [file], None)
        trial.unlink()
        if made.readings + made.corrupt != sqlite_copy.rows(file, "events"):
            wrong = "a new outbox made of it lacks readings"
    if wrong is not None:
        raise InputError(f"{member.place}: {wrong}", "see whether its station complains of damage")


def _report(found: dict[str, Found], without: Sequence[str], manifest: Manifest, counts: dict[str, int]) -> None:
    for part in PARTS:
        if part.name in without:
            print(f"{part.name}: LEFT OUT, as you said (--without {part.name})")
            continue
        one = found[part.name]
        if not one.sources:
            print(f"{part.name}: none ({one.absence})")
            continue
        size = sum(member.bytes for member in manifest.members if member.part == part.name)
        rows = f", {counts[part.name]:,} {CALLED[part.name]}" if part.name in counts else ""
        what = one.sources[0].place if len(one.sources) == 1 else f"{len(one.sources)} files"
        print(f"{part.name}: {what}{rows}, {size / 1e6:,.1f} MB")
    given = sorted(settings.BY_NAME.keys() & os.environ.keys())
    if given and "settings" not in without:
        print(f"not in it: what the environment sets ({', '.join(given)})")
    print(NOT_IN_IT)


def _prefix() -> str:
    """How the names of this machine's archives begin; several machines may share a folder."""
    return f"aoii-{re.sub(r'[^A-Za-z0-9_-]', '_', socket.gethostname())}-"


def _older(folder: Path, newest: Path) -> list[Path]:
    """This machine's other archives, oldest first."""
    name = re.compile(re.escape(_prefix()) + r"\d{8}T\d{6}\.\d{6}Z\.tar")
    return sorted(path for path in folder.iterdir() if name.fullmatch(path.name) and path != newest)


def megabytes(shown: Progress) -> Counted:
    """Counts bytes, and shows whole megabytes of them."""
    total = 0

    def count(done: int) -> None:
        nonlocal total
        before, total = total // 1_000_000, total + done
        if more := total // 1_000_000 - before:
            shown.add(more)

    return count
