"""Runs `aoii setup`: what is there, the answers, the test, the diff, and the writing, in this order."""

import argparse
import json
import logging
import os
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aoii import settings
from aoii.commands import config_actions, doctor_ports, file_changes
from aoii.commands.file_changes import FileChange
from aoii.commands.setup import answers as answering
from aoii.commands.setup import checks, dialogue, system
from aoii.commands.setup.draft import SECRETS, Draft, drafted
from aoii.commands.setup.questions import GENERATE, ROLES, Present, stations_of
from aoii.commands.setup.texts import Texts
from aoii.core.errors import InputError, UnavailableError
from aoii.settings import BY_NAME, STATIONS, Settings, env_file, kinds, reader
from aoii.settings.faults import SettingsError
from aoii.settings.kinds import KindError

UNITS_FILE = Path("/etc/aoii/aoii.env")
TOKEN_BYTES = 16
INTERRUPTED = 130  # exit code after Ctrl-C


@dataclass(frozen=True)
class Place:
    """Where the settings go.

    Attributes:
        env: The file that all stations share.
        root: The folder that stands for /.
        is_system: Whether user, folders and units are installed too.
    """

    env: Path
    root: Path
    is_system: bool

    def file(self, station: str | None) -> Path:
        """The file of a station; of None, the one that all share."""
        return self.env if station is None else settings.station_file(self.env, station)


def run(options: argparse.Namespace) -> int:
    """Set this machine up; the exit code.

    Raises:
        InputError: There is nothing to ask on, or a file of answers cannot be used.
        SettingsError: A file of settings cannot be read.
        UnavailableError: A file cannot be written.
    """
    logging.getLogger().addHandler(logging.NullHandler())  # the test says what the MQTT client would log
    if not (options.yes or dialogue.is_possible()):
        raise InputError(Texts(_language()).said("no_terminal"))
    try:
        return _run(options)
    except (EOFError, KeyboardInterrupt):
        print(f"\n{Texts(_language()).said('stopped')}")
        return 1


def _run(options: argparse.Namespace) -> int:
    given = _given(options.answers) if options.answers else ({}, [])
    language = given[0].get("language", "")
    if not options.yes:
        language = dialogue.ask_language(language or _language())
        if not (options.system or options.env_file) and system.is_root() and system.is_there():
            said = Texts(language)
            options.system = dialogue.choose(said, said.said("system"), ("yes", "no")) == "yes"
    place = _place(options)
    texts = {one: _text(place.file(one)) for one in (None, *STATIONS) if place.file(one).exists()}
    present = _present(place, texts)
    answers, faults = answering.collected(given[0], present)
    if given[1] or (options.yes and faults):
        _print_faults([*given[1], *faults], Texts(answers["language"]))
        return 2
    if options.yes:
        return _finish(options, place, present, texts, answers)
    return _converse(options, place, present, texts, dialogue.ask_all(present, given[0], language))


def _place(options: argparse.Namespace) -> Place:
    root = options.root or Path("/")
    if options.root and not options.system:
        raise InputError(Texts(_language()).said("root_alone"))
    if options.system and not options.root and not system.is_root():
        raise InputError(Texts(_language()).said("needs_root"))
    if options.system and system.is_hidden():
        raise InputError(Texts(_language()).said("home", path=system.program()))
    if options.system:
        return Place(options.env_file or root / UNITS_FILE.relative_to("/"), root, is_system=True)
    return Place(options.env_file or Path(settings.ENV_FILE), root, is_system=False)


def _text(path: Path) -> str:
    return reader.texts(path, None)[str(path)]


def _present(place: Place, texts: Mapping[str | None, str]) -> Present:
    """What is set now, the secrets in files too."""
    values: dict[str | None, dict[str, str]] = {}
    for station, text in texts.items():
        lines, _ = env_file.decode(text, "", ())
        values[station] = {name: line.text for name, line in lines.items() if name in BY_NAME}
        for name in [name for name in BY_NAME if BY_NAME[name].secret and f"{name}_FILE" in values[station]]:
            path = Path(values[station][f"{name}_FILE"])
            inside = place.root / path.relative_to("/") if path.is_absolute() else path
            values[station].setdefault(name, _secret_in(inside))
    stations = [one for one in texts if one in ROLES]
    return Present(values, stations, doctor_ports.present(), _language())


def _language() -> str:
    """The language of whoever runs this, by the variables of gettext; the locale itself need not be installed."""
    word = next((os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), "")
    return "ko" if word.startswith("ko") else "en"


def _secret_in(path: Path) -> str:
    try:
        return kinds.first_line(str)(str(path))
    except KindError:
        return ""


