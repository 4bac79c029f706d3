"""The file of an export: its form by its name, complete or not there."""

import gzip
import os
import threading
from pathlib import Path

import pytest

from aoii.core.errors import InputError
from aoii.server.export_file import complete_file, form_of, write_text


@pytest.mark.parametrize(
    ("name", "wanted", "form"),
    [
        ("x.csv", None, "csv"),
        ("X.CSV", None, "csv"),
        ("x.csv.gz", None, "csv.gz"),
        ("x.csv.gz", "csv", "csv.gz"),
        ("x.parquet", None, "parquet"),
        ("x", None, "csv"),
        ("x", "parquet", "parquet"),
        ("x.2026-01", "csv", "csv"),
        ("x.txt", "csv", "csv"),
    ],
)
def test_the_name_says_the_form(name: str, wanted: str | None, form: str) -> None:
    assert form_of(Path(name), wanted) == form


@pytest.mark.parametrize("wanted", [None, "csv", "parquet"])
@pytest.mark.parametrize("name", ["x.xlsx", "x.XLS", "x.ods", "x.json", "x.gz", "x.csv.zip", "x.csv.zst"])
def test_a_name_of_another_form_is_refused_with_what_to_do(name: str, wanted: str | None) -> None:
    with pytest.raises(InputError, match="spreadsheets open"):
        form_of(Path(name), wanted)


@pytest.mark.parametrize(("name", "wanted"), [("x.csv", "parquet"), ("x.parquet", "csv"), ("x.csv.gz", "parquet")])
def test_a_name_that_contradicts_the_format_is_refused(name: str, wanted: str) -> None:
    with pytest.raises(InputError, match="names another form"):
        form_of(Path(name), wanted)


def test_parquet_needs_a_file(tmp_path: Path) -> None:
    assert form_of(None, None) == form_of(None, "csv") == "csv"
    for out in (None, Path("/dev/null")):
        with pytest.raises(InputError, match="give --out FILE"):
            form_of(out, "parquet")
    with pytest.raises(InputError, match="use csv or parquet"):
        form_of(None, "xlsx")


def test_the_same_rows_give_the_same_packed_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_text(tmp_path / name, lambda file: file.write("온도\n"), is_packed=True)

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert gzip.decompress((tmp_path / "a").read_bytes()).decode() == "온도\n"


def test_a_link_stays_one_and_its_file_is_replaced(tmp_path: Path) -> None:
    target, link = tmp_path / "target.csv", tmp_path / "link.csv"
    target.write_text("old")
    link.symlink_to(target)

    with complete_file(link) as path:
        write_text(path, lambda file: file.write("new"), is_packed=False)

    assert (link.is_symlink(), target.read_text()) == (True, "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.csv", "target.csv"]


def test_a_pipe_is_written_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()

    with complete_file(pipe) as path:
        write_text(path, lambda file: file.write("rows"), is_packed=False)

    reader.join(30)
    assert (read, pipe.is_fifo()) == (["rows"], True)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name a file"), complete_file(tmp_path) as path:
        path.write_text("")
