"""A line of a node's USB log: the ten fields of the old firmware, or twelve with node and time. Decides only."""

import math
from dataclasses import replace
from datetime import datetime

from aoii.runtime.clock import utc
from aoii.server.rows import EdgeLogRow

STATUSES = frozenset({"SKIP", "SEND & TRAIN", "HEARTBEAT"})
FIELDS = (10, 12)
RANGE = (-400.0, 1000.0)  # as wide as in a message: a flagged reading is still a reading
TEAR_TOLERANCE = 0.02  # two decimals are printed of three values that were computed with more
YEAR_9999_MS = 253_402_300_799_999


def read_line(text: str, arrived: datetime, *, is_first: bool = False) -> EdgeLogRow | None:
    """The row that a line is; None for anything else on the port, which is noise.

    The error gets the sign of actual minus predicted, whichever way the firmware prints it.

    Args:
        text: The line without its end.
        arrived: Local time, becomes `created_at`.
        is_first: The line is the first after the port was opened, so its beginning may be torn off: `21.50` may have
            become `1.50`. It is believed only when its errors fit its readings.
    """
    fields = [field.strip() for field in text.split(",")]
    if len(fields) not in FIELDS or fields[6] not in STATUSES:
        return None
    try:
        actual_t, actual_h, pred_t, pred_h, error_t, error_h = (_number(field) for field in fields[:6])
        time_us, free_heap, total_heap = (_whole(field, 2**31 - 1) for field in fields[7:10])
        unix_ms = _whole(fields[11], YEAR_9999_MS) if len(fields) == 12 else None
    except ValueError:
        return None
    if is_first and not (_fits(actual_t, pred_t, error_t) and _fits(actual_h, pred_h, error_h)):
        return None
    row = EdgeLogRow(
        created_at=arrived,
        actual_temp=actual_t,
        actual_humidity=actual_h,
        pred_temp=pred_t,
        pred_humidity=pred_h,
        error_temp=math.copysign(error_t, actual_t - pred_t),
        error_humidity=math.copysign(error_h, actual_h - pred_h),
        triggered=fields[6] != "SKIP",
        status=fields[6],
        inference_time_us=time_us,
        free_heap=free_heap,
        total_heap=total_heap,
        event_time=None if unix_ms is None else utc(unix_ms),
    )
    if len(fields) == 10:
        return row
    node = fields[10]
    return replace(row, node=node) if 1 <= len(node) <= 128 and node.isprintable() else None


def _number(text: str) -> float:
    value = float(text)
    if not RANGE[0] <= value <= RANGE[1]:  # false for NaN too
        raise ValueError
    return value


def _whole(text: str, high: int) -> int | None:
    """A whole number from 0 to `high`, or None for an empty field."""
    if not text:
        return None
    value = int(text)
    if not 0 <= value <= high:
        raise ValueError
    return value


def _fits(actual: float, predicted: float, error: float) -> bool:
    return abs(abs(actual - predicted) - abs(error)) <= TEAR_TOLERANCE
