"""Decodes the parameters of a request's query; raises an `InputError` that says what to write."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from starlette.requests import Request

from aoii.core.errors import InputError

SHOWN_LIMIT = 64  # characters of a wrong value that an error quotes


def whole_number(request: Request, name: str, default: int, limit: int) -> int:
    """The parameter as a whole number from 1 to `limit`; `default` if it is not given.

    Raises:
        InputError: The parameter is anything else.
    """
    text = request.query_params.get(name)
    if text is None:
        return default
    if text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= limit:
        return int(text)
    remedy = f"use a whole number from 1 to {limit}, such as {default}"
    raise InputError(f"{name} is {_shown(request, name)}", remedy)


def choice(request: Request, name: str, default: str, choices: Sequence[str], unit: str = "") -> str:
    """The parameter as one of `choices`; `default` if it is not given. An error puts `unit` after the choices.

    Raises:
        InputError: The parameter is anything else.
    """
    text = request.query_params.get(name, default)
    if text not in choices:
        raise InputError(f"{name} is {_shown(request, name)}", f"use one of {', '.join(choices)}{unit}")
    return text


def instant(request: Request, name: str) -> datetime | None:
    """The parameter as an instant in UTC, as a datetime without zone; None if it is not given.

    A text without zone means UTC.

    Raises:
        InputError: The parameter is not ISO 8601, or out of range.
    """
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found
    except (ValueError, OverflowError) as error:
        remedy = "use ISO 8601, such as 2026-01-31T12:00:00Z (write + as %2B)"
        raise InputError(f"{name} is {_shown(request, name)}", remedy) from error


def _shown(request: Request, name: str) -> str:
    """The value of a parameter, quoted and cut, for an error."""
    return json.dumps(request.query_params.get(name, "")[:SHOWN_LIMIT], ensure_ascii=False)
