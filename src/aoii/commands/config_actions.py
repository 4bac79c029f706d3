"""What `aoii config` does: reads the files of settings as the stations would, prints faults, values and changes."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aoii import settings
from aoii.commands import doctor_installation, file_changes
from aoii.commands.file_changes import HIDDEN, FileChange
from aoii.core.errors import InputError
from aoii.settings import BY_NAME, STATIONS, env_file, reader
from aoii.settings.env_edit import name_of
from aoii.settings.faults import Fault, SettingsError
from aoii.settings.migration import migrated


@dataclass
class Found:
    """What the stations make of the files of settings.

    Attributes:
        faults: Each fault that keeps a station from starting, with the stations that have it.
        warnings: Each key that is no setting and was meant as one.
        notes: What is worth a look, and no fault.
        files: The texts of the files, by path, that the stations read.
    """

    faults: dict[Fault, list[str]] = field(default_factory=dict)
    warnings: dict[Fault, None] = field(default_factory=dict)
    notes: dict[Fault, None] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


def examine(env: Path | None, stations: Sequence[str], environ: Mapping[str, str] = os.environ) -> Found:
    """Read the settings of each station."""
    found = Found()
    for station in stations:
        try:
            files = reader.texts(env, station)
            found.files |= files
            values = reader.read(files, environ)
            found.warnings |= dict.fromkeys(values.warnings)
            found.notes |= dict.fromkeys(values.notes)
        except SettingsError as error:
            for fault in error.faults:
                found.faults.setdefault(fault, []).append(station)
    return found


def check(env: Path | None, stations: Sequence[str], *, show: bool) -> int:
    """Print what is wrong with the settings; 0 if nothing is, else 1.

    Raises:
        InputError: A name is that of no station.
    """
    if unknown := [name for name in stations if name not in STATIONS]:
        raise InputError(f"there is no station {', '.join(unknown)}", f"use {', '.join(STATIONS)}")
    names = tuple(stations) or STATIONS
    found = examine(env, names)
    for fault, readers in found.faults.items():
        whose = "" if len(readers) == len(names) else f" (read by {', '.join(readers)})"
        print(f"FAIL  {where(fault, found.files)}{whose}\n      -> {fault.remedy}")
    for fault in found.warnings:
        print(f"FAIL  {where(fault, found.files)}\n      -> {fault.remedy}")
    is_wrong = bool(found.faults or found.warnings)
    for finding in doctor_installation.files_remarks(env):
        print(f"FAIL  {finding.state}\n      -> {finding.remedy}")
        is_wrong = True
    for note in found.notes:
        print(f"--    {where(note, found.files)} ({note.remedy})")
    there = [path for path, text in found.files.items() if text or Path(path).exists()]
    if show:
        for line in shown(env, names):
            print(line)
    if not is_wrong:
        print(f"ok    the settings of {', '.join(names)} are right: {', '.join(there) or 'no file, all at defaults'}")
    return 1 if is_wrong else 0


def where(fault: Fault, files: Mapping[str, str]) -> str:
    """The problem with the file and the number of its line, as compilers write it."""
    number = fault.name.removeprefix("line ") if fault.name.startswith("line ") else ""
    if not number and fault.origin in files:
        lines, _ = env_file.decode(files[fault.origin], fault.origin, ())
        number = str(lines[fault.name].number) if fault.name in lines else ""
    if not number:
        return fault.problem
    name = "" if fault.name.startswith("line ") else f"{fault.name} "
    return f"{fault.origin}:{number}: {name}{fault.state}"


def shown(env: Path | None, stations: Sequence[str]) -> Iterator[str]:
    """Every value in force, with where it comes from; what differs between stations comes below, for each."""
    by_station = {name: list(_values(env, name)) for name in stations}
    common = [line for line in by_station[stations[0]] if all(line in lines for lines in by_station.values())]
    yield from common
    for name, lines in by_station.items():
        if own := [line for line in lines if line not in common]:
            yield f"\nonly {name}:"
            yield from own


def _values(env: Path | None, station: str) -> Iterator[str]:
    try:
        files = reader.texts(env, station)
    except SettingsError:
        return  # which is among the faults
    given = reader.in_force(files, os.environ)
    lines = {path: env_file.decode(text, path, ())[0] for path, text in files.items()}
    for name, declared in BY_NAME.items():
        text, origin = given.get(name, (declared.default or "", "default"))
        number = f":{lines[origin][name].number}" if origin in lines and name in lines[origin] else ""
        value = HIDDEN if declared.secret and text else text
        if origin != "default" or text:
            yield f"{name}={value}    # {origin}{number}"


def migrate(env: Path | None, *, dry_run: bool) -> int:
    """Bring the files to today's form, or print what would change; 1 if something is left to decide, else 0.

    Raises:
        SettingsError: A file cannot be read.
        UnavailableError: A file cannot be written.
    """
    shared = Path(settings.ENV_FILE) if env is None else env
    texts = reader.texts(env, None)
    for name in STATIONS:
        texts |= reader.texts(env, name)
    base = frozenset(filter(None, map(name_of, migrated(texts[str(shared)]).text.split("\n"))))
    has_changed, is_left = False, False
    for path, text in texts.items():
        if not text and not Path(path).exists():
            continue
        made = migrated(text, beside=frozenset() if path == str(shared) else base)
        change = FileChange(Path(path), text, made.text)
        for sentence in (*made.done, *made.left):
            print(f"# {path}: {sentence}")
        is_left = is_left or bool(made.left)
        if change.is_change:
            has_changed = True
            print("\n".join(file_changes.diff(change)))
            if not dry_run:
                print(f"# {path} is written; the former file is {file_changes.write(change)}")
    if not has_changed:
        print("# nothing to change")
    elif not dry_run:
        print("# next: aoii config check; then restart the stations. The tables: aoii migrate")
    return 1 if is_left else 0
