"""Reads the files of settings and the environment into `Settings`, and collects all faults.

There are three layers, each over the one before: the file that all stations share, the file of one station beside it,
and the environment, so that a service manager can change single values.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import env_file as form
from . import kinds, unknown_keys
from .catalogue import DataFile, Declared, Group, Secret, Setting
from .faults import Fault, SettingsError
from .kinds import KindError
from .model import BY_NAME, CROSS_CHECKS, ROOT, SECRETS, Settings

ENV_FILE = ".env"
OTHER_FORM = {name: other for secret in SECRETS for name, other in (secret, secret[::-1])}
"""For each secret the setting that names a file for it, and the reverse."""
STATIONS = ("gateway", "server", "csv", "edgelog", "web", "edge")
"""The stations that may have a file of their own."""


def load(
    environ: Mapping[str, str] | None = None, env_file: Path | None = None, station: str | None = None
) -> Settings:
    """Read all settings from `.env`, the station's own file and the environment; each overrides the one before.

    Args:
        environ: Environment; None: `os.environ`.
        env_file: The file that all stations share, which must exist; None: `.env` in the working directory, if there is
            one.
        station: The station whose own file is read as well, if there is one; None: only the shared file is read.

    Raises:
        SettingsError: One or more settings are wrong, or a file cannot be read. It lists all faults with their
            remedies.
    """
    return read(texts(env_file, station), os.environ if environ is None else environ)


def texts(env_file: Path | None, station: str | None) -> dict[str, str]:
    """The text of each file that `load` would read, by its path, in the order in which they are read.

    Raises:
        SettingsError: A file cannot be read.
    """
    files = [Path(ENV_FILE) if env_file is None else env_file]
    if station is not None:
        files.append(station_file(env_file, station))
    return {str(path): _read(path, must_exist=path is env_file) for path in files}


def read(files: Mapping[str, str], environ: Mapping[str, str]) -> Settings:
    """The settings in the texts of files, by their paths, and in the environment; each overrides the one before.

    Raises:
        SettingsError: One or more settings are wrong. It lists all faults with their remedies.
    """
    given = _given(files, environ)
    given.check_rules()
    parts = given.parts(ROOT)
    if given.bad_lines or given.faults:
        order = {name: place for place, name in enumerate(BY_NAME)}
        faults = sorted(given.faults, key=lambda fault: order[fault.name])
        raise SettingsError([*given.bad_lines, *faults, *given.warnings])
    return Settings(**parts, given=frozenset(given.values), warnings=tuple(given.warnings), notes=tuple(given.notes))


def in_force(files: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """The text of each setting that is set, right or wrong, and where: the path of a file, or `environment`."""
    return dict(_given(files, environ).values)


def _given(files: Mapping[str, str], environ: Mapping[str, str]) -> "_Given":
    given = _Given()
    for path, text in files.items():
        given.add_file(text, path)
    given.add_layer(environ, "environment")
    return given


def station_file(env_file: Path | None, station: str) -> Path:
    """The file with what only one station needs, beside the shared file: `.env.gateway` beside `.env`."""
    shared = Path(ENV_FILE) if env_file is None else env_file
    return shared.with_name(f"{shared.name}.{station}")


class _Given:
    """Every setting that is set, by name, with its origin; and the faults found so far."""

    def __init__(self) -> None:
        self.values: dict[str, tuple[str, str]] = {}
        self.faults: list[Fault] = []
        self.bad_lines: list[Fault] = []
        self.warnings: list[Fault] = []
        self.notes: list[Fault] = []
        self._read: dict[str, Any] = {}  # values by name, so that a fault of a setting is added once

    def add_file(self, text: str, origin: str) -> None:
        """Add what a file says, and what is wrong with its lines, values and keys."""
        lines, bad_lines = form.decode(text, origin, BY_NAME)
        self.bad_lines += bad_lines
        self.add_layer({name: line.text for name, line in lines.items()}, origin)
        for name, line in lines.items():
            if name in BY_NAME:
                self._look_at(BY_NAME[name], line, origin)
            elif (advice := unknown_keys.remedy(name, BY_NAME)) is not None:
                remedy, is_meant = advice
                fault = Fault(origin, name, "is not a setting and is ignored", remedy)
                (self.warnings if is_meant else self.notes).append(fault)

    def _look_at(self, declared: Setting, line: form.Line, origin: str) -> None:
        """Note or refuse a value that looks as if it were not meant literally.

        Up to version 0.2 quotes and comments were removed from values and ${NAME} was replaced. Taken literally, a path
        would then be another file.
        """
        if (looks := form.look(line.text)) is None:
            return
        state, remedy = looks
        if declared.secret or declared.kind in kinds.FREE_TEXT:
            as_is = f"{state}, which is taken as part of it"
            self.notes.append(Fault(origin, declared.name, as_is, f"{remedy} if it is not"))
        else:
            self._read[declared.name] = declared.unset
            fault = Fault(origin, declared.name, f"in line {line.number} {state}", f"{remedy}: values are literal")
            self.faults.append(fault)

    def add_layer(self, texts: Mapping[str, str], origin: str) -> None:
        """Add what is set in one place, over all that was added before.

        A secret that is set here replaces the file for it that was named before, and the reverse. An empty one does
        not.
        """
        layer = {name: (texts[name], origin) for name in BY_NAME if name in texts}
        replaced = {OTHER_FORM.get(name) for name, (text, _) in layer.items() if text}
        kept = {name: value for name, value in self.values.items() if name not in replaced}
        self.values = kept | layer

    def text(self, name: str) -> str:
        """The text of a setting; empty if it is not set."""
        return self.values.get(name, ("", ""))[0]

    def add_fault(self, name: str, remedy: str, cause: str = "") -> None:
        """Add a fault of the setting `name`, whose value is wrong."""
        text, origin = self.values[name]
        shown = "set" if BY_NAME[name].secret else f'"{text}"'
        self.faults.append(Fault(origin, name, f"is {shown}, {cause}" if cause else f"is {shown}", remedy))

    def check_rules(self) -> None:
        """Add a fault for each setting that is set without the one that it needs."""
        for rule in CROSS_CHECKS:
            is_set = rule.name in self.values if rule.even_empty else self.text(rule.name)
            if is_set and not self.text(rule.other):
                self.add_fault(rule.name, rule.remedy.format(other=rule.other))

    def parts(self, group: Group) -> dict[str, Any]:
        """The arguments for `group.build`, by name."""
        return {name: self._value(part) for name, part in group.parts.items()}

    def _value(self, declared: Declared) -> Any:
        match declared:
            case Group():
                return declared.build(**self.parts(declared))
            case Setting():
                return self._setting(declared)
            case Secret(direct, file):
                if self.text(direct.name) and self.text(file.name):
                    self.add_fault(file.name, "keep one of the two", f"and {direct.name} is set as well")
                own, from_file = self._setting(direct), self._setting(file)
                return from_file if self.text(file.name) else own
            case DataFile(below, place):
                elsewhere = None if place is None else self._setting(place)
                return elsewhere or self._setting(BY_NAME["AOII_DATA_DIR"]) / below

    def _setting(self, declared: Setting) -> Any:
        """The value of a setting; `declared.unset` if it is not set or wrong."""
        is_set = declared.name in self.values and (declared.default is not None or self.text(declared.name))
        if is_set and declared.name not in self._read:
            try:
                self._read[declared.name] = declared.kind(self.text(declared.name))
            except KindError as wrong:
                self._read[declared.name] = declared.unset
                self.add_fault(declared.name, wrong.remedy.replace("{example}", declared.example), wrong.cause)
        return self._read.get(declared.name, declared.unset)


def _read(path: Path, *, must_exist: bool) -> str:
    """The text of the file; empty if there is none and there need not be one."""
    try:
        return path.read_bytes().decode()  # `read_text` would make a line of what follows a carriage return
    except FileNotFoundError:
        if must_exist:
            raise SettingsError([Fault(str(path), "", "no such file", "give the path of an .env file")]) from None
        return ""
    except (OSError, UnicodeDecodeError) as error:
        remedy = "make it a UTF-8 text file that this user can read"
        raise SettingsError([Fault(str(path), "", f"cannot be read ({error})", remedy)]) from error
