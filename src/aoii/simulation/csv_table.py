"""Reads a CSV file, packed or not, as people have them: any delimiter, a header in any case, a footer.

What is unambiguous is read, and said once in the notes. What is not is an InputError that names the file and, if there
is one, the line.
"""

import csv
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aoii.core.errors import InputError
from aoii.simulation.field_formats import bare_name, shown

CORRECT_LINE = "correct or remove the line"  # the remedy for a malformed row
GZIP_MAGIC = b"\x1f\x8b"
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")  # "Unicode text" of a spreadsheet program begins with one
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
GIVE_CSV = "give a CSV or CSV.gz file in UTF-8"


SKIPPED = {
    "empty": "without a value",
    "header": "that repeat the header",
    "comment": "that begin with #",
}


@dataclass
class Table:
    """A table whose rows are read as they are asked for, once: a file may have millions.

    Attributes:
        path: The file.
        columns: Names of the columns, in lower case and without units; a name may be empty.
        lines: Line number and fields of each row.
        is_torn: Whether the last line has no end.
        notes: What was read otherwise than it stands there.
    """

    path: Path
    columns: list[str]
    lines: Iterator[tuple[int, list[str]]]
    is_torn: bool
    notes: list[str] = field(default_factory=list)

    def rows(self, wanted: Mapping[str, str]) -> Iterator[tuple[int, dict[str, str]]]:
        """Each row as its line number and the wanted fields; rows without any value are left out.

        Args:
            wanted: The column of each field, by the name that the field gets. One that the table lacks is left out.

        Raises:
            InputError: A wanted column is there twice, or a row is too short, too long or not CSV.
        """
        for column in wanted.values():
            if (count := self.columns.count(column)) > 1:
                raise InputError(f"{self.path}: has {count} columns {column}", "rename all but the one to read")
        places = {name: self.columns.index(column) for name, column in wanted.items() if column in self.columns}
        skipped: Counter[str] = Counter()
        for line, fields in self.lines:
            if kind := _skip_kind(fields, self.columns):
                skipped[kind] += 1
                continue
            self._check_width(line, fields, places)
            yield line, {name: fields[at].strip() for name, at in places.items()}
        self.notes += [f"{count} row(s) {SKIPPED[kind]} are left out" for kind, count in skipped.items()]

    def _check_width(self, line: int, fields: list[str], places: Mapping[str, int]) -> None:
        if len(fields) == len(self.columns):
            return
        if len(fields) > len(self.columns) and any(fields[len(self.columns) :]):
            raise InputError(
                f"{self.path}:{line}: has {len(fields)} fields for {len(self.columns)} columns",
                "if its numbers have decimal commas, put quotes around them or semicolons between the columns; "
                f"else {CORRECT_LINE}",
            )
        absent = [name for name, at in places.items() if at >= len(fields)]
        if absent:
            problem = f"{self.path}:{line}: has no {absent[0]}, {len(fields)} of {len(self.columns)} fields"
            is_last = self.is_torn and next(self.lines, None) is None
            raise InputError(problem + (": the file ends within this line" if is_last else ""), CORRECT_LINE)


def _skip_kind(fields: list[str], columns: list[str]) -> str:
    """Why a row holds no reading, as a key of SKIPPED; empty: it may hold one."""
    if not "".join(fields).strip():
        return "empty"
    begin = fields[0].lstrip()
    if begin.startswith("#") and (begin.startswith("# ") or len(fields) < len(columns)):  # `#3` may name a node
        return "comment"
    may_be = bare_name(fields[0]) == columns[0]  # of almost every row the first field is enough
    return "header" if may_be and [bare_name(text) for text in fields] == columns else ""


def read(path: Path) -> Table:
    """Read a file of CSV, whatever its name says about packing; a table without columns when it is empty.

    Raises:
        InputError: The file cannot be read, its first line is not CSV, or it holds bytes that no CSV has.
    """
    text = _text(path)
    delimiter = max(DELIMITERS, key=text.partition("\n")[0].count)
    lines = _lines(path, text, delimiter)
    columns = [bare_name(name) for name in next(lines, (1, []))[1]]
    notes = [] if delimiter == "," else [f"{DELIMITERS[delimiter]} are between its columns"]
    return Table(path, columns, lines, not text.endswith("\n"), notes)


def _lines(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of each row that is not empty.

    Raises:
        InputError: A row is not CSV.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for fields in reader:
            if fields:
                yield reader.line_num, fields
    except csv.Error as error:
        raise InputError(f"{path}:{max(reader.line_num, 1)}: is not CSV ({error})", GIVE_CSV) from error


def _text(path: Path) -> str:
    """The text of a file, unpacked.

    Raises:
        InputError: It cannot be read, or holds bytes that no CSV has.
    """
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if raw.startswith(GZIP_MAGIC) else raw
        text = raw.decode("utf-16" if raw.startswith(UTF_16_MARKS) else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        problem = f"{path}:{line}: cannot be read as text (byte {raw[error.start]:#04x})"
        raise InputError(problem, "save it as CSV in UTF-8") from error
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read ({reason})", GIVE_CSV) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        cause = f"holds {text.count(chr(0))} NUL characters, as after a power cut while it was written"
        raise InputError(f"{path}:{line}: {cause}", "remove them, and the line if it is incomplete")
    if "\r" in text and "\n" not in text:
        remedy = f"`tr '\\r' '\\n' < {shown(path.name)} > NEW.csv` makes a file that can be read"
        raise InputError(f"{path}:1: its lines end in CR alone", remedy)
    return text
