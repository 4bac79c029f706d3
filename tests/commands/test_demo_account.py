"""The account of a demo: accepted readings against rows and dead letters, and nothing that a station says of itself."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from aoii import settings
from aoii.commands.demo_account import Account
from aoii.server.db import Database, open_database
from aoii.server.dead_letters.store import DeadLetters
from server.samples import a_reading


@pytest.fixture
def account(tmp_path: Path) -> Account:
    (tmp_path / "run").mkdir()
    record = str(tmp_path / "run" / "record.csv")
    return Account(settings.load({"AOII_DATA_DIR": str(tmp_path), "EDGE_RECORD_FILE": record}), 1, 60.0)


@pytest.fixture
def database(account: Account) -> Iterator[Database]:
    with contextlib.closing(open_database(account.settings.database, migrate=True)) as database:
        yield database


def record(account: Account, text: str) -> None:
    assert account.settings.edge.record_file is not None
    account.settings.edge.record_file.write_text(text)


def test_an_accepted_reading_is_stored_a_dead_letter_or_missing(account: Account, database: Database) -> None:
    record(account, "7,1,1\n7,1,2\n7,1,3\n7,1,3\n")
    database.insert_reading(a_reading(1))
    server = account.settings.server
    with contextlib.closing(DeadLetters(server.dead_letter_path, server.dead_letter_max_mb)) as letters:
        letters.add([a_reading(2)], "bad_row", "")

    summary = account.summary()

    assert (summary.accepted, summary.stored, summary.dead_letters, summary.missing) == (3, 1, 1, 1)


@pytest.mark.usefixtures("database")
def test_a_line_that_is_not_complete_is_not_counted(account: Account) -> None:
    record(account, "7,1,1\n7,1,")

    assert account.summary().accepted == 1


def test_rows_of_an_earlier_run_do_not_count(account: Account, database: Database) -> None:
    database.insert_reading(a_reading(1))  # of epoch 1

    later = Account(account.settings, 2, 60.0)

    assert (account.summary().stored, later.summary().stored) == (1, 0)


@pytest.mark.usefixtures("database")
def test_numbers_of_the_nodes_come_from_their_report(account: Account) -> None:
    before = account.report()
    report = {"samples": 90, "events": 5, "heartbeats": 2, "retries": 1, "wrong_instants": 3, "aoii_p99_s": 60}
    account.settings.edge.report_file.write_text(json.dumps(report))

    summary = account.summary()

    assert before == {}
    assert (summary.samples, summary.sent, summary.periodic, summary.minutes_wrong) == (90, 8, 90, 3.0)
