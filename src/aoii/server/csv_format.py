"""The two formats of the CSV file: `full`, every message with all digits, and `older`, the older installation's.

Both have the same columns. The line ending of the header says which format a file has, because the older installation
ends its lines with CR LF; so a file never holds both.
"""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aoii.broker.messages import TIMESTAMP
from aoii.core.errors import InputError
from aoii.server.csv_journal import CsvRow
from aoii.settings import CsvFormatName

COLUMNS = ("Timestamp", "Time_n", "Event", "Actual_T", "Actual_H", "Pred_T", "Pred_H", "Error_T", "Error_H", "Total_TX",
           "Transmission_Delay_Ms")  # fmt: skip
_HUNDREDTHS = frozenset(COLUMNS[3:9])  # the columns that the older installation writes with two decimals
_NUMBER = re.compile(r"-?\d+(\.\d+)?(e-?\d+)?", re.ASCII)
_WHOLE = re.compile(r"-?\d+", re.ASCII)


@dataclass(frozen=True)
class CsvFormat:
    """How the lines of one file look.

    Attributes:
        name: `full` or `older`.
        columns: The first of `COLUMNS`: eleven, or ten in older files.
    """

    name: CsvFormatName
    columns: tuple[str, ...] = COLUMNS

    @property
    def ending(self) -> str:
        """What ends a line."""
        return "\r\n" if self.name == "older" else "\n"

    @property
    def header(self) -> bytes:
        """The first line, with its ending."""
        return (",".join(self.columns) + self.ending).encode()

    def keeps(self, row: CsvRow) -> bool:
        """Whether the file holds such a row; an older one has readings only."""
        return self.name == "full" or row.fields["Event"] == "RX"

    def lines(self, rows: Sequence[CsvRow]) -> bytes:
        """The rows as bytes to append."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator=self.ending)
        writer.writerows([self._field(row, name) for name in self.columns] for row in rows)
        return text.getvalue().encode()

    def is_row(self, line: bytes) -> bool:
        """Whether a line without its ending has every column, each with a value that the column may have."""
        try:
            fields = next(csv.reader([line.decode()], strict=True), [])
        except (UnicodeDecodeError, csv.Error):
            return False
        if len(fields) != len(self.columns):
            return False
        timestamp, time_n, event, *numbers = fields
        values, whole = [time_n, *numbers[:6]], numbers[6:]
        return (
            bool(TIMESTAMP.fullmatch(timestamp))
            and event in ("RX", "EST")
            and all(not value or _NUMBER.fullmatch(value) for value in values)
            and all(not value or _WHOLE.fullmatch(value) for value in whole)
        )

    def _field(self, row: CsvRow, name: str) -> str | float:
        value = row.fields.get(name, "")
        if self.name == "full" or isinstance(value, str):
            return value
        if name in _HUNDREDTHS:
            return f"{value:.2f}"
        return round(value, 4) if name == "Time_n" else value


def unfinished(header: bytes, wanted: CsvFormatName) -> CsvFormat | None:
    """The format whose header begins like this first line, if that has no line feed; for an empty file `wanted`."""
    other: CsvFormatName = "full" if wanted == "older" else "older"
    known = [CsvFormat(name, columns) for columns in (COLUMNS, COLUMNS[:-1]) for name in (wanted, other)]
    return next((form for form in known if form.header[:-1].startswith(header)), None)


def format_of(header: bytes, path: Path, wanted: CsvFormatName) -> CsvFormat:
    """The format of an existing file, from its first line with its ending.

    Raises:
        InputError: The file has other columns, or is a full one although `wanted` is `older`.
    """
    text = header.decode("utf-8-sig", errors="replace")
    names = tuple(text.rstrip("\r\n").split(","))
    if names not in (COLUMNS, COLUMNS[:-1]):
        raise InputError(f"{path} has other columns than ours; set CSV_FILE to another name, or move the file away")
    found = CsvFormat("older" if text.endswith("\r\n") else "full", names)
    if wanted == "older" and found.name == "full":
        raise InputError(
            f"{path} has the full format, but CSV_FORMAT is older; set CSV_FILE to another name, or CSV_FORMAT=full"
        )
    return found
