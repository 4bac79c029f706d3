"""The parts of a backup: where each is on this machine, by the settings of its stations, and how it is saved.

`PARTS` is the whole list; a new part is one more entry. Readings pass outbox, dead letters and database in this order,
and the parts are saved in the same order: a reading that moves on meanwhile is in two of them, and never in none.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast

from aoii import settings
from aoii.commands import container, doctor_installation
from aoii.commands.backup_archive import Counted, Kind
from aoii.commands.doctor_durability import here
from aoii.commands.doctor_installation import Installation
from aoii.core.errors import InputError, UnavailableError
from aoii.runtime import sqlite_copy
from aoii.security import private_file
from aoii.server import dump
from aoii.settings import Database, Settings, kinds
from aoii.settings.env_file import decode
from aoii.settings.model import SECRETS

NAMED_FILES = frozenset(file for _, file in SECRETS) | frozenset(
    name for name in settings.BY_NAME if name.endswith(("_CA", "_CERT", "_KEY")) or name == "MIRROR_WEIGHTS"
)
"""Settings that name a file which a station needs and does not make itself."""


class Source(NamedTuple):
    """Something that a backup saves.

    Attributes:
        kind: How it is saved and put back.
        path: The file; for a dump, only its name counts.
        database: The database of a dump; None otherwise.
    """

    kind: Kind
    path: Path
    database: Database | None = None

    @property
    def place(self) -> str:
        """Where it is, for the manifest and for people."""
        at = self.database
        return str(self.path) if at is None else f"{at.name} at {at.host}:{at.port}"


class Found(NamedTuple):
    """What there is of a part on this machine.

    Attributes:
        sources: What is saved.
        absence: Why there is nothing; empty if there is something.
    """

    sources: tuple[Source, ...]
    absence: str = ""


@dataclass(frozen=True)
class Part:
    """A part of a backup.

    Attributes:
        name: Its name on the command line and in the archive.
        find: Where it is; raises UnavailableError if it should be there and is not.
    """

    name: str
    find: Callable[[Installation], Found]


def load(env_file: Path | None) -> Installation:
    """The settings of all stations of this machine.

    Raises:
        SettingsError: Some are wrong; then nobody knows what there is to save.
    """
    installation, _ = doctor_installation.load(env_file, container.started())
    for name in settings.STATIONS:
        if name not in installation.settings:
            settings.load(env_file=env_file, station=name)
    return installation


def save(source: Source, target: Path, progress: Counted) -> None:
    """Make a file of a source, with mode 0600, and have it on the disk.

    Raises:
        UnavailableError: It cannot be read, or the file cannot be written.
    """
    match source.kind:
        case "sqlite" | "outbox":
            sqlite_copy.copy(source.path, target, progress)
        case "dump":
            dump.save(cast(Database, source.database), target, progress)
        case "file":
            try:
                with private_file.create(target) as copy, source.path.open("rb") as file:
                    shutil.copyfileobj(file, copy)
                    copy.flush()
                    os.fsync(copy.fileno())
            except OSError as error:
                remedy = "run this as the user of the stations, who may read it"
                raise UnavailableError(f"{source.path}: cannot be copied ({error})", remedy) from error
            progress(target.stat().st_size)


def _settings(installation: Installation) -> Found:
    files = tuple(Source("file", path.absolute()) for path in _files(installation))
    return Found(files, "" if files else "no file of settings is here; what the environment sets is not saved")


def _files(installation: Installation) -> list[Path]:
    """The files of settings that exist."""
    shared = Path(settings.ENV_FILE) if installation.env_file is None else installation.env_file
    return [
        path
        for path in (shared, *(settings.station_file(installation.env_file, name) for name in settings.STATIONS))
        if path.is_file()
    ]


def _keys(installation: Installation) -> Found:
    named = [path for path in _named_files(installation) if path.is_file()]
    gateway = here(installation, "gateway")
    if gateway is not None:
        own = gateway.gateway
        named += [path for path in (own.node_keys_file, own.nodes_file) if path.is_file()]
    files = tuple(Source("file", path) for path in dict.fromkeys(path.absolute() for path in named))
    return Found(files, "" if files else "settings name no key, certificate or password file, and no node has a key")


def _named_files(installation: Installation) -> Iterator[Path]:
    """The files that settings name, whichever station reads them."""
    layers = [decode(path.read_text(encoding="utf-8"), str(path), ())[0] for path in _files(installation)]
    texts = [(name, line.text) for lines in layers for name, line in lines.items()]
    for name, text in (*texts, *os.environ.items()):
        if name in NAMED_FILES and text and not (name.endswith("_CA") and text == "system"):
            yield kinds.path(text)


def _of_station(part: str, station: str, kind: Kind, path_of: Callable[[Settings], Path]) -> Part:
    """A part that is one file of one station."""

    def find(installation: Installation) -> Found:
        values = here(installation, station)
        if values is None:
            return Found((), f"no {station} is on this machine")
        path = path_of(values).absolute()
        if path.is_file():
            return Found((Source(kind, path),))
        _require_absence(installation, station, part, path)
        return Found((), f"{path} does not exist")

    return Part(part, find)


def _database(installation: Installation) -> Found:
    groups = installation.groups(("server", "edgelog", "web"), lambda values: _target(values.database))
    if not groups:
        return Found((), "no station of this machine uses it")
    base = groups[0].values.database
    if len(groups) > 1:
        named = ", ".join(f"{'/'.join(group.ours)}: {group.values.database.description}" for group in groups)
        raise InputError(f"database: the stations have different ones ({named})", "give them the same settings")
    if base.host is not None:
        dump.require_tools()
        return Found((Source("dump", Path(f"{base.name}.sql"), base),))
    path = base.sqlite_path.absolute()
    if path.is_file():
        return Found((Source("sqlite", path),))
    for station in groups[0].here:
        _require_absence(installation, station, "database", path)
    return Found((), f"{path} does not exist")


def _target(base: Database) -> tuple[object, ...]:
    return (base.sqlite_path.absolute(),) if base.host is None else (base.host, base.port, base.name)


def _require_absence(installation: Installation, station: str, part: str, path: Path) -> None:
    if installation.belongs_here(station):
        remedy = f"correct AOII_DATA_DIR, start the station once, or say --without {part}"
        raise UnavailableError(f"{part}: {path} does not exist, though the {station} is on this machine", remedy)


PARTS = (
    Part("settings", _settings),
    Part("keys", _keys),
    _of_station("outbox", "gateway", "outbox", lambda values: values.gateway.outbox_path),
    _of_station("dead-letters", "server", "sqlite", lambda values: values.server.dead_letter_path),
    Part("database", _database),
)
"""Everything that a backup saves, in the order in which it is saved."""
NAMES = tuple(part.name for part in PARTS)
