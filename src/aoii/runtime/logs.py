"""Logs: constant sentences with fields, for people or as one JSON object a line.

A sentence below the level *error* is logged at most once a second with the same reason. The next one that passes tells
how many were withheld.
"""

import json
import logging
import sys
import threading
import time

STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "withheld", "taskName"}
REPEAT_S = 1.0  # between two log lines with the same sentence and reason
PAIRS_LIMIT = 1000  # pairs of sentence and reason that are remembered


class StormFilter(logging.Filter):
    """Lets each pair of sentence and reason pass at most once in `REPEAT_S` seconds; errors always pass."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._last: dict[tuple[str, object], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record passes; adds the field `withheld` if earlier ones did not."""
        if record.levelno >= logging.ERROR:
            return True
        now = time.monotonic()
        key = (record.msg, getattr(record, "reason", None))
        with self._lock:
            last, withheld = self._last.get(key, (-REPEAT_S, 0))
            if now - last < REPEAT_S:
                self._last[key] = (last, withheld + 1)
                return False
            if len(self._last) >= PAIRS_LIMIT:  # a reason may quote a peer, so there may be any number of them
                self._last.clear()
            self._last[key] = (now, 0)
        if withheld:
            record.withheld = withheld
        return True


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """The fields that the caller passed as `extra`."""
    fields = {name: value for name, value in vars(record).items() if name not in STANDARD_FIELDS}
    if hasattr(record, "withheld"):
        fields["withheld"] = record.withheld
    return fields


class _StationFormatter(logging.Formatter):
    """A formatter that knows the name of its station."""

    def __init__(self, station: str) -> None:
        super().__init__()
        self._station = station


class JsonFormatter(_StationFormatter):
    """Writes each record as one JSON object in one line: time (UTC), level, station, message, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{at}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "station": self._station,
            "message": record.getMessage(),
        } | fields_of(record)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class HumanFormatter(_StationFormatter):
    """Writes each record for people, in local time: `12:00:01 WARNING gateway: sentence (field=value)`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line, with a traceback below it if there is one."""
        fields = " ".join(f"{name}={value}" for name, value in fields_of(record).items() if name != "event")
        at = time.strftime("%H:%M:%S", time.localtime(record.created))
        line = f"{at} {record.levelname:7} {self._station}: {record.getMessage()}"
        line += f" ({fields})" if fields else ""
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure(station: str, level: str, *, as_json: bool) -> None:
    """Send the logs of this process to standard error.

    Args:
        station: The name of the station, which every line contains.
        level: The lowest level that is logged, such as `info`.
        as_json: Whether each line is a JSON object; if not, it is for people.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(station) if as_json else HumanFormatter(station))
    handler.addFilter(StormFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
