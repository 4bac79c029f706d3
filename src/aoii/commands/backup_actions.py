"""Makes a backup: saves each part, writes the archive, reads it back, and only then removes older ones."""

import contextlib
import fcntl
import grp
import os
import pwd
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from aoii import settings
from aoii.commands import backup_archive, backup_parts, backup_retention, backup_verification
from aoii.commands.backup_archive import Counted, Manifest, Member
from aoii.commands.backup_parts import PARTS, Found, Source
from aoii.commands.doctor_installation import Installation
from aoii.commands.progress import Progress
from aoii.core.errors import InputError, UnavailableError
from aoii.runtime import disks, failpoints
from aoii.settings import Database

WORK = ".aoii-backup"  # how the folder in which parts are put together begins, and its lock; no backup does
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
        archive = folder / backup_retention.name_of(at)
        unfinished = work / archive.name
        try:
            backup_archive.write(unfinished, manifest, work, counted)
            verified = backup_verification.verify(unfinished, work, _dumped(found), counted)
            failpoints.reach("before_backup_published")
            backup_archive.publish(unfinished, archive)
        except OSError as error:
            raise UnavailableError(
                f"{archive}: cannot be written ({error})", "make room, or name another --to"
            ) from error
        older = [] if keep is None else backup_retention.remove(archive, keep)
    _report(found, without, manifest, verified.rows)
    state = "read back and verified" if not verified.untried else "read back, and every checksum is right"
    print(f"{archive}: {archive.stat().st_size / 1e6:,.1f} MB, {state}")
    for line in (*verified.untried, *_beside(found, folder), *older):
        print(line)
    return 0


def _dumped(found: dict[str, Found]) -> Database | None:
    """The database that is dumped; None: there is none."""
    return next((source.database for one in found.values() for source in one.sources if source.database), None)


def _beside(found: dict[str, Found], folder: Path) -> Iterator[str]:
    """Which parts are on the disk of the archive."""
    files = {name: [source.path for source in one.sources if source.database is None] for name, one in found.items()}
    if near := [name for name, paths in files.items() if any(disks.are_on_one_disk(path, folder) for path in paths)]:
        yield f"on the same disk as {', '.join(near)}: if it dies, both are gone; keep a copy on another one"


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
    try:
        with (folder / f"{WORK}.lock").open("ab") as lock:
            if os.geteuid() == 0:  # the next backup may be made by the user of the stations
                os.fchown(lock.fileno(), folder.stat().st_uid, folder.stat().st_gid)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for left in folder.glob(f"{WORK}-*"):  # of root, it stays until root makes a backup
                shutil.rmtree(left, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=f"{WORK}-", dir=folder, ignore_cleanup_errors=True) as work:
                yield Path(work)
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


def megabytes(shown: Progress) -> Counted:
    """Counts bytes, and shows whole megabytes of them."""
    total = 0

    def count(done: int) -> None:
        nonlocal total
        before, total = total // 1_000_000, total + done
        if more := total // 1_000_000 - before:
            shown.add(more)

    return count
