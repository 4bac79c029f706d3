"""Reads JSON objects that arrived, and their fields: each exactly as its wire format names it. Pure.

Every function raises `ProtocolError` with reason `size`, `encoding`, `json`, `shape` (a wrong type) or `range`.
"""

import json

from aoii.core.errors import ProtocolError

Fields = dict[str, object]

YEAR_9999_MS = 253_402_300_799_999  # the last millisecond that a DATETIME can hold
EARLIEST_SYNCED_MS = 2**32  # 19 February 1970: a smaller number on a clock that somebody has set is one of seconds


def decode_object(payload: bytes, limit_bytes: int) -> Fields:
    """The object in a payload of at most so many bytes."""
    if len(payload) > limit_bytes:
        raise ProtocolError("size", f"payload of {len(payload)} bytes; the limit is {limit_bytes}")
    try:
        fields = _DECODER.decode(payload.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ProtocolError("encoding", "payload is not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise ProtocolError("json", "payload is not JSON") from error
    if not isinstance(fields, dict):
        raise ProtocolError("shape", "payload is not a JSON object")
    return fields


def _unique(pairs: list[tuple[str, object]]) -> Fields:
    """The object of these pairs; two values for one key would leave open which one is meant."""
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ProtocolError("shape", "a key stands twice in one object")
    return fields


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)  # made once: `json.loads` would make one for each message


def is_one(value: object) -> bool:
    """Whether a value is the number 1, and neither true nor 1.0."""
    return type(value) is int and value == 1


def truth(fields: Fields, name: str) -> bool:
    """A truth value; False if it is missing, as in messages of the older installation's gateway."""
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise ProtocolError("shape", f"{name} is neither true nor false")
    return value


def instant(fields: Fields, name: str, is_synced: bool) -> int | None:
    """Unix milliseconds; a machine whose clock nobody has set may be in 1970."""
    value = whole_or_none(fields, name, 0, YEAR_9999_MS)
    if value is not None and is_synced and value < EARLIEST_SYNCED_MS:
        raise ProtocolError("range", f"{name} is in January or February 1970; it is milliseconds, not seconds")
    return value


def number(fields: Fields, name: str, low: float, high: float) -> float:
    """A finite number from `low` to `high`."""
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ProtocolError("shape", f"{name} is not a number")
    if not low <= value <= high:  # false for NaN too
        raise ProtocolError("range", f"{name} is outside {low:g}..{high:g}")
    return float(value)


def whole(fields: Fields, name: str, low: int, high: int) -> int:
    """A whole number from `low` to `high`, written without a point."""
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ProtocolError("shape", f"{name} is not a whole number")
    if not low <= value <= high:
        raise ProtocolError("range", f"{name} is outside {low}..{high}")
    return value


def whole_or_none(fields: Fields, name: str, low: int, high: int) -> int | None:
    """The same; None if it is missing or null."""
    return None if fields.get(name) is None else whole(fields, name, low, high)
