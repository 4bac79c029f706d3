"""Reads `.env` and the environment into `Settings`, and collects all faults.

The environment overrides the file, so that a service manager can change single values.
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
from .model import BY_NAME, CROSS_CHECKS, ROOT, Settings

ENV_FILE = ".env"


def load(environ: Mapping[str, str] | None = None, env_file: Path | None = None) -> Settings:
    """Read all settings from `.env` and the environment, which overrides it.

    Args:
        environ: Environment; None: `os.environ`.
        env_file: File, which must exist; None: `.env` in the working directory, if there is one.

    Raises:
        SettingsError: One or more settings are wrong, or the file cannot be read. It lists all faults with their
            remedies.
    """
    environ = os.environ if environ is None else environ
    path = Path(ENV_FILE) if env_file is None else env_file
    if env_file is not None and not path.is_file():
        raise SettingsError([Fault(str(path), "", "no such file", "give the path of an .env file")])
    in_file, bad_lines = _read_file(path)
    given = _Given({name: (in_file[name], str(path)) for name in BY_NAME if name in in_file})
    given.values |= {name: (environ[name], "environment") for name in BY_NAME if name in environ}
    given.check_rules()
    parts = given.parts(ROOT)
    warnings = _misspelt(in_file, str(path))
    if bad_lines or given.faults:
        order = {name: place for place, name in enumerate(BY_NAME)}
        raise SettingsError([*bad_lines, *sorted(given.faults, key=lambda fault: order[fault.name]), *warnings])
    return Settings(**parts, given=frozenset(given.values), warnings=warnings)


class _Given:
    """Every setting that is set, by name, with its origin; and the faults found so far."""

    def __init__(self, values: dict[str, tuple[str, str]]) -> None:
        self.values = values
        self.faults: list[Fault] = []
        self._read: dict[str, Any] = {}  # values by name, so that a fault of a setting is added once

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


def _read_file(path: Path) -> tuple[dict[str, str], list[Fault]]:
    """The settings in the file, and a fault for each line that is not one."""
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
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
