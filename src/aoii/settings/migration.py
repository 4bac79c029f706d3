"""Brings a file of settings of the older installation, or of an earlier version, to today's form. Pure.

What is migrated: keys that have another name now, keys that nothing reads any more, MYSQL_* without MYSQL_HOST (which
had a default in the older installation), and quotes and comments around paths, numbers and words (which version 0.1 and
0.2 removed). A line that is taken out becomes a comment. What cannot be decided here is said, and left.
"""

from collections.abc import Iterator
from typing import NamedTuple

from . import env_file, kinds
from .env_edit import name_of
from .model import BY_NAME
from .unknown_keys import REMOVED, RENAMED

NEWLINE = "\n"
OLDER_HOST = "127.0.0.1"  # of MYSQL_HOST in the older installation


class Migrated(NamedTuple):
    """A file of settings, migrated.

    Attributes:
        text: Its content.
        done: What was changed, a sentence each.
        left: What a person has to decide, a sentence each.
    """

    text: str
    done: list[str]
    left: list[str]


def migrated(text: str, *, beside: frozenset[str] = frozenset()) -> Migrated:
    """The file in today's form.

    Args:
        text: Content of the file.
        beside: Names that the file which is read before this one sets: MYSQL_HOST may be there.
    """
    done: list[str] = []
    left: list[str] = []
    lines = list(_lines(text, done, left))
    names = {name_of(line) for line in lines} - {None}
    needs_host = any(name and name.startswith("MYSQL_") and name in BY_NAME for name in names)
    if needs_host and "MYSQL_HOST" not in names | beside:
        place = next(at for at, line in enumerate(lines) if (name_of(line) or "").startswith("MYSQL_"))
        lines.insert(place, f"MYSQL_HOST={OLDER_HOST}{_end(lines[place])}")
        done.append(f"MYSQL_HOST={OLDER_HOST} is added, which was its default: without it rows would go to SQLite")
    return Migrated("".join(lines), done, left)


def _lines(text: str, done: list[str], left: list[str]) -> Iterator[str]:
    known = {name_of(line) for line in text.split("\n")}
    lines = text.split("\n")
    for number, content in enumerate(lines, 1):
        line = content if number == len(lines) else f"{content}\n"
        name = name_of(line)
        if name in RENAMED and RENAMED[name] in known:
            yield _comment(line)
            done.append(f"line {number}: {name} is taken out, because {RENAMED[name]} is set as well")
        elif name in RENAMED:
            yield from _unquoted(line.replace(name, RENAMED[name], 1), number, done, left)
            done.append(f"line {number}: {name} is {RENAMED[name]} now")
        elif name in BY_NAME and name in map(name_of, lines[number:]):
            yield _comment(line)
            done.append(f"line {number}: {name} is taken out, because it is set again below, which was what counted")
        elif name in REMOVED:
            yield _comment(line)
            done.append(f"line {number}: {name} is taken out: {REMOVED[name]}")
        else:
            yield from _unquoted(line, number, done, left)


def _unquoted(line: str, number: int, done: list[str], left: list[str]) -> Iterator[str]:
    """The line without quotes and comment around a value that may not have them; the comment before it."""
    name = name_of(line) or ""
    end = _end(line)
    before, _, rest = line.partition("=")
    value = rest.strip(" \t\r\n")
    looks = env_file.look(value) if name in BY_NAME else None
    if looks is None:
        yield line
    elif "${" in value:
        yield line
        left.append(f"line {number}: {name} has a ${{; write out what stands for it")
    elif BY_NAME[name].secret or BY_NAME[name].kind in kinds.FREE_TEXT:
        yield line
        left.append(
            f"line {number}: {name} {looks[0]}, which is taken as part of it now, as in the older installation; "
            f"versions 0.1 and 0.2 removed it: {looks[1]} if it is not meant"
        )
    else:
        bare, comment = _split(value)
        if comment:
            yield f"# {comment}{end or NEWLINE}"
        yield f"{before}={bare}{end}"
        done.append(f"line {number}: {name}: quotes or comment around the value are removed")


def _split(value: str) -> tuple[str, str]:
    """The bare value, and the comment behind it."""
    if value[:1] in ('"', "'") and value.find(value[0], 1) > 0:
        closing = value.find(value[0], 1)
        bare, rest = value[1:closing], value[closing + 1 :]
    else:
        cut = min(at for at in (value.find(" #"), value.find("\t#"), len(value)) if at >= 0)
        bare, rest = value[:cut], value[cut:]
    return bare.strip(), rest.strip().lstrip("#").strip()


def _comment(line: str) -> str:
    return f"# {line.lstrip()}"


def _end(line: str) -> str:
    return line[len(line.rstrip("\r\n")) :]
