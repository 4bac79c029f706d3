"""Changes of files that hold settings and secrets: shown as a diff without secrets, and written with the former kept.

A file is private from its first byte on, comes to its place complete and on the disk, and keeps its owner and mode.
"""

import contextlib
import difflib
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aoii.core.errors import UnavailableError
from aoii.security import private_file
from aoii.settings import BY_NAME
from aoii.settings.env_edit import name_of

HIDDEN = "********"
SOUNDS_SECRET = re.compile(r"PASS|SECRET|TOKEN")  # keys of other programs in the same file
NEW, BACKUP = ".new", ".bak"


@dataclass(frozen=True)
class FileChange:
    """What one file becomes.

    Attributes:
        path: The file; a link is followed.
        before: Its content; None: there is none.
        after: Its new content.
        mode: Of a new file.
        owner: User and group of a new file; None: who runs this.
        is_secret: Whether the whole content is a secret, and not only values in it.
        is_shipped: Whether a new file is as we ship it, so that its name says enough.
    """

    path: Path
    before: str | None
    after: str
    mode: int = 0o600
    owner: tuple[str, str] | None = None
    is_secret: bool = False
    is_shipped: bool = False

    @property
    def is_change(self) -> bool:
        """Whether anything is different."""
        return self.before != self.after


def shows_secret(name: str) -> bool:
    """Whether the value of a key must not be shown."""
    return BY_NAME[name].secret if name in BY_NAME else bool(SOUNDS_SECRET.search(name.upper()))


def diff(change: FileChange) -> Iterator[str]:
    """The change as the lines of a diff, with no secret in it."""
    if change.is_secret:
        yield f"--- {change.path if change.before is not None else '/dev/null'}"
        yield f"+++ {change.path}"
        yield f"+{HIDDEN} (a secret)"
        return
    if change.is_shipped and change.before is None:
        yield f"+++ {change.path} (as shipped, {len(change.after.splitlines())} lines)"
        return
    old, new = (change.before or "").splitlines(), change.after.splitlines()
    names = (str(change.path) if change.before is not None else "/dev/null", str(change.path))
    for line in difflib.unified_diff(old, new, *names, n=1, lineterm=""):
        is_head = line.startswith(("---", "+++", "@@"))
        yield line if is_head else line[0] + _masked(line[1:])


def _masked(line: str) -> str:
    name = name_of(line.lstrip("# ")) or ""
    before, equals, value = line.partition("=")
    return f"{before}{equals}{HIDDEN}" if value.strip() and shows_secret(name) else line


def write(change: FileChange) -> Path | None:
    """Put the new content in its place; the path of the former file's copy, None if there was no file.

    Raises:
        UnavailableError: A file cannot be written; the former one is in its place.
    """
    path = change.path.resolve()
    new = path.with_name(f"{path.name}{NEW}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = None if change.before is None else _keep(path)
        new.unlink(missing_ok=True)  # of a run that was interrupted
        with private_file.create(new) as file:
            file.write(change.after.encode())
            _own(file.fileno(), change, path)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        private_file.sync(path.parent)
    except (OSError, LookupError) as error:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        remedy = "run this as the user whose file it is, or as root"
        raise UnavailableError(f"{path} cannot be written ({error})", remedy) from error
    return kept


def _keep(path: Path) -> Path:
    """A copy of the file beside it, as private as a new file is; its path."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    copies = (path.with_name(f"{path.name}{BACKUP}-{stamp}{number or ''}") for number in range(1000))
    copy = next(one for one in copies if not one.exists())
    private_file.write(copy, path.read_bytes())
    return copy


def _own(descriptor: int, change: FileChange, path: Path) -> None:
    """Give the new file the owner and mode of the former one, or those that are asked for."""
    if change.before is None:
        if change.owner is not None:
            shutil.chown(descriptor, *change.owner)
        os.fchmod(descriptor, change.mode)
        return
    was = path.stat()
    if (was.st_uid, was.st_gid) != (os.geteuid(), os.getegid()):
        os.fchown(descriptor, was.st_uid, was.st_gid)
    has_secret = change.is_secret or any(shows_secret(name_of(line) or "") for line in change.after.splitlines())
    os.fchmod(descriptor, was.st_mode & (0o770 if has_secret else 0o777))
