"""Reads the files of settings and the environment into `Settings`, and collects all faults.

There are three layers, each over the one before: the file that all stations share, the file of one station beside it,
and the environment, so that a service manager can change single values.
"""

import difflib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from dotenv.parser import parse_stream

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
    files = [Path(ENV_FILE) if env_file is None else env_file]
    if station is not None:
        files.append(station_file(env_file, station))
    given, bad_lines, warnings = _Given(), list[Fault](), list[Fault]()
    for path in files:
        in_file, bad = _read_file(path, must_exist=path is env_file)
        given.add_layer(in_file, str(path))
        bad_lines += bad
        warnings += _misspelt(in_file, str(path))
    given.add_layer(os.environ if environ is None else environ, "environment")
    given.check_rules()
    parts = given.parts(ROOT)
    if bad_lines or given.faults:
        order = {name: place for place, name in enumerate(BY_NAME)}
        raise SettingsError([*bad_lines, *sorted(given.faults, key=lambda fault: order[fault.name]), *warnings])
    return Settings(**parts, given=frozenset(given.values), warnings=tuple(warnings))


def station_file(env_file: Path | None, station: str) -> Path:
    """The file with what only one station needs, beside the shared file: `.env.gateway` beside `.env`."""
    shared = Path(ENV_FILE) if env_file is None else env_file
    return shared.with_name(f"{shared.name}.{station}")


class _Given:
    """Every setting that is set, by name, with its origin; and the faults found so far."""

    def __init__(self) -> None:
        self.values: dict[str, tuple[str, str]] = {}
        self.faults: list[Fault] = []
        self._read: dict[str, Any] = {}  # values by name, so that a fault of a setting is added once

    def add_layer(self, texts: Mapping[str, str], origin: str) -> None:
        """Add what is set in one place, over all that was added before.

        A secret that is set here replaces the file for it that was named before, and the reverse.
        """
        layer = {name: (texts[name], origin) for name in BY_NAME if name in texts}
        kept = {name: value for name, value in self.values.items() if OTHER_FORM.get(name) not in layer}
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


def _read_file(path: Path, *, must_exist: bool) -> tuple[dict[str, str], list[Fault]]:
    """The settings in the file, and a fault for each line that is not one."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if must_exist:
            raise SettingsError([Fault(str(path), "", "no such file", "give the path of an .env file")]) from None
        return {}, []
    except (OSError, UnicodeDecodeError) as error:
        remedy = "make it a UTF-8 text file that this user can read"
        raise SettingsError([Fault(str(path), "", f"cannot be read ({error})", remedy)]) from error
    faults, good = [], io.StringIO()  # `good` lacks the bad lines: the library would log its own warnings of them
    for binding in parse_stream(io.StringIO(text)):
        original = binding.original.string
        if binding.error or (binding.key is not None and binding.value is None):
            line = binding.original.line + len(original) - len(original.lstrip("\n"))
            remedy = "write NAME=value, or # before a comment"
            faults.append(Fault(str(path), f"line {line}", "is not a setting", remedy))
        else:
            good.write(original)
    good.seek(0)
    return {name: value for name, value in dotenv_values(stream=good).items() if value is not None}, faults


def _misspelt(in_file: Mapping[str, str], origin: str) -> tuple[Fault, ...]:
    """A warning for each key that is not a setting but looks like one."""
    return tuple(
        Fault(origin, name, "is not a setting and is ignored", f"did you mean {near}?")
        for name in in_file
        if name not in BY_NAME
        for near in difflib.get_close_matches(name, list(BY_NAME), n=1, cutoff=0.85)
    )
