"""`aoii migrate`: the tables are there afterwards, and a second run changes nothing."""

import contextlib
from pathlib import Path

import pytest

from aoii.commands import main
from aoii.server.db import open_database
from server.samples import a_reading, sqlite_at


def test_the_tables_are_made_once_and_keep_their_rows(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AOII_DATA_DIR", str(data_dir))

    first = main.main(["migrate"])
    with contextlib.closing(open_database(sqlite_at(data_dir / "aoii.db"))) as database:
        database.insert_reading(a_reading(1))
        second = main.main(["migrate"])
        total = database.stats().total

    assert (first, second, total) == (0, 0, 1)
    assert capsys.readouterr().out.count("the tables are up to date\n") == 2
