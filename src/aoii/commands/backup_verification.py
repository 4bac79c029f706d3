"""Reads an archive back, and restores what is in it for trial, before the archive gets its name."""

import contextlib
from pathlib import Path
from typing import NamedTuple

from aoii.commands.backup_archive import Archive, Counted, Member
from aoii.core.errors import InputError, UnavailableError
from aoii.gateway.drivers import restored_outbox
from aoii.runtime import sqlite_copy
from aoii.server import dump, dump_trial
from aoii.settings import Database

TABLES = {"outbox": "events", "dead-letters": "letters", "database": "readings"}


class Verified(NamedTuple):
    """What came of it.

    Attributes:
        rows: By part, how many rows came back.
        untried: What could be checked, but not restored, and why, for people; empty if everything was.
    """

    rows: dict[str, int]
    untried: list[str]


def verify(path: Path, work: Path, database: Database | None, counted: Counted) -> Verified:
    """Read an archive back, and restore each part of it into a folder, or a database, that is removed again.

    Args:
        path: The archive.
        work: The folder.
        database: The database of a dump, if the archive has one.
        counted: Is told how many bytes are done.

    Raises:
        UnavailableError: What was written is not what was saved, or cannot be restored.
        OSError: The folder cannot be written.
    """
    found = Verified({}, [])
    file = work / "restored"
    try:
        with Archive(path) as written:
            for member in written.manifest.members:
                written.extract(member, file)
                counted(member.bytes)
                _try(member, file, database, found)
    except InputError as error:
        raise UnavailableError(f"what was written is not what was saved: {error}") from error
    finally:
        file.unlink(missing_ok=True)
    return found


def _try(member: Member, file: Path, database: Database | None, found: Verified) -> None:
    """Use a part that was extracted.

    Raises:
        InputError: It cannot be used.
        UnavailableError: A dump cannot be put back.
    """
    if member.kind == "file":
        return
    wrong = dump.problem(file) if member.kind == "dump" else sqlite_copy.problem(file)
    if wrong is None and member.kind == "outbox":
        wrong = _outbox_problem(file)
    if wrong is not None:
        raise InputError(f"{member.place}: {wrong}", "see whether its station complains of damage")
    if member.kind != "dump":
        found.rows[member.part] = sqlite_copy.rows(file, TABLES[member.part])
    elif database is not None:
        trial = dump_trial.restore_for_trial(database, file)
        if trial.readings is not None:
            found.rows[member.part] = trial.readings
        else:
            found.untried.append(f"the dump of {member.place} was not restored for trial: {trial.why_not}")


def _outbox_problem(file: Path) -> str | None:
    """What is wrong with an outbox: whether a new one made of it has all of its readings."""
    trial = file.with_name("outbox")
    with contextlib.ExitStack() as stack:
        stack.callback(trial.unlink, missing_ok=True)
        made = restored_outbox.make(trial, [file], None)
    if made.readings + made.corrupt != sqlite_copy.rows(file, "events"):
        return "a new outbox made of it lacks readings"
    return None
