"""Argument types that several commands share, and old names of commands."""

import argparse
import contextlib
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def number(low: float, high: float) -> Callable[[str], float]:
    """An argument type: a number from `low` to `high`."""

    def parse(text: str) -> float:
        with contextlib.suppress(ValueError):
            if low <= (value := float(text)) <= high:
                return value
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low:g} to {high:g}")

    return parse


def whole(low: int, high: int) -> Callable[[str], int]:
    """An argument type: a whole number from `low` to `high`."""

    def parse(text: str) -> int:
        with contextlib.suppress(ValueError):
            if low <= (value := int(text)) <= high:
                return value
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")

    return parse


def instant(text: str) -> datetime:
    """An ISO 8601 instant as naive UTC, the form of `event_time`."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text} is not a time such as 2026-01-31 or 2026-01-31T12:00:00+09:00"
        ) from error
    return at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at


def keep_old_name(commands: Commands, old: str, new: str) -> None:
    """Let `old` run the command `new`, which is complete, and say so on standard error; help does not list `old`."""
    renamed = commands.choices[new]
    kept = commands.add_parser(old, parents=[renamed], add_help=False)
    run: Callable[[argparse.Namespace], int] = renamed.get_default("run")

    def warn_and_run(options: argparse.Namespace) -> int:
        print(f"`{kept.prog}` is deprecated; use `{renamed.prog}`", file=sys.stderr)
        return run(options)

    kept.set_defaults(run=warn_and_run)
