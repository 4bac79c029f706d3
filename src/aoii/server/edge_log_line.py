"""Decodes a line of a node's USB log: ten fields from the old firmware, or twelve with node and time. Pure."""

import math
from datetime import datetime

from aoii.runtime.clock import utc
from aoii.server.rows import EdgeLogRow

STATUSES = frozenset({"SKIP", "SEND & TRAIN", "HEARTBEAT"})
FIELDS = (10, 12)
RANGE = (-400.0, 1000.0)  # °C and %RH, as wide as in a message: an implausible reading is still a reading
TEAR_TOLERANCE = 0.02  # three values, each rounded to two decimals
YEAR_9999_MS = 253_402_300_799_999
INT_MAX = 2**31 - 1
NAME_LIMIT = 128  # characters of a node's name


def decode_line(text: str, arrived: datetime, *, is_first: bool = False) -> EdgeLogRow | None:
    """The row of a line; None for noise.

    The error gets the sign of actual minus predicted, whatever sign the firmware prints.

    Args:
        text: The line without its end.
        arrived: Local time, becomes `created_at`.
        is_first: The line is the first after the port was opened, so its beginning may be missing: `21.50` may have
            become `1.50`. It counts only if its errors agree with its readings.
    """
    fields = [field.strip() for field in text.split(",")]
    if len(fields) not in FIELDS:
        return None
    *measured, status, time_us, free_heap, total_heap = fields[: FIELDS[0]]
    node, unix_ms = fields[FIELDS[0] :] or (None, "")
    if status not in STATUSES or (node is not None and not _is_name(node)):
        return None
    try:
        actual_t, actual_h, pred_t, pred_h, error_t, error_h = (_number(field) for field in measured)
        sampled_ms = _whole(unix_ms, YEAR_9999_MS)
        row = EdgeLogRow(
            created_at=arrived,
            actual_temp=actual_t,
            actual_humidity=actual_h,
            pred_temp=pred_t,
            pred_humidity=pred_h,
            error_temp=math.copysign(error_t, actual_t - pred_t),
            error_humidity=math.copysign(error_h, actual_h - pred_h),
            triggered=status != "SKIP",
            status=status,
            inference_time_us=_whole(time_us, INT_MAX),
            free_heap=_whole(free_heap, INT_MAX),
            total_heap=_whole(total_heap, INT_MAX),
            node=node,
            event_time=None if sampled_ms is None else utc(sampled_ms),
        )
    except ValueError:
        return None
    if is_first and not (_agrees(actual_t, pred_t, error_t) and _agrees(actual_h, pred_h, error_h)):
        return None
    return row


def _is_name(node: str) -> bool:
    return 1 <= len(node) <= NAME_LIMIT and node.isprintable()


def _number(text: str) -> float:
    """A number in RANGE."""
    value = float(text)
    if not RANGE[0] <= value <= RANGE[1]:  # false for NaN too
        raise ValueError
    return value


def _whole(text: str, high: int) -> int | None:
    """A whole number from 0 to `high`; None for an empty field."""
    if not text:
        return None
    value = int(text)
    if not 0 <= value <= high:
        raise ValueError
    return value


def _agrees(actual: float, predicted: float, error: float) -> bool:
    return abs(abs(actual - predicted) - abs(error)) <= TEAR_TOLERANCE
