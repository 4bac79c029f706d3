"""What the ledger counts, read from both engines."""

from dataclasses import replace
from datetime import date

import pytest

from aoii.broker.messages import Identity
from aoii.broker.repair_messages import Holding, Report
from aoii.server import ledger_facts
from aoii.server.db import Database
from aoii.server.gaps import Gap, Gaps
from aoii.server.gateway_reports import GatewayReports
from aoii.server.ledger import Account, account, accounts_by_day
from aoii.server.ledger_facts import open_facts, read_accounts
from aoii.server.retirement import Floors
from aoii.settings import Database as DatabaseSettings
from server.samples import a_reading, run_sql
from server.test_ledger import parts

DAY_MS = 86_400_000


@pytest.fixture(params=[3, 100_000])
def database(database: Database, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Read in many pages, and in one."""
    monkeypatch.setattr(ledger_facts, "PAGE_ROWS", request.param)
    monkeypatch.setattr(ledger_facts, "DATED_ROWS", request.param)
    return database


def test_progress_is_told_by_rows(database: Database) -> None:
    database.insert_readings([a_reading(number) for number in range(1, 8)])
    told: list[int] = []

    (found,) = read_accounts(database.pool, [], told.append)

    assert found.stored == sum(told) == 7
    assert len(told) == (3 if ledger_facts.PAGE_ROWS == 3 else 1)


def accounts(database: Database, letters: list[Identity] | None = None, node: str | None = None) -> list[Account]:
    with open_facts(database.pool, letters or [], node) as found:
        return [account(found.facts(key)) for key in found.keys]


def summary(found: list[Account]) -> dict[tuple[str, int], tuple[int, dict[str, int]]]:
    assert all(one.is_balanced for one in found)
    return {(one.node, one.epoch): (one.last, parts(one)) for one in found}


def test_every_part_is_read(database: Database) -> None:
    database.insert_readings([a_reading(number) for number in (1, 2, 3, 4, 5, 9, 10, 14)])
    Gaps(database.pool).record([Gap("7", 1, 6, 6, "void"), Gap("7", 1, 7, 9, "unknown"), Gap("7", 1, 16, 16, "lost")])
    Floors(database.pool).raise_floor("7", 1, 2)
    GatewayReports(database.pool).record("attic", Report("0" * 16, 1, 0, (Holding("7", 1, 1, 18, 2),)))
    GatewayReports(database.pool).record("barn", Report("1" * 16, 1, 0, (Holding("7", 1, 1, 17, 2),)))
    letters = [Identity("7", 1, number) for number in (2, 5, 11, 11, 12)]

    found = summary(accounts(database, letters))

    counted = {"retired": 2, "stored": 6, "void": 1, "unknown": 2, "dead_letters": 2, "lost": 1, "waiting": 4}
    assert found == {("7", 1): (18, counted)}


def test_each_node_and_epoch_has_an_account_wherever_it_is_known_from(database: Database) -> None:
    database.insert_readings([a_reading(2), a_reading(1, node="8"), replace(a_reading(), identity=None)])
    database.insert_reading(replace(a_reading(), identity=Identity("old", 70_000, 1)))
    Gaps(database.pool).record([Gap("7", 2, 1, 3, "open")])
    Floors(database.pool).raise_floor("7", 3, 4)
    GatewayReports(database.pool).record("attic", Report("0" * 16, 1, 0, (Holding("9", 1, 1, 2, 0),)))

    found = summary(accounts(database, [Identity("7", 4, 1)]))

    assert found == {
        ("7", 1): (2, {"stored": 1, "waiting": 1}),
        ("7", 2): (3, {"open": 3}),
        ("7", 3): (4, {"retired": 4}),
        ("7", 4): (1, {"dead_letters": 1}),
        ("8", 1): (1, {"stored": 1}),
        ("9", 1): (2, {"waiting": 2}),
        ("old", 70_000): (1, {"stored": 1, "waiting": 1}),
    }
    assert [(one.node, one.epoch) for one in accounts(database, [Identity("7", 4, 1)], "8")] == [("8", 1)]


def test_an_empty_database_has_no_account(database: Database) -> None:
    assert accounts(database) == []


def test_a_number_below_the_first_does_not_balance(database: Database) -> None:
    database.insert_readings([a_reading(0), a_reading(1)])

    (found,) = accounts(database)

    assert not found.is_balanced


def test_gaps_that_overlap_in_the_table_do_not_balance(database: Database, place: DatabaseSettings) -> None:
    database.insert_reading(a_reading(9))
    Gaps(database.pool).record([Gap("7", 1, 1, 2, "lost"), Gap("7", 1, 5, 6, "lost")])
    run_sql(place, "UPDATE gaps SET last = 5 WHERE first = 1")

    (found,) = accounts(database)

    assert not found.is_balanced


def test_days_are_those_of_the_samples_or_of_the_inserts(database: Database) -> None:
    midnight = 1_451_606_400_000  # 2016-01-01
    times = {1: midnight, 2: midnight + DAY_MS - 1, 5: midnight + DAY_MS, 6: midnight + 3 * DAY_MS}
    database.insert_readings([a_reading(number, event_unix_ms=at) for number, at in times.items()])
    database.insert_reading(a_reading(7, event_unix_ms=None))

    with open_facts(database.pool, []) as found:
        days = found.days(("7", 1))
        facts = found.facts(("7", 1), [highest for _, highest in days])

    assert days[:3] == [(date(2016, 1, 1), 2), (date(2016, 1, 2), 5), (date(2016, 1, 4), 6)]
    assert [highest for _, highest in days] == [2, 5, 6, 7]
    by_day = list(accounts_by_day(facts, days))
    assert [(one.first, one.last, one.stored, one.waiting) for one in by_day] == [
        (1, 2, 2, 0), (3, 5, 1, 2), (6, 6, 1, 0), (7, 7, 1, 0)
    ]  # fmt: skip
    assert all(one.is_balanced for one in by_day)
