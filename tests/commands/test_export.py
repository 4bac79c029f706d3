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


@pytest.mark.parametrize(("name", "begins"), [("all.csv", b"id,"), ("all.parquet", b"PAR1")])
def test_the_extension_of_the_file_says_its_form(with_readings: None, tmp_path: Path, name: str, begins: bytes) -> None:
    assert main.main(["export", "--out", str(tmp_path / name)]) == 0
    assert (tmp_path / name).read_bytes().startswith(begins)


def test_only_the_chosen_node_and_time_are_written(with_readings: None, capsys: pytest.CaptureFixture[str]) -> None:
    main.main(["export", "--node", "8"])
    main.main(["export", "--start", "2100-01-01"])

    assert capsys.readouterr().err == "0 rows written to standard output\n" * 2
