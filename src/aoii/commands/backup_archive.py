"""The archive of a backup: a tar file with a manifest, which comes to its name only when it is complete.

    manifest.json           format, version of aoii, machine, time, and every member with its place and SHA-256
    manifest.json.sha256    the SHA-256 of the manifest
    settings/0-aoii.env     the members, one after the other; the part is the folder
    database/0-aoii.db

It holds secrets, so it has mode 0600. It is written and verified in a folder whose name begins with a dot, and
then renamed. A process that is killed leaves only that folder, in which nobody looks, and which the next backup
removes.
"""

import contextlib
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Literal, Self, cast, get_args

from aoii import __version__
from aoii.core.errors import InputError, UnavailableError
from aoii.runtime import failpoints
from aoii.security import private_file

FORMAT = 1
MANIFEST, MANIFEST_SUM = "manifest.json", "manifest.json.sha256"
MANIFEST_LIMIT_BYTES = 16 << 20  # 50,000 members; a damaged size must not fill the memory
CHUNK_BYTES = 1 << 20
REMEDY = "use another archive; this one is damaged, or is none"

Kind = Literal["file", "sqlite", "outbox", "dump"]
"""How a member is made and put back: as it is, by SQLite, as a new outbox, by the database's own tool."""
Counted = Callable[[int], None]
"""Is told how many bytes are done since the last call."""


@dataclass(frozen=True)
class Member:
    """One file of an archive.

    Attributes:
        name: Its name in the archive.
        part: The part that it belongs to.
        kind: How it is put back.
        place: Where it came from: an absolute path, or the name of the database for a dump.
        bytes: Its size.
        sha256: Its checksum, hexadecimal.
        mode: The permissions of the file that it came from; of its folder `folder_mode`.
        owner: The user and the group of that file, by name; of its folder `folder_owner`.
    """

    name: str
    part: str
    kind: Kind
    place: str
    bytes: int
    sha256: str
    mode: int = 0o600
    owner: tuple[str, str] | None = None
    folder_mode: int = 0o700
    folder_owner: tuple[str, str] | None = None


@dataclass(frozen=True)
class Manifest:
    """What an archive holds.

    Attributes:
        machine: The name of the machine.
        made_at: When the backup began, UTC, ISO 8601.
        env_file: The file of settings that all stations share; None: there was none.
        without: Parts that were left out on purpose.
        members: Its files.
    """

    machine: str
    made_at: str
    env_file: str | None
    without: tuple[str, ...]
    members: tuple[Member, ...]


def write(unfinished: Path, manifest: Manifest, folder: Path, progress: Counted) -> None:
    """Write the archive under a name that is no archive's, and have it on the disk.

    Each member's file in `folder` is deleted when it is in the archive.

    Raises:
        OSError: It cannot be written.
    """
    text = json.dumps({"format": FORMAT, "aoii": __version__, **asdict(manifest)}, indent=1).encode()
    with private_file.create(unfinished) as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            _add(tar, MANIFEST, io.BytesIO(text), len(text))
            digest = hashlib.sha256(text).hexdigest().encode()
            _add(tar, MANIFEST_SUM, io.BytesIO(digest), len(digest))
            for member in manifest.members:
                path = folder / Path(member.name).name
                with path.open("rb") as content:
                    _add(tar, member.name, cast(IO[bytes], _Counting(content, progress)), member.bytes)
                path.unlink()
                failpoints.reach("in_backup_archive")
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # so that reading it back reads the disk


def publish(unfinished: Path, target: Path) -> None:
    """Give an archive that was verified its name.

    Raises:
        OSError: It cannot be renamed.
    """
    unfinished.rename(target)
    private_file.sync(target.parent)


