"""What commands share: argument types, deprecated names, and how a command gets its settings and log."""

import argparse
import contextlib
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias, TypeVar

from aoii import settings
from aoii.runtime import logs, numerals

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
T = TypeVar("T", int, float)


def number(low: float, high: float) -> Callable[[str], float]:
    """An argument type: a number from `low` to `high`."""
    return _within(numerals.decimal, low, high, f"a number from {low:g} to {high:g}")


def whole(low: int, high: int) -> Callable[[str], int]:
    """An argument type: a whole number from `low` to `high`."""
    return _within(numerals.whole, low, high, f"a whole number from {low} to {high}")


def _within(convert: Callable[[str], T], low: T, high: T, wanted: str) -> Callable[[str], T]:
    def parse(text: str) -> T:
        with contextlib.suppress(ValueError):
            if low <= (value := convert(text)) <= high:
                return value
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")

    return parse


def file_path(text: str) -> Path:
    """An argument type: the name of a file or folder; not empty, which would mean the working directory."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the name is empty; name a file or folder")
    return Path(text)


def instant(text: str) -> datetime:
    """An argument type: an ISO 8601 time, UTC unless it has an offset; as naive UTC, the form of `event_time`."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text} is not a time such as 2026-01-31 or 2026-01-31T12:00:00+09:00"
        ) from error
    return at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at


def output_file(text: str) -> Path:
    """An argument type: the path of a file to write."""
    path = Path(text)
    if not path.name or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is not a file; name one, such as readings.csv")
    return path


def keep_old_name(commands: Commands, old: str, new: str, among: "Commands | None" = None) -> None:
    """Let the deprecated name `old` run the command `new`, with a notice on standard error; help does not list `old`.

    Call this after `new` has got all its options, because `old` copies them.

    Args:
        commands: Where the old name is.
        old: The old name.
        new: The present one.
        among: Where that is, if elsewhere.
    """
    renamed = (among or commands).choices[new]
    kept = commands.add_parser(old, parents=[renamed], add_help=False)
    run: Callable[[argparse.Namespace], int] = renamed.get_default("run")

    def warn_and_run(options: argparse.Namespace) -> int:
        print(f"`{kept.prog}` is deprecated; use `{renamed.prog}`", file=sys.stderr)
        return run(options)

    kept.set_defaults(run=warn_and_run)


def begin_command(options: argparse.Namespace, station: str | None = None) -> settings.Settings:
    """Read the settings, print their warnings and notes to standard error, and set up the log.

    Args:
        options: What the command line gave.
        station: The station whose settings the command uses; None: those that all stations share.

    Raises:
        SettingsError: One or more settings are wrong.
    """
    values = settings.load(env_file=options.env_file, station=station)
    logs.configure(options.command, values.logs.level, as_json=values.logs.json)
    for warning in (*values.warnings, *values.notes):
        print(f"aoii {options.command}: {warning}", file=sys.stderr)
    return values
