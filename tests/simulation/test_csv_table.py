"""CSV files as people have them: what is unambiguous is read and said, and every fault names the file and the line."""

import gzip
import tracemalloc
from pathlib import Path

import pytest

from aoii.core.errors import InputError
from aoii.simulation import csv_table

AB = {"a": "a", "b": "b"}


def write(folder: Path, text: str | bytes, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def rows(folder: Path, text: str | bytes, name: str = "table.csv") -> tuple[list[list[str]], list[str]]:
    """The values of a and b in each row, and the notes."""
    table = csv_table.read(write(folder, text, name))
    return [list(row.values()) for _, row in table.rows(AB)], table.notes


def test_rows_come_by_name_with_their_lines_and_other_columns_are_ignored(tmp_path: Path) -> None:
    table = csv_table.read(write(tmp_path, "\ufeffb,a,c\n1,2,3\n\n4,5,6\n"))

    assert table.columns == ["b", "a", "c"]
    assert list(table.rows(AB)) == [(2, {"a": "2", "b": "1"}), (4, {"a": "5", "b": "4"})]
    assert table.notes == []


def test_an_empty_file_has_no_columns(tmp_path: Path) -> None:
    assert csv_table.read(write(tmp_path, "")).columns == []


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "T.CSV.GZ", "t.txt"])
@pytest.mark.parametrize("is_packed", [True, False])
def test_a_file_is_unpacked_by_its_content_whatever_its_name(tmp_path: Path, name: str, is_packed: bool) -> None:
    content = b"a,b\n1,2\n"

    assert rows(tmp_path, gzip.compress(content) if is_packed else content, name) == ([["1", "2"]], [])


@pytest.mark.parametrize(("delimiter", "word"), [(";", "semicolons"), ("\t", "tabs")])
def test_another_delimiter_is_read_and_said(tmp_path: Path, delimiter: str, word: str) -> None:
    text = "a,b\n1,2\n".replace(",", delimiter)

    assert rows(tmp_path, text) == ([["1", "2"]], [f"{word} are between its columns"])


def test_a_header_may_have_any_case_spaces_and_ends_of_lines(tmp_path: Path) -> None:
    assert rows(tmp_path, " A , b\r\n1, 2 \r\n") == ([["1", "2"]], [])
    assert rows(tmp_path, "a\tb\n1\t2\n".encode("utf-16"))[0] == [["1", "2"]]


def test_a_name_may_begin_with_the_mark_of_a_comment(tmp_path: Path) -> None:
    assert rows(tmp_path, "a,b\n#3,1\n#4,2\n") == ([["#3", "1"], ["#4", "2"]], [])
    assert rows(tmp_path, "a,b\n#3,1\n#end\n") == ([["#3", "1"]], ["1 row(s) that begin with # are left out"])


def test_rows_that_hold_no_reading_are_left_out_and_counted(tmp_path: Path) -> None:
    found, notes = rows(tmp_path, "a,b\n1,2\n,,\nA,B\n3,4,,\na,b\n# the end, perhaps\n")

    assert found == [["1", "2"], ["3", "4"]]
    assert notes == [
        "1 row(s) without a value are left out",
        "2 row(s) that repeat the header are left out",
        "1 row(s) that begin with # are left out",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2,3\n", r":2: has 3 fields for 2 columns; if its numbers have decimal commas"),
        ("a,b,a\n1,2,3\n", r"has 2 columns a; rename"),
        ("a, A,b\n1,2,3\n", r"has 2 columns a; rename"),
        ("a,b\n1\n2,3\n", r":2: has no b, 1 of 2 fields; correct"),
        ("a,b\n1,2\n3", r":3: has no b, 1 of 2 fields: the file ends within this line"),
        ("a,b\n1,2\n3,4\0\0\0\n", r":3: holds 3 NUL characters"),
        ("a,b\r1,2\r", r":1: its lines end in CR alone; `tr"),
        (b"a,b\n1,2\n\xb0,4\n", r":3: cannot be read as text \(byte 0xb0\)"),
        (gzip.compress(b"a,b\n", mtime=0)[:-9], r"cannot be read"),
        ("a,b\n1," + "x" * 200_000, r":2: is not CSV \(field larger"),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, str) else "bytes",
)
def test_a_fault_is_one_printable_line_that_names_place_and_cause(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        rows(tmp_path, text)

    assert str(caught.value).isprintable()


def test_a_column_that_nobody_wants_may_be_doubled_and_a_row_without_it_may_be_short(tmp_path: Path) -> None:
    assert rows(tmp_path, "a,b,c,c\n1,2\n")[0] == [["1", "2"]]


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory\)"):
        csv_table.read(tmp_path)


def test_rows_are_read_one_by_one_so_that_a_large_file_needs_little_more_memory_than_its_text(tmp_path: Path) -> None:
    text = "a,b,c,d\n" + "12.25,50.25,1,2\n" * 50_000
    path = write(tmp_path, text)

    tracemalloc.start()
    try:
        count = sum(1 for _ in csv_table.read(path).rows(AB))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert count == 50_000
    assert peak < 10 * len(text)  # the text as bytes, as characters, and as the four bytes each of an io.StringIO
