"""The form of a file of settings: which lines there are, and what each says, taken literally.

A line is `NAME=value`, a comment that begins with `#`, or empty. A value is everything after the first `=`, without the
blanks at both ends: quotes, `#`, `$` and backslashes are part of it, because secrets contain them. Nothing is expanded
or continued on the next line. A byte order mark at the beginning, CRLF at line ends and `export` before a name are
accepted, because editors and shells put them there and they can mean nothing else. Pure.
"""

import re
from collections.abc import Container
from typing import NamedTuple

from .faults import Fault

LINE = re.compile(r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*=(.*)", re.DOTALL)
BLANKS = " \t"
LOOKS = (
    (re.compile(r"""(["']).*\1""", re.DOTALL), "is in quotes", "remove the quotes"),
    (re.compile(r".*[ \t]#.*", re.DOTALL), "has a # after a blank", "put the comment on a line of its own"),
    (re.compile(r".*\$\{.*", re.DOTALL), "has a ${", "write out what stands for it"),
)
"""What looks as if it were not meant literally: its pattern, its description, and what to do if so."""


class Line(NamedTuple):
    """One setting in a file: its text, and the number of its line from 1."""

    text: str
    number: int


def decode(text: str, origin: str, once: Container[str]) -> tuple[dict[str, Line], list[Fault]]:
    """The settings in `text` by name, and a fault for each line that is not one or cannot be taken literally.

    Args:
        text: Content of the file.
        origin: Name of the file, for the faults.
        once: Names that may not be set twice; of another name the last line counts.
    """
    found: dict[str, Line] = {}
    faults: list[Fault] = []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        content = line.removesuffix("\r").strip(BLANKS)
        match = LINE.fullmatch(content)
        wrong = _wrong(content, match, found if match and match[1] in once else {})
        if wrong is not None:
            faults.append(Fault(origin, f"line {number}", *wrong))
        elif match is not None:
            found[match[1]] = Line(match[2].strip(BLANKS), number)
    return found, faults


def _wrong(content: str, match: re.Match[str] | None, before: dict[str, Line]) -> tuple[str, str] | None:
    """What is wrong with a line, and what to do; None if it is a setting, a comment or empty."""
    if "\r" in content or "\0" in content:  # in a comment too: to another editor, what follows is a line of its own
        what = "carriage return" if "\r" in content else "NUL"
        return f"has a {what} in it", "save the file as plain text, with one setting a line"
    if match is None:
        is_empty = not content or content.startswith("#")
        return None if is_empty else ("is not a setting", "write NAME=value, or # before a comment")
    if match[1] in before:
        return f"sets {match[1]} again, after line {before[match[1]].number}", "keep one of the two"
    return None


def look(text: str) -> tuple[str, str] | None:
    """How a value looks as if it were not meant literally, and what to do if so; None if it does not."""
    return next(((state, remedy) for pattern, state, remedy in LOOKS if pattern.fullmatch(text)), None)
