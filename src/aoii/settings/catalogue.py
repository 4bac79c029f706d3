"""How a setting is declared: once, as a field of the frozen value that it becomes part of.

`setting`, `secret`, `in_data_dir` and `group` make the fields of a dataclass. All declarations together are the
catalogue: the reader, `.env.example` and the reference page follow from it. The default of a field is the documented
default of its setting, so a dataclass made without arguments equals an empty `.env`. Nothing here reads a file.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, overload

from .kinds import Kind, first_line, path

T = TypeVar("T")

DECLARED = "aoii.settings"  # key in the metadata of a field
DATA_DIR = "data"


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        name: Name in `.env`.
        default: Default, as text in `.env`; None: it has none.
        help: What it means, for the reference page and `.env.example`.
        kind: Turns its text into its value.
        unset: Its value while it is not set: that of the default, if it has one.
        secret: Whether its value must never be shown.
        example: Value that a remedy suggests.
        below: For the path of a file: where the file is under the data folder while this is not set; empty otherwise.
    """

    name: str
    default: str | None
    help: str
    kind: Kind[Any]
    unset: Any
    secret: bool = False
    example: str = ""
    below: str = ""


@dataclass(frozen=True)
class Secret:
    """A secret, set as `direct` or in the first line of the file that `file` names."""

    direct: Setting
    file: Setting


@dataclass(frozen=True)
class DataFile:
    """A file under the data folder, or at the path that `setting` gives."""

    below: str
    setting: Setting | None


@dataclass(frozen=True)
class Group:
    """A value that `build` makes from `parts`, the declarations of its arguments; a `title` begins a section."""

    build: Callable[..., Any]
    parts: Mapping[str, "Declared"]
    title: str | None = None


Declared = Setting | Secret | DataFile | Group


# To a type checker, these functions return the value that the field will have.


@overload
def setting(name: str, default: str, kind: Kind[T], meaning: str, *, example: str = ...) -> T: ...
@overload
def setting(name: str, default: None, kind: Kind[T], meaning: str, *, unset: T, example: str = ...) -> T: ...
@overload
def setting(name: str, default: None, kind: Kind[T], meaning: str, *, example: str = ...) -> T | None: ...
def setting(
    name: str, default: str | None, kind: Kind[Any], meaning: str, *, unset: Any = None, example: str = ""
) -> Any:
    """Declare one setting.

    Args:
        name: Name in `.env`.
        default: Default, as text in `.env`; None: it has none, and then an empty value counts as not set.
        kind: Turns its text into its value.
        meaning: What it means, for the reference page and `.env.example`.
        unset: Its value while it is not set, if it has no default.
        example: Value that a remedy suggests; if empty, the default.
    """
    value = unset if default is None else kind(default)
    return _field(Setting(name, default, meaning, kind, value, example=example or default or ""), value)


@overload
def secret(name: str, default: str, meaning: str, kind: Kind[str] = ...) -> str: ...
@overload
def secret(name: str, default: None, meaning: str, kind: Kind[str] = ...) -> str | None: ...
def secret(name: str, default: str | None, meaning: str, kind: Kind[str] = str) -> Any:
    """Declare a secret: the setting `name`, and `name`_FILE for a file that holds it."""
    file_meaning = f"File that holds {name} instead, readable by owner and group only."
    direct = Setting(name, default, meaning, kind, default, secret=True)
    file = Setting(f"{name}_FILE", None, file_meaning, first_line(kind), default)
    return _field(Secret(direct, file), default, shown=False)


def in_data_dir(below: str, name: str | None = None, meaning: str = "") -> Path:
    """Declare a file under AOII_DATA_DIR. With a `name`, there is a setting of that name for another path."""
    declared = None if name is None else Setting(name, None, meaning, path, None, below=below)
    return _field(DataFile(below, declared), Path(DATA_DIR, below))  # type: ignore[no-any-return]


def group(build: Callable[..., T], *, title: str | None = None, **parts: Any) -> T:
    """Declare a value that is made from several settings.

    Args:
        build: A dataclass whose fields are declared; with `parts`, any function.
        title: Title of the section that it begins on the reference page; None: it stays in the one before.
        parts: Declarations of its arguments, for a `build` that declares none itself.
    """
    declared = {name: made.metadata[DECLARED] for name, made in parts.items()} or declarations(build)
    value = build(**{name: made.default for name, made in parts.items()})
    return _field(Group(build, declared, title), value)  # type: ignore[no-any-return]


def declarations(of: Any) -> dict[str, Declared]:
    """The declarations of a dataclass by field. Fields without one are left out."""
    return {one.name: one.metadata[DECLARED] for one in fields(of) if DECLARED in one.metadata}


def sections(root: Group) -> dict[str, list[Setting]]:
    """All settings by the title of their section, in the order of declaration."""
    found: dict[str, list[Setting]] = {}
    for title, one in _walk(root, root.title or ""):
        found.setdefault(title, []).append(one)
    return found


def _walk(declared: Declared, title: str) -> Iterator[tuple[str, Setting]]:
    match declared:
        case Setting():
            yield title, declared
        case Secret(direct, file):
            yield from ((title, direct), (title, file))
        case DataFile(_, place):
            if place is not None:
                yield title, place
        case Group(_, parts, own):
            for part in parts.values():
                yield from _walk(part, own or title)


def _field(declared: Declared, value: Any, *, shown: bool = True) -> Any:
    return field(default=value, repr=shown, metadata={DECLARED: declared})
