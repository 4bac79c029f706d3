"""The forms in which a field of a recording may be written: numbers, units, times, names of columns. Pure.

Strict: what is not exactly one of these forms is a FieldError, whose message names the text.
"""

import re
from datetime import UTC, datetime, tzinfo

NUMBER = re.compile(r"([+-]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?)\s*(.*)", re.DOTALL)
UNIX_TIME = re.compile(r"([0-9]{10}|[0-9]{13}|[0-9]{16}|[0-9]{19})(\.[0-9]+)?")
UNIX_UNITS = {10: ("seconds", 1), 13: ("milliseconds", 10**3), 16: ("microseconds", 10**6), 19: ("nanoseconds", 10**9)}
MISSING = frozenset({"", "nan", "na", "n/a", "null", "none"})  # what programs write where there is no value

UNITS = frozenset({"°c", "℃", "c", "degc", "deg c", "celsius", "%", "%rh", "% rh", "rh"})
OTHER_UNITS = frozenset({"°f", "℉", "f", "degf", "deg f", "fahrenheit", "k", "kelvin"})
# `temperature (°C)`, `temperature [°C]`, `temperature °C`, `temperature_c`
NAME_AND_UNIT = re.compile(r"(.+?)\s*(?:\((.+)\)|\[(.+)\]|[\s_](°?[a-z%℃℉]+|%\s?rh))")
SHOWN_CHARACTERS = 40


class FieldError(ValueError):
    """A text that is in none of the forms; the message says what was expected."""


def shown(text: str) -> str:
    """A text for a message: in quotes, printable, and not longer than a person reads."""
    ending = "…" if len(text) > SHOWN_CHARACTERS else ""
    return repr(text[:SHOWN_CHARACTERS]) + ending


def is_missing(text: str) -> bool:
    """Whether a text stands for no value."""
    return text.strip().casefold() in MISSING


def parse_number(text: str) -> float:
    """A decimal number in ASCII digits, with a decimal point or comma, and perhaps its unit.

    Raises:
        FieldError: It is no such number, or its unit is not °C or %RH.
    """
    found = NUMBER.fullmatch(text.strip())
    unit = found[2].casefold() if found else ""
    if unit in OTHER_UNITS:
        raise FieldError(f"{shown(text)} is not in °C or %RH")
    if not found or (unit and unit not in UNITS):
        raise FieldError(f"{shown(text)} is not a number")
    return float(found[1].replace(",", "."))


def unix_unit(text: str) -> str | None:
    """The unit of a Unix time, as its number of digits tells; None: the text is no Unix time."""
    found = UNIX_TIME.fullmatch(text.strip())
    return UNIX_UNITS[len(found[1])][0] if found else None


def parse_instant(text: str, zone: tzinfo = UTC, not_before_s: float | None = None) -> float:
    """Unix time in seconds of a time in ISO 8601, or in Unix seconds, milliseconds, micro- or nanoseconds.

    Args:
        text: The time.
        zone: Zone of a time that names none.
        not_before_s: Of the two instants of an hour that a clock change repeats, the first that is after this one.

    Raises:
        FieldError: The text is no such time.
    """
    found = UNIX_TIME.fullmatch(text.strip())
    if found:
        return float(found[0]) / UNIX_UNITS[len(found[1])][1]
    try:
        at = datetime.fromisoformat(text.strip().encode("ascii").decode())  # not in other digits
        at = at if at.tzinfo else at.replace(tzinfo=zone)
        unix_s = at.astimezone(UTC).timestamp()  # fails where the year in UTC is not within 1 to 9999
        if not_before_s is not None and unix_s <= not_before_s:
            unix_s = max(unix_s, at.replace(fold=1).timestamp())
    except (ValueError, OverflowError) as error:
        raise FieldError(f"{shown(text)} is not a time such as 2026-01-31T12:00:00Z or 1769860800") from error
    return unix_s


def bare_name(name: str) -> str:
    """The name of a column in lower case, without the spaces around it and without °C or %RH."""
    plain = name.strip().casefold()
    found = NAME_AND_UNIT.fullmatch(plain) if plain.startswith(("temp", "hum")) else None
    if found is None:
        return plain
    unit = found[2] or found[3] or found[4]
    return found[1] if unit.strip() in UNITS else plain
