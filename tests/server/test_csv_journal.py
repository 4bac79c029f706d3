"""The journal of the CSV file: what was to be appended, and which messages are known."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from aoii.runtime import metrics
from aoii.server.csv_journal import CsvJournal, CsvRow, Entry

FIELDS: dict[str, str | float] = {"Timestamp": "2016-01-01 10:00:00", "Event": "RX", "Actual_T": 21.5}


def rows(*keys: str | None) -> list[CsvRow]:
    return [CsvRow(key, FIELDS) for key in keys]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[CsvJournal]:
    journal = CsvJournal(path)
    yield journal
    journal.close()


def test_a_new_journal_has_no_entry_and_the_last_one_replaces_the_one_before(journal: CsvJournal) -> None:
    assert journal.entry() is None

    journal.record(rows("a"), Entry("/log.csv", 10, b"first\n"))
    journal.record(rows("b"), Entry("/log.csv", 16, b"second\n"))

    assert journal.entry() == Entry("/log.csv", 16, b"second\n")


def test_a_key_is_known_after_it_was_recorded_also_after_a_restart(path: Path, journal: CsvJournal) -> None:
    before = metrics.value(metrics.CSV_DUPLICATES)
    journal.record(rows("a", None), Entry("/log.csv", 0, b""))

    again = CsvJournal(path)
    unseen = again.unseen(rows("a", "b", "b", None, None))
    again.close()

    assert [row.key for row in unseen] == ["b", None, None]
    assert metrics.value(metrics.CSV_DUPLICATES) == before + 2


def test_what_fails_is_recorded_neither_as_entry_nor_as_keys(journal: CsvJournal) -> None:
    journal.record(rows("a"), Entry("/log.csv", 0, b"first\n"))

    with pytest.raises(sqlite3.IntegrityError):
        journal.record(rows("b", "a"), Entry("/log.csv", 6, b"second\n"))

    assert journal.entry() == Entry("/log.csv", 0, b"first\n")
    assert [row.key for row in journal.unseen(rows("b"))] == ["b"]
