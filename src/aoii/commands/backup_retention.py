"""Which older archives a new one makes superfluous. Only archives of this machine, by their name and their manifest."""

import re
import socket
from collections import Counter
from datetime import datetime
from pathlib import Path

from aoii.commands.backup_archive import Archive
from aoii.core.errors import InputError


def name_of(at: datetime) -> str:
    """The name of an archive that is begun at an instant, UTC; several machines may share a folder."""
    return f"{_prefix()}{at:%Y%m%dT%H%M%S.%f}Z.tar"


def remove(newest: Path, keep: int) -> list[str]:
    """Remove archives of which every part is in `keep` newer ones; what was done, for people.

    An archive without the database does not make one with it superfluous. What cannot be read counts for nothing and
    stays, and so does what is named later than the newest: the clock was wrong, and nobody knows when it was made.

    Args:
        newest: The archive that was just made.
        keep: In how many archives, the newest included, each part stays.
    """
    said = []
    seen = Counter(_parts(newest))
    name = re.compile(re.escape(_prefix()) + r"\d{8}T\d{6}\.\d{6}Z\.tar")
    others = [path for path in newest.parent.iterdir() if name.fullmatch(path.name) and path != newest]
    for path in sorted(others, reverse=True):
        if path.name > newest.name:
            said.append(f"stays, and is not counted: {path}, which is named later than now")
            continue
        try:
            parts = _parts(path)
            if all(seen[part] >= keep for part in parts):
                path.unlink()
                said.append(f"removed: {path}")
        except (InputError, OSError) as error:
            said.append(f"stays, and is not counted: {path} ({error})")
            continue
        seen.update(parts)
    return said


def _parts(path: Path) -> set[str]:
    with Archive(path) as archive:
        return {member.part for member in archive.manifest.members}


def _prefix() -> str:
    return f"aoii-{re.sub(r'[^A-Za-z0-9_-]', '_', socket.gethostname())}-"