def _given(path: Path) -> tuple[dict[str, str], list[answering.Wrong]]:
    """The answers in a file, and the faults of its form.

    Raises:
        InputError: It cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
        tree = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(Texts(_language()).said("unreadable", path=path, about=error)) from error
    except ValueError as error:  # of both forms
        raise InputError(Texts(_language()).said("form", path=path, about=error)) from error
    if not isinstance(tree, dict):
        raise InputError(Texts(_language()).said("form", path=path, about=type(tree).__name__))
    return answering.flattened(tree, kinds.first_line(str))


def _print_faults(faults: list[answering.Wrong], texts: Texts) -> None:
    for fault in dict.fromkeys(faults):
        print(f"{fault.key}: {texts.wrong(fault)}")


def _converse(
    options: argparse.Namespace,
    place: Place,
    present: Present,
    texts: Mapping[str | None, str],
    answers: dict[str, str],
) -> int:
    """Test and write, until all works or the person decides otherwise."""
    while True:
        said = Texts(answers["language"])
        draft = _draft(answers, place, present, texts)
        stations = _loaded(draft, place, answers, said)
        if stations is None:
            return 2
        if not options.no_test and not _test(stations, place, said):
            choice = dialogue.choose(said, said.said("failed"), ("again", "change", "write", "stop"))
            if choice == "change":
                answers = dialogue.ask_all(present, answers, answers["language"])
            if choice in ("again", "change"):
                continue
            if choice == "stop":
                print(said.said("stopped"))
                return 1
        changes = _changes(draft, place)
        if not _show(changes, said) or options.dry_run:
            return 0
        if dialogue.choose(said, said.said("confirm"), ("yes", "no")) == "no":
            print(said.said("stopped"))
            return 1
        _write(changes, place, answers, said)
        return 0


def _finish(
    options: argparse.Namespace,
    place: Place,
    present: Present,
    texts: Mapping[str | None, str],
    answers: dict[str, str],
) -> int:
    """Test and write without asking."""
    said = Texts(answers["language"])
    draft = _draft(answers, place, present, texts)
    stations = _loaded(draft, place, answers, said)
    if stations is None:
        return 2
    if not (options.no_test or options.dry_run) and not _test(stations, place, said):
        print(said.said("untested"))
        return 1
    changes = _changes(draft, place)
    if _show(changes, said) and not options.dry_run:
        _write(changes, place, answers, said)
    return 0


def _draft(answers: dict[str, str], place: Place, present: Present, texts: Mapping[str | None, str]) -> Draft:
    if answers.get("web.token") == GENERATE:
        answers["web.token"] = present.value("WEB_TOKEN", "web") or secrets.token_hex(TOKEN_BYTES)
    return drafted(answers, present, texts, is_system=place.is_system)


def _loaded(draft: Draft, place: Place, answers: Mapping[str, str], said: Texts) -> dict[str, Settings] | None:
    """The settings of the stations of this machine; None if they would be wrong, which is printed."""
    found: dict[str, Settings] = {}
    faults: dict[str, str] = {}
    for station in stations_of(answers["role"]):
        files = {str(place.file(one)): draft.direct[one] for one in (None, station)}
        try:
            found[station] = reader.read(files, {})
        except SettingsError as error:
            faults |= {config_actions.where(fault, files): fault.remedy for fault in error.faults}
    if not faults:
        return found
    print(said.said("files_wrong"))
    for problem, remedy in faults.items():
        print(f"  {problem}\n      -> {remedy}")
    return None


def _test(stations: Mapping[str, Settings], place: Place, said: Texts) -> bool:
    print(f"\n{said.said('testing')}", flush=True)
    is_well = True
    for station, finding in checks.examine(stations, has_units=place.is_system):
        print(said.finding(station, finding), flush=True)
        is_well = is_well and finding.remedy is None
    return is_well


def _changes(draft: Draft, place: Place) -> list[FileChange]:
    """Every file that becomes another."""
    shared, private = (("root", system.USER), (system.USER, system.USER)) if _has_user(place) else (None, None)
    mode = 0o640 if place.is_system else 0o600
    found: list[FileChange] = []
    for (station, name), content in draft.secrets.items():
        path = place.root / SECRETS.lstrip("/") / station / name
        before = path.read_text(encoding="utf-8") if path.exists() else None
        found.append(FileChange(path, before, content, 0o600, private, is_secret=True))
    for one, text in draft.files.items():
        path = place.file(one)
        found.append(FileChange(path, _text(path) if path.exists() else None, text, mode, shared))
    if place.is_system:
        found += system.unit_changes(place.root)
    return [change for change in found if change.is_change]


def _has_user(place: Place) -> bool:
    return place.is_system and place.root == Path("/")


def _show(changes: list[FileChange], said: Texts) -> bool:
    """Print what would change; whether anything does."""
    if not changes:
        print(f"\n{said.said('nothing')}")
        return False
    print(f"\n{said.said('will')}")
    for change in changes:
        print("\n".join(file_changes.diff(change)))
    return True


def _write(changes: list[FileChange], place: Place, answers: Mapping[str, str], said: Texts) -> None:
    stations = stations_of(answers["role"])
    print()
    if place.is_system:
        _write_all([change for change in changes if "sysusers.d" in change.path.parts], said)
        if _has_user(place):
            system.make_user()
        system.make_folders(place.root, stations)
    _write_all([change for change in changes if "sysusers.d" not in change.path.parts], said)
    if "web.token" in answers:
        token = place.root / SECRETS.lstrip("/") / "web" / "web_token" if place.is_system else place.file("web")
        print(said.said("token", path=token))
    if place.is_system:
        if _has_user(place):
            system.reload()
        print(said.said("next_system", commands=system.start_commands(stations)))
    else:
        option = "" if place.env == Path(settings.ENV_FILE) else f"--env-file {place.env} "
        print(said.said("next", commands=", ".join(f"aoii {option}{station}" for station in stations)))


def _write_all(changes: list[FileChange], said: Texts) -> None:
    for change in changes:
        try:
            copy = file_changes.write(change)
        except UnavailableError as error:
            raise UnavailableError(said.said("unwritable", path=change.path, about=error.__cause__)) from error
        except KeyboardInterrupt:
            raise SystemExit(INTERRUPTED) from None  # each file is whole, and a second run writes the rest
        print(
            said.said("written", path=change.path) if copy is None else said.said("kept", path=change.path, copy=copy)
        )