def _add(tar: tarfile.TarFile, name: str, content: IO[bytes], size: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o600
    tar.addfile(entry, content)


class _Counting:
    """A file that is read, and that says how much of it."""

    def __init__(self, file: IO[bytes], progress: Counted) -> None:
        self._file = file
        self._progress = progress

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(size)
        self._progress(len(chunk))
        return chunk


class Archive:
    """An archive, open for reading; use it as a context manager.

    Raises:
        InputError: It is missing, of another format, or its manifest is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._tar = tarfile.open(path, "r:")  # noqa: SIM115 - closed at the end of the block
        except (tarfile.TarError, OSError) as error:
            raise InputError(f"{path}: not an archive of aoii backup ({error})", "name the .tar of a backup") from error
        try:
            self.manifest = self._read_manifest()
        except InputError:
            self._tar.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._tar.close()

    def check(self, progress: Counted) -> None:
        """Read every member and compare its size and checksum with the manifest.

        Raises:
            InputError: Something differs.
        """
        for member in self.manifest.members:
            for chunk in self.chunks(member):
                progress(len(chunk))

    def chunks(self, member: Member) -> Iterator[bytes]:
        """The content of a member; a wrong checksum is an error after its last chunk.

        Raises:
            InputError: Its size or checksum is not that of the manifest.
        """
        digest = hashlib.sha256()
        with self._damage(member.name), self._open(member.name, member.bytes) as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                yield chunk
        if digest.hexdigest() != member.sha256:
            raise InputError(f"{self.path}: {member.name} is damaged: its checksum differs", REMEDY)

    def extract(self, member: Member, target: Path) -> None:
        """Write a member to a new file with mode 0600, and have it on the disk.

        Raises:
            InputError: It is damaged; the file is not there then.
            OSError: It cannot be written.
        """
        try:
            target.unlink(missing_ok=True)
            with private_file.create(target) as file:
                file.writelines(self.chunks(member))
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            target.unlink(missing_ok=True)
            raise

    def _read_manifest(self) -> Manifest:
        with self._damage(MANIFEST):
            names = self._tar.getnames()
        if names[:2] != [MANIFEST, MANIFEST_SUM]:
            raise InputError(f"{self.path}: not an archive of aoii backup: it has no manifest", "name another file")
        text, digest = (self._small(name) for name in (MANIFEST, MANIFEST_SUM))
        if hashlib.sha256(text).hexdigest().encode() != digest:
            raise InputError(f"{self.path}: the manifest is damaged: its checksum differs", REMEDY)
        try:
            found = json.loads(text)
            if found["format"] != FORMAT:
                made_by = f"format {found['format']}, by aoii {found['aoii']}"
                raise InputError(f"{self.path}: {made_by}, and this one reads {FORMAT}", "install that version")
            manifest = _decode(found)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{self.path}: the manifest is not one of aoii backup ({error!r})", REMEDY) from error
        if names[2:] != [member.name for member in manifest.members]:
            raise InputError(f"{self.path}: members are missing or are too many", REMEDY)
        return manifest

    def _small(self, name: str) -> bytes:
        with self._damage(name), self._open(name) as file:
            return file.read(MANIFEST_LIMIT_BYTES)

    def _open(self, name: str, size: int | None = None) -> IO[bytes]:
        """A member; with `size` only if it has so many bytes, before any of them is read."""
        entry = self._tar.getmember(name)
        file = self._tar.extractfile(entry) if entry.type == tarfile.REGTYPE and not entry.issparse() else None
        if file is None:  # a link, or one whose content is not in the archive and may fill a disk
            raise InputError(f"{self.path}: {name} is no file", REMEDY)
        if size not in (None, entry.size):
            raise InputError(f"{self.path}: {name} is damaged: it has {entry.size:,} bytes, not {size:,}", REMEDY)
        return file

    @contextlib.contextmanager
    def _damage(self, name: str) -> Iterator[None]:
        """Turn what tarfile says of damage, or the disk, into our error."""
        try:
            yield
        except (tarfile.TarError, KeyError, OSError) as error:
            raise InputError(f"{self.path}: {name} cannot be read ({error})", REMEDY) from error


def _decode(found: dict[str, Any]) -> Manifest:
    """The manifest.

    Raises:
        KeyError, TypeError, ValueError: It is none that this version or any other writes.
    """
    datetime.fromisoformat(found["made_at"])
    members = tuple(map(_decode_member, found["members"]))
    return Manifest(found["machine"], found["made_at"], found["env_file"], tuple(found["without"]), members)


def _decode_member(found: dict[str, Any]) -> Member:
    def owner(pair: Sequence[str] | None) -> tuple[str, str] | None:
        if pair is None:
            return None
        user, group = pair
        return str(user), str(group)

    known = {field.name: found[field.name] for field in fields(Member)}  # a later version may add more
    member = Member(**known | {"owner": owner(found["owner"]), "folder_owner": owner(found["folder_owner"])})
    if not all(isinstance(text, str) for text in (member.name, member.part, member.place, member.sha256)):
        raise TypeError("a member's name, part, place or checksum is no text")
    if not isinstance(member.bytes, int):
        raise TypeError("the size of a member is no number")
    if member.kind not in get_args(Kind):
        raise ValueError(f"kind {member.kind}")
    for mode in (member.mode, member.folder_mode):
        if not 0 <= mode <= 0o777:
            raise ValueError(f"mode {mode:o}")
    if member.kind != "dump" and (
        member.place == "/"
        or os.path.normpath(member.place) != member.place
        or not member.place.startswith("/")
        or member.place.startswith("//")
    ):
        raise ValueError(f"place {member.place}")  # such as one with `..`, which leads out of every folder
    if "/" in member.name.removeprefix(f"{member.part}/") or Path(member.name).name in ("", ".."):
        raise ValueError(f"name {member.name}")
    return member


def sha256(path: Path) -> str:
    """The checksum of a file, hexadecimal.

    Raises:
        UnavailableError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be read ({error})", "run this as a user who may read it") from error
