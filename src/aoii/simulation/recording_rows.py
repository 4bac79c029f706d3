"""The rows of a recording's file as values, and what to say about how they were read."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, tzinfo
from pathlib import Path
from typing import NamedTuple

from aoii.core.errors import InputError
from aoii.simulation import csv_table
from aoii.simulation.field_formats import FieldError, is_missing, parse_instant, parse_number, shown, unix_unit
from aoii.simulation.recording_kinds import ESTIMATE, NO_TIMES_START, NO_TIMES_STEP, SHAPE, kind_of

CONVERT = "`aoii lab convert`"
TEMPERATURE_LIMITS = (-327, 327)  # °C; what a frame's 16 bits hold in hundredths
HUMIDITY_LIMITS = (-1, 327)  # %RH; sensors report a little below 0 and above 100
SENT_ONLY = "it holds what was sent, not every sample: a replay does not show what a policy would have sent"


class Row(NamedTuple):
    """One reading of a recording; rows are in order of their instants.

    Attributes:
        unix_s: Its instant, Unix time.
        temperature_c: 0.01 °C.
        humidity_c: 0.01 %RH.
        timestamp: Its instant as it stands in the file.
        node: Name of its node; empty when the file names none.
        line: Its line in the file.
    """

    unix_s: float
    temperature_c: int
    humidity_c: int
    timestamp: str
    node: str
    line: int


@dataclass(frozen=True)
class Choices:
    """What to do where a file can be read in several ways.

    Attributes:
        zone: Zone of times that name none.
        repeats: Which of several rows at one instant to keep: `first` or `last`; empty: say so, or refuse the file.
        gaps: Whether a row without a value is a gap; False: it is an error.
    """

    zone: tzinfo = UTC
    repeats: str = ""
    gaps: bool = False


AS_THEY_ARE = Choices()


def read(path: Path, choices: Choices) -> tuple[list[Row], list[str]]:
    """The rows of a file in its own order, and notes: what was read otherwise than it stands there, or left out.

    Args:
        path: CSV or CSV.gz of one of the kinds in `recording_kinds.py`.
        choices: What to do where a file can be read in several ways.

    Raises:
        InputError: The file cannot be read, is of another kind, or has a malformed row.
    """
    return _RowReader(path, choices).read()


class _RowReader:
    """Reads one file, and counts what there is to say."""

    def __init__(self, path: Path, choices: Choices) -> None:
        self._path, self._choices = path, choices
        self._said: Counter[str] = Counter()
        self._latest: dict[str, tuple[str, float]] = {}  # by node: the last time as it stands there, and its instant
        self._holds_every_sample = False

    def read(self) -> tuple[list[Row], list[str]]:
        table = csv_table.read(self._path)
        kind = kind_of(table.columns)
        if kind is None:
            raise _unknown_kind(self._path, table.columns)
        wanted = {"node": "node", "event": "event", **kind.columns}
        rows: list[Row] = []
        for line, fields in table.rows(wanted):
            if "timestamp" not in fields:
                fields["timestamp"] = (NO_TIMES_START + len(rows) * NO_TIMES_STEP).isoformat()
            try:
                row = self._row(line, fields)
            except FieldError as error:
                raise InputError(f"{self._path}:{line}: {error}", csv_table.CORRECT_LINE) from error
            if row:
                rows.append(row)
        notes = table.notes + [f"{count} {text}" for text, count in self._said.items()]
        if "timestamp" not in kind.columns:
            notes.append("it has no times: its rows are taken as one sample a minute from 2000-01-01 on")
        if kind.columns.get("timestamp") == "event_time" or ("event" in kind.others and not self._holds_every_sample):
            notes.append(SENT_ONLY)
        return rows, notes

    def _row(self, line: int, fields: dict[str, str]) -> Row | None:
        """The reading of a row; None: it has none.

        Raises:
            FieldError: A field has a value that it cannot have.
        """
        is_estimate = fields.get("event") == ESTIMATE
        lacking = [name for name in ("timestamp", "temperature", "humidity") if is_missing(fields[name])]
        if is_estimate and lacking:
            self._said["row(s) with an estimate and no reading are left out"] += 1
            return None
        if lacking and self._choices.gaps:
            self._said["row(s) lack a value and leave a gap"] += 1
            return None
        if lacking:
            found = f"{lacking[0]} is {fields[lacking[0]] or 'empty'}"
            raise FieldError(f"{found}; {CONVERT} with --gaps leaves a gap for such rows")
        self._holds_every_sample |= is_estimate
        node = fields.get("node") or ""
        temperature, humidity = self._number(fields["temperature"]), self._number(fields["humidity"])
        (low_t, high_t), (low_h, high_h) = TEMPERATURE_LIMITS, HUMIDITY_LIMITS
        if not (low_t < temperature < high_t and low_h < humidity < high_h):
            raise FieldError(f"{temperature:g} °C, {humidity:g} %RH is out of range")
        at_s = self._instant(node, fields["timestamp"])
        return Row(at_s, round(temperature * 100), round(humidity * 100), fields["timestamp"], node, line)

    def _number(self, text: str) -> float:
        value = parse_number(text)
        if "," in text:
            self._said["number(s) have a decimal comma"] += 1
        if text[-1] not in "0123456789.,":
            self._said["number(s) have a unit"] += 1
        return value

    def _instant(self, node: str, text: str) -> float:
        latest_text, latest_s = self._latest.get(node, ("", None))
        if self._choices.repeats and text == latest_text and latest_s is not None:
            at_s = latest_s  # the same row once more, and not the hour that a clock change repeats
        else:
            at_s = parse_instant(text, self._choices.zone, latest_s)
        self._latest[node] = text, at_s
        if "-" not in text and (unit := unix_unit(text)):
            self._said[f"time(s) are in Unix {unit}"] += 1
        return at_s


def _unknown_kind(path: Path, columns: list[str]) -> InputError:
    lacking = [name for name in ("timestamp", "temperature", "humidity") if name not in columns]
    has = f"; its first line has {', '.join(map(shown, columns[:12]))}" if any(columns) else ""
    return InputError(f"{path}: lacks {', '.join(lacking)}{has}", f"the first line must be {SHAPE}")
