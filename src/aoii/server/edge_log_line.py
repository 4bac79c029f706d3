"""Decodes a line of a node's USB log: ten fields from the old firmware, or twelve with node and time. Pure.

The oldest firmware prints the first seven of the ten. Errors have no sign in the table, whatever a node prints.
"""

from datetime import datetime

from aoii.broker.json_fields import YEAR_9999_MS
from aoii.broker.messages import HUMIDITY_RANGE, TEMPERATURE_RANGE, is_node_name
from aoii.runtime.clock import utc
from aoii.runtime.numerals import decimal, whole
from aoii.server.rows import EdgeLogRow

TIME_REQUEST = "TIME?"  # firmware 0.3 and 0.7 waits for `TIME:<Unix seconds>` before it begins
UNSENT = frozenset({"SKIP", "RAW"})  # RAW: firmware that predicts nothing and has no radio
UNCHECKED = frozenset({"RAW", "SEND (DELTA)"})  # whose errors are not the reading minus the estimate of the same line
STATUSES = UNSENT | UNCHECKED | {"SEND & TRAIN", "HEARTBEAT"}
OLDEST_FIELDS, OLD_FIELDS, FIELDS = 7, 10, 12
RANGES = (TEMPERATURE_RANGE, HUMIDITY_RANGE) * 3  # of reading, estimate and error, as in a message
TEAR_TOLERANCE = 0.02  # °C and %RH; reading, estimate and error are each rounded to two decimals
INT_MAX = 2**31 - 1  # of the table's INTEGER columns


def decode_line(text: str, arrived: datetime, *, is_first: bool = False) -> EdgeLogRow | None:
    """The row of a line; None for noise.

    Args:
        text: The line without its end.
        arrived: When it arrived, in local time; becomes `created_at`.
        is_first: Whether it is the first line after the port was opened. It may lack its beginning (`1.50` for
            `21.50`), so it is noise unless each error is the distance of its reading from its estimate.
    """
    fields = [field.strip() for field in text.split(",")]
    if len(fields) not in (OLDEST_FIELDS, OLD_FIELDS, FIELDS):
        return None
    try:
        row = _row(fields, arrived)
    except ValueError:
        return None
    return None if is_first and _is_torn(row) else row


def _row(fields: list[str], arrived: datetime) -> EdgeLogRow:
    """The row of seven, ten or twelve fields.

    Raises:
        ValueError: A field has a value that it cannot have.
    """
    *measured, status = fields[:OLDEST_FIELDS]
    time_us, free_heap, total_heap = fields[OLDEST_FIELDS:OLD_FIELDS] or ("", "", "")
    node, unix_ms = fields[OLD_FIELDS:] or (None, "")
    if status not in STATUSES or not (node is None or is_node_name(node)):
        raise ValueError
    actual_t, actual_h, pred_t, pred_h, error_t, error_h = map(_number, measured, RANGES)
    event_ms = _whole(unix_ms, YEAR_9999_MS)
    return EdgeLogRow(
        created_at=arrived,
        actual_temp=actual_t,
        actual_humidity=actual_h,
        pred_temp=pred_t,
        pred_humidity=pred_h,
        error_temp=abs(error_t),
        error_humidity=abs(error_h),
        triggered=status not in UNSENT,
        status=status,
        inference_time_us=_whole(time_us, INT_MAX),
        free_heap=_whole(free_heap, INT_MAX),
        total_heap=_whole(total_heap, INT_MAX),
        node=node,
        event_time=None if event_ms is None else utc(event_ms),
    )


def _is_torn(row: EdgeLogRow) -> bool:
    """Whether an error is not the distance of its reading from its estimate, as when a digit is missing."""
    return (
        row.status in UNCHECKED
        or abs(abs(row.actual_temp - row.pred_temp) - row.error_temp) > TEAR_TOLERANCE
        or abs(abs(row.actual_humidity - row.pred_humidity) - (row.error_humidity or 0.0)) > TEAR_TOLERANCE
    )


def _number(text: str, limits: tuple[float, float]) -> float:
    value = decimal(text)
    if not limits[0] <= value <= limits[1]:
        raise ValueError
    return value


def _whole(text: str, high: int) -> int | None:
    """A whole number from 0 to `high`; None for an empty field."""
    if not text:
        return None
    value = whole(text)
    if value > high:
        raise ValueError
    return value
