"""Parameters of a request's query: decoded, or an `InputError` that says what to write."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from starlette.requests import Request

from aoii.core.errors import InputError

SHOWN_LIMIT = 64  # characters of a wrong value that an error repeats


def whole_number(request: Request, name: str, default: int, limit: int) -> int:
    """A whole number from 1 to `limit`.

    Raises:
        InputError: It is another text.
    """
    text = request.query_params.get(name)
    if text is None:
        return default
    if text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= limit:
        return int(text)
    remedy = f"use a whole number from 1 to {limit}, such as {default}"
    raise InputError(f"{name} is {_shown(request, name)}", remedy)


def choice(request: Request, name: str, default: str, choices: Sequence[str], unit: str = "") -> str:
    """One of several texts; `unit` explains them in an error.

    Raises:
        InputError: It is another text.
    """
    text = request.query_params.get(name, default)
    if text not in choices:
        raise InputError(f"{name} is {_shown(request, name)}", f"use one of {', '.join(choices)}{unit}")
    return text


def instant(request: Request, name: str) -> datetime | None:
    """An instant in UTC, without zone; a text without zone means UTC. None: not given.

    Raises:
        InputError: It is not ISO 8601, or out of range.
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
    return json.dumps(request.query_params.get(name, "")[:SHOWN_LIMIT], ensure_ascii=False)
