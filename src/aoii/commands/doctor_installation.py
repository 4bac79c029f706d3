"""The installation that `aoii doctor` examines: the settings of each station, and which stations are of this machine.

Stations whose settings are equal where it matters are examined once, so that an installation with one file reads as it
always did. A station that is not of this machine is left out where its settings differ from those of one that is.
"""

import contextlib
import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from aoii import settings
from aoii.commands.container import Started
from aoii.commands.findings import Finding
from aoii.settings import STATIONS, Settings
from aoii.settings.env_file import Line, decode
from aoii.settings.faults import Fault, SettingsError

SECRETS = Path("/etc/aoii/secrets")  # of which the unit of a station sees only the folder with its name
UNITS = Path("/etc/systemd/system")  # holds a link to each unit that starts with the machine


class Group(NamedTuple):
    """Stations with the same settings, as far as a check is concerned.

    Attributes:
        stations: Their names.
        values: The settings of one of them.
        here: Those of them that belong to this machine.
        is_only: Whether no other station has other settings.
    """

    stations: tuple[str, ...]
    values: Settings
    here: frozenset[str]
    is_only: bool

    @property
    def ours(self) -> tuple[str, ...]:
        """The stations that belong to this machine; all of them where nothing says which do."""
        return tuple(name for name in self.stations if name in self.here) or self.stations

    def label(self, finding: Finding) -> Finding:
        """The finding with the names of the stations, if others have other settings."""
        return finding if self.is_only else replace(finding, state=f"{', '.join(self.ours)}: {finding.state}")


@dataclass(frozen=True)
class Installation:
    """The settings of every station whose settings are right.

    Attributes:
        env_file: The file that all stations share; None: `.env`.
        settings: By station.
        own: The station in whose container this runs, whose environment has no other station's secrets; None: all are
            on this machine.
    """

    env_file: Path | None
    settings: Mapping[str, Settings]
    own: Started | None = None

    def groups(self, stations: Sequence[str], part: Callable[[Settings], object]) -> list[Group]:
        """The stations in groups whose settings have an equal `part`, without those that are not of this machine.

        Where nothing says which stations are of this machine, all are; one file may be for any of them.
        """
        by_part: dict[object, list[str]] = {}
        for name in stations:
            if name in self.settings:
                by_part.setdefault(part(self.settings[name]), []).append(name)
        here = frozenset(filter(self.belongs_here, self.settings))
        ours = [names for names in by_part.values() if here.intersection(names)]
        found = ours or ([] if any(map(self._is_set_up, self.settings)) else list(by_part.values()))
        return [
            Group(tuple(names), self.settings[names[0]], here.intersection(names), len(found) == 1) for names in found
        ]

    def belongs_here(self, name: str) -> bool:
        """Whether the station is of this machine: it was chosen for it, has left a file here, or settings suggest it.

        In a container only its own station is.
        """
        if name not in self.settings:
            return False
        if self.own is not None:
            return name == self.own.station
        return self._is_certain(name) or self._is_suggested(name)

    def is_expected(self, name: str) -> bool:
        """Whether the station should be running: it has left a file, its unit is enabled, or its settings are there.

        SERIAL_PORT alone is no reason: the moving guide has this run before the gateway's first start.
        """
        return self._has_traces(name) or _is_enabled(name) or (name != "gateway" and self._is_suggested(name))

    def suggestions(self, name: str) -> list[str]:
        """The settings that are all that speaks for a station on this machine; empty if more does, or nothing.

        They are weak evidence, because one file may be on every machine; so they count only where no station was
        chosen for this machine.
        """
        return [] if self._is_certain(name) else self._own_settings(name)

    def _is_suggested(self, name: str) -> bool:
        is_for_others = any(map(self._is_set_up, self.settings)) and not self._is_set_up(name)
        return bool(self._own_settings(name)) and not is_for_others

    def _is_certain(self, name: str) -> bool:
        return self._is_set_up(name) or self._has_traces(name)

    def _own_settings(self, name: str) -> list[str]:
        """The settings that are set and that no other station uses."""
        values = self.settings[name]
        if name == "edgelog" and not values.server.edge_log_ports:
            return []
        return sorted(one for one in values.given if _is_only_for(name, one))

    def _is_set_up(self, name: str) -> bool:
        """Whether the station was chosen for this machine: it has a file of settings, or its unit is enabled."""
        return _is_there(settings.station_file(self.env_file, name)) or _is_enabled(name)

    def _has_traces(self, name: str) -> bool:
        """Whether the station has left a file; `web` leaves none."""
        values = self.settings[name]
        traces = {
            "gateway": values.gateway.outbox_path,
            "server": values.server.dead_letter_path,
            "csv": values.server.csv_file,
            "edgelog": values.server.edge_log_csv,
        }
        path = traces.get(name)
        return path is not None and _is_there(path)


