"""`aoii export`: the form of the file, and what is chosen."""

import contextlib
from pathlib import Path

import pytest

from aoii.commands import main
from aoii.server.db import open_database
from server.samples import a_reading, sqlite_at


@pytest.fixture
def with_readings(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AOII_DATA_DIR", str(data_dir))
    with contextlib.closing(open_database(sqlite_at(data_dir / "aoii.db"), migrate=True)) as database:
        for counter in (1, 2):
            database.insert_reading(a_reading(counter))


def test_readings_go_to_standard_output_and_their_number_to_standard_error(
    with_readings: None, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main.main(["export"])

    printed = capsys.readouterr()
    assert code == 0
    assert len(printed.out.splitlines()) == 3  # with a header
    assert printed.err == "2 rows written to standard output\n"


@pytest.mark.parametrize(
    ("name", "begins"), [("all.csv", b"id,"), ("all.csv.gz", b"\x1f\x8b"), ("all.parquet", b"PAR1")]
)
def test_the_extension_of_the_file_says_its_form(with_readings: None, tmp_path: Path, name: str, begins: bytes) -> None:
    assert main.main(["export", "--out", str(tmp_path / name)]) == 0
    assert (tmp_path / name).read_bytes().startswith(begins)


def test_a_spreadsheet_is_refused_with_what_to_do(
    with_readings: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["export", "--out", str(tmp_path / "all.xlsx")]) == 2

    assert "spreadsheets open .csv" in capsys.readouterr().err
    assert list(tmp_path.glob("all*")) == []


@pytest.mark.parametrize("out", ["", ".", "/", ".."])
def test_no_file_is_said_in_one_line(out: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main(["export", "--out", out])

    assert caught.value.code == 2
    assert f"{out!r} is not a file" in capsys.readouterr().err


def test_an_unknown_node_is_an_error(with_readings: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["export", "--node", "8"]) == 2

    printed = capsys.readouterr()
    assert printed.out == ""
    assert "the database has no reading of node 8; it has 7" in printed.err


def test_an_empty_range_is_a_header_and_a_notice(with_readings: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["export", "--start", "2100-01-01"]) == 0

    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 1
    assert printed.err.startswith("0 rows written to standard output\naoii export: no reading is in this range of time")
