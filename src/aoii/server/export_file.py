"""The file of an export: which form its name asks for, and how it comes to its name only when it is complete."""

import contextlib
import gzip
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Literal, cast

from aoii.core.errors import InputError

Form = Literal["csv", "csv.gz", "parquet"]
FORMS: dict[str, Form] = {".csv": "csv", ".csv.gz": "csv.gz", ".parquet": "parquet"}
OTHERS = (
    ".xlsx",
    ".xls",
    ".ods",
    ".json",
    ".jsonl",
    ".gz",
    ".zip",
    ".bz2",
    ".xz",
    ".zst",
    ".db",
    ".sqlite",
    ".feather",
)
REMEDY = "name it .csv, .csv.gz or .parquet; spreadsheets open .csv"


def form_of(out: Path | None, wanted: str | None) -> Form:
    """The form of an export.

    Args:
        out: The file; None: standard output.
        wanted: `csv` or `parquet`; None: what the name of the file says, CSV for a name without extension.

    Raises:
        InputError: The name says something else, or the form cannot go there.
    """
    if wanted not in (None, "csv", "parquet"):
        raise InputError(f"no export to {wanted}", "use csv or parquet")
    name = "" if out is None else out.name.lower()
    named = next((form for ending, form in FORMS.items() if name.endswith(ending)), None)
    if named is not None and wanted is not None and named.removesuffix(".gz") != wanted:
        raise InputError(f"{out} names another form than {wanted}", REMEDY)
    if named is None and (name.endswith(OTHERS) or (wanted is None and Path(name).suffix)):
        raise InputError(f"{out}: no export to *{Path(name).suffix}", REMEDY)
    form = named or ("parquet" if wanted == "parquet" else "csv")
    if form == "parquet" and (out is None or _is_stream(out)):
        raise InputError("Parquet cannot go to standard output or a device", "give --out FILE")
    return form


@contextlib.contextmanager
def complete_file(out: Path) -> Iterator[Path]:
    """A file to write beside `out`, which takes its place when the block ends; after an error `out` stays as it was.

    A device or a pipe is written itself.

    Raises:
        InputError: It cannot be written.
    """
    if _is_stream(out):
        with _told(out):
            yield out
        return
    target = out.resolve()  # a link stays one
    part = target.with_name(f"{target.name}.part")
    try:
        with _told(out):
            yield part
            part.replace(target)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def write_text(path: Path, write: Callable[[IO[str]], object], *, is_packed: bool) -> None:
    """Write a text file durably; with gzip if `is_packed`."""
    with path.open("wb") as raw:
        # without a name and a time: the same rows give the same bytes
        below = gzip.GzipFile("", "wb", fileobj=raw, mtime=0) if is_packed else raw
        text = io.TextIOWrapper(cast(IO[bytes], below), encoding="utf-8", newline="")
        write(text)
        text.flush()
        text.detach()
        if is_packed:
            below.close()  # writes the end of the gzip stream, and leaves `raw` open
        raw.flush()
        with contextlib.suppress(OSError):  # a pipe has no disk
            os.fsync(raw.fileno())


def _is_stream(path: Path) -> bool:
    """Whether it is a device or a pipe, such as /dev/null."""
    return path.exists() and not path.is_file() and not path.is_dir()


@contextlib.contextmanager
def _told(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{out}: {error.strerror or error}", "name a file that can be written") from error