def _is_only_for(station: str, setting: str) -> bool:
    if station == "web":
        return setting == "PORT" or setting.startswith("WEB_")
    return setting == {"gateway": "SERIAL_PORT", "edgelog": "EDGE_LOG_PORT"}.get(station)


def _is_there(path: Path) -> bool:
    """Whether the file exists; False where this user may not look, of which a check has a finding."""
    with contextlib.suppress(PermissionError):
        return path.exists()
    return False


def _is_enabled(name: str) -> bool:
    return any(UNITS.glob(f"*.wants/aoii-{name}.service"))


def load(env_file: Path | None, own: Started | None = None) -> tuple[Installation, list[Finding]]:
    """The installation, and what is to be said of its settings."""
    found: dict[str, Settings] = {}
    faults: dict[Fault, list[str]] = {}
    for name in STATIONS:
        try:
            found[name] = settings.load(env_file=env_file, station=name)
        except SettingsError as error:
            for fault in error.faults:
                faults.setdefault(fault, []).append(name)
    findings = [Finding("settings", fault.problem + _readers(names), fault.remedy) for fault, names in faults.items()]
    installation = Installation(env_file, found, own)
    if found:
        findings += [*_remarks(found, env_file), *_hidden_files(installation)]
    return installation, findings


def _readers(names: Sequence[str]) -> str:
    """Which stations have a fault, if others have not."""
    return "" if len(names) == len(STATIONS) else f" (read by {', '.join(names)})"


def _remarks(found: Mapping[str, Settings], env_file: Path | None) -> Iterator[Finding]:
    """How many settings there are and where, and what the files have beside settings."""
    warnings = dict.fromkeys(warning for values in found.values() for warning in values.warnings)
    notes = dict.fromkeys(note for values in found.values() for note in values.notes)
    files = _files(env_file)
    if not warnings:
        given = frozenset[str]().union(*(values.given for values in found.values()))
        where = f" in {', '.join(map(str, files))}" if len(files) > 1 else ""
        yield Finding("settings", f"{len(given)} set{where}, the rest at their defaults")
    for warning in warnings:
        yield Finding("settings", warning.problem, warning.remedy)
    for note in notes:
        yield Finding("settings", f"{note.problem} ({note.remedy})")
    yield from files_remarks(env_file)


def _files(env_file: Path | None) -> list[Path]:
    """The files of settings that exist."""
    shared = Path(settings.ENV_FILE) if env_file is None else env_file
    return [path for path in (shared, *(settings.station_file(env_file, name) for name in STATIONS)) if path.exists()]


def files_remarks(env_file: Path | None) -> Iterator[Finding]:
    """A finding for each file with a secret that others may read, and for each that no station reads."""
    files = _files(env_file)
    for path in files:
        yield from _readable_secrets(path)
    yield from _misnamed(Path(settings.ENV_FILE) if env_file is None else env_file, files)


def _hidden_files(installation: Installation) -> Iterator[Finding]:
    """A finding for each file that a station's settings name and its unit does not see, as the doctor does."""
    shared = Path(settings.ENV_FILE) if installation.env_file is None else installation.env_file
    for name in filter(installation.belongs_here, installation.settings):
        given: dict[str, tuple[Path, str]] = {}
        for path in (shared, settings.station_file(installation.env_file, name)):
            with contextlib.suppress(OSError):
                given |= {key: (path, line.text) for key, line in _lines(path).items()}
        for key, (path, text) in given.items():
            is_needed = key in settings.BY_NAME and key != "NODE_KEYS_FILE"  # which only the gateway looks for
            if is_needed and text.startswith(f"{SECRETS}/") and not text.startswith(f"{SECRETS}/{name}/"):
                state = f"{path}: {key} names {text}, which the unit aoii-{name} does not see"
                yield Finding("settings", state, f"put a copy into {SECRETS}/{name}, and name that")


def _readable_secrets(path: Path) -> Iterator[Finding]:
    """A finding if the file holds a secret and others may read it."""
    with contextlib.suppress(OSError):
        has_secret = any(name in settings.BY_NAME and settings.BY_NAME[name].secret for name in _lines(path))
        if has_secret and path.stat().st_mode & 0o007:
            yield Finding("settings", f"{path} holds a secret, and others may read it", f"run chmod 600 {path}")


def _lines(path: Path) -> dict[str, Line]:
    """The lines of a file of settings, by name, whatever else is wrong with it; raises OSError."""
    return decode(path.read_text(encoding="utf-8", errors="replace"), str(path), ())[0]


def _misnamed(shared: Path, files: Sequence[Path]) -> Iterator[Finding]:
    """A finding for each file beside the shared one whose name is nearly that of a station's file."""
    for path in sorted(shared.parent.glob(f"{shared.name}.*")):
        near = difflib.get_close_matches(path.name.removeprefix(f"{shared.name}."), STATIONS, n=1, cutoff=0.75)
        if path not in files and near:
            yield Finding("settings", f"no station reads {path}", f"did you mean {shared.name}.{near[0]}?")
