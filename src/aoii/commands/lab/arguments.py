"""What the commands of `aoii lab` share: argument types, policies, recordings, tables, and files to write."""

import argparse
import contextlib
import gzip
import io
import re
import sys
import zoneinfo
from collections.abc import Iterator, Sequence
from datetime import timedelta, timezone, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

from aoii.commands.arguments import number, whole
from aoii.core.errors import InputError
from aoii.lab import POLICY_NAMES

if TYPE_CHECKING:
    from rich.table import Table

    from aoii.simulation.recordings import Series

OLD_NAMES = {"plan": "trend"}  # accepted until 0.3
POSITIVE = number(1e-9, 1e9)  # an argument type: a number above 0, up to 1e9

OFFSET = re.compile(r"(?:UTC)?([+-])(\d{1,2})(?::(\d\d))?", re.ASCII)  # of a time zone


def threshold(text: str) -> int:
    """An argument type: a threshold from 0.01 to 655.35, as whole hundredths."""
    return round(100 * number(0.01, 655.35)(text))


def zone(text: str) -> tzinfo:
    """An argument type: a time zone by its name, or its distance from UTC."""
    if found := OFFSET.fullmatch(text):
        hours, minutes = int(found[2]), int(found[3] or 0)
        if hours <= 14 and minutes < 60:  # Kiribati is at +14
            distance = timedelta(hours=hours, minutes=minutes)
            return timezone(distance if found[1] == "+" else -distance)
    try:
        return zoneinfo.ZoneInfo(text)
    except (OSError, ValueError, zoneinfo.ZoneInfoNotFoundError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a zone such as Europe/Berlin or UTC-8") from None


def add_thresholds(parser: argparse.ArgumentParser) -> None:
    """Add `--beta-temp` and `--beta-hum`, in hundredths."""
    parser.add_argument("--beta-temp", type=threshold, default=50, metavar="C", help="threshold, °C (default: 0.5)")
    parser.add_argument("--beta-hum", type=threshold, default=300, metavar="RH", help="threshold, %%RH (default: 3)")


def add_seed(parser: argparse.ArgumentParser) -> None:
    """Add `--seed`."""
    text = "seed of the losses (default: %(default)s)"
    parser.add_argument("--seed", type=whole(0, 2**31 - 1), default=1, metavar="N", help=text)


def choose_policies(names: Sequence[str]) -> tuple[str, ...]:
    """The policies that were asked for; old names are replaced, with a line on standard error.

    Raises:
        InputError: There is no such policy.
    """
    for name in OLD_NAMES.keys() & set(names):
        print(f"aoii lab: the policy {name} is now called {OLD_NAMES[name]}; use the new name", file=sys.stderr)
    chosen = tuple(OLD_NAMES.get(name, name) for name in names)
    if "all" in chosen:
        return POLICY_NAMES
    unknown = [name for name in chosen if name not in POLICY_NAMES]
    if unknown:
        raise InputError(f"there is no policy {', '.join(unknown)}", f"use all, or some of {', '.join(POLICY_NAMES)}")
    return chosen


def parse_recordings(paths: Sequence[Path] | None) -> "list[tuple[str, list[Series]]]":
    """Name and series of each recording; of the shipped day by default."""
    from aoii.simulation import recordings

    return [(str(path), recordings.parse(path, say)) for path in paths or (recordings.SHIPPED,)]


def say(note: str) -> None:
    """Print what the user should know, apart from the results, on standard error."""
    print(f"aoii lab: {note}", file=sys.stderr)


def print_table(table: "Table") -> None:
    """Print a table; 160 columns wide where the output is not a terminal."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=160)  # a file or a pipe has no width of its own
    console.print(table)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """A context in which the file or folder `path` is written; the folder around it is made first.

    Raises:
        InputError: The file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})", "give another place") from error


@contextlib.contextmanager
def writing_table(path: Path) -> Iterator[io.TextIOWrapper]:
    """A context with a CSV file to write, packed if its name ends in .gz; the same rows give the same bytes.

    Raises:
        InputError: The file cannot be written.
    """
    with contextlib.ExitStack() as opened, writing(path):
        raw = opened.enter_context(path.open("wb"))
        is_packed = path.suffix.casefold() == ".gz"
        below = opened.enter_context(gzip.GzipFile("", "wb", fileobj=raw, mtime=0)) if is_packed else raw
        yield opened.enter_context(io.TextIOWrapper(below, encoding="utf-8", newline=""))


def check_writable(*paths: Path | None) -> None:
    """Make each file that is named, empty if it is new; raises InputError now, not after minutes of work."""
    for path in paths:
        if path is not None:
            with writing(path):
                path.open("a").close()


def write_text(path: Path, text: str) -> None:
    """Write a file, and make its folder if it is missing; raises InputError when that fails."""
    with writing(path):
        path.write_text(text, encoding="utf-8")
