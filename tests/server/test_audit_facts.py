"""What a look reads, from both engines; and that a look at what is new finds what a full one would."""

import pytest

from aoii.broker.messages import Identity
from aoii.server import audit_facts
from aoii.server.audit_facts import AuditFacts
from aoii.server.db import Database
from aoii.server.gaps import Gap, Gaps
from aoii.server.look import NodeFacts
from aoii.server.retirement import Floors
from aoii.settings import Database as DatabaseSettings
from server.samples import a_reading, run_sql

KEY = "7", 1


@pytest.fixture(params=[3, 20_000])
def database(database: Database, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Read in many pages, and in one."""
    monkeypatch.setattr(audit_facts, "PAGE_ROWS", request.param)
    return database


def test_a_full_look_reads_everything_as_of_one_instant(database: Database) -> None:
    database.insert_readings([a_reading(number) for number in (1, 2, 3, 5, 9)])
    database.insert_readings([a_reading(2, node="8", gateway="attic")])
    gap = Gap("7", 1, 4, 4, "void")
    Gaps(database.pool).record([gap])
    Floors(database.pool).raise_floor("7", 1, 1)

    look = AuditFacts(database.pool).look("full", [Identity("7", 1, 7), Identity("7", 1, 1)])

    assert look.is_full
    assert look.facts == {
        KEY: NodeFacts(((2, 3), (5, 5), (9, 9)), ((7, 7),), [gap], 1, frozenset({"gateway"})),
        ("8", 1): NodeFacts(((2, 2),), writers=frozenset({"attic"})),
    }
    assert look.gateways == {"gateway", "attic"}


def test_a_look_reads_only_what_is_new_and_says_the_same_as_a_full_one(database: Database) -> None:
    facts = AuditFacts(database.pool)
    assert facts.look("incremental", []).is_full  # the first one
    for numbers in ([3, 1], [8, 7], [2, 6], []):
        database.insert_readings([a_reading(number) for number in numbers])

        look = facts.look("incremental", [])

        assert not look.is_full
        assert look.facts == AuditFacts(database.pool).look("full", []).facts


def test_a_row_that_was_committed_late_is_found(database: Database, place: DatabaseSettings) -> None:
    database.insert_readings([a_reading(1), a_reading(2), a_reading(3)])
    late = run_sql(place, "SELECT id FROM readings WHERE counter = 2")[0][0]
    run_sql(place, "DELETE FROM readings WHERE counter = 2")
    facts = AuditFacts(database.pool)
    facts.look("full", [])

    database.insert_readings([a_reading(2)])
    run_sql(place, f"UPDATE readings SET id = {late} WHERE counter = 2")  # noqa: S608 - a number of the test
    look = facts.look("incremental", [])

    assert not look.is_full
    assert look.facts[KEY].rows == ((1, 3),)


@pytest.mark.parametrize("overlap", [2, 10_000])
def test_rows_that_have_vanished_make_a_look_a_full_one(
    database: Database, place: DatabaseSettings, overlap: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_facts, "OVERLAP", overlap)
    facts = AuditFacts(database.pool)
    database.insert_readings([a_reading(number) for number in range(1, 10)])
    facts.look("full", [])

    run_sql(place, "DELETE FROM readings WHERE counter >= 8")
    look = facts.look("incremental", [])
    assert look.is_full
    assert look.facts[KEY].rows == ((1, 7),)

    run_sql(place, "DELETE FROM readings")
    look = facts.look("incremental", [])
    assert look.is_full
    assert look.facts == {}


def test_other_rows_in_the_place_of_those_before_make_a_look_a_full_one(
    database: Database, place: DatabaseSettings
) -> None:
    facts = AuditFacts(database.pool)
    database.insert_readings([a_reading(number) for number in range(1, 6)])
    facts.look("full", [])

    run_sql(place, "UPDATE readings SET counter = 60 WHERE counter = 5")  # a backup came back, and new rows after it
    look = facts.look("incremental", [])

    assert look.is_full
    assert look.facts[KEY].rows == ((1, 4), (60, 60))


def test_numbers_older_than_the_audit_are_known(database: Database, place: DatabaseSettings) -> None:
    database.insert_readings([a_reading(1), a_reading(4), a_reading(1, node="8"), a_reading(2, node="8")])
    run_sql(place, "UPDATE marks SET value = (SELECT max(id) FROM readings) WHERE name = 'rows_before_audit'")
    database.insert_readings([a_reading(9), a_reading(3, node="9")])

    look = AuditFacts(database.pool).look("full", [])

    assert look.facts[KEY].before == 4
    assert look.facts["9", 1].before == -1


def test_after_a_look_that_failed_everything_is_read(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = AuditFacts(database.pool)
    database.insert_readings([a_reading(1)])
    facts.look("full", [])
    with monkeypatch.context() as patch:
        patch.setattr(audit_facts, "_pages", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            facts.look("incremental", [])

    assert facts.look("incremental", []).is_full
