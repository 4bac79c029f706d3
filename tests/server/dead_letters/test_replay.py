"""Dead letters inserted again: removed when they are stored, kept with a new reason when they are not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from aoii.broker.messages import Estimate, encode_estimate
from aoii.server.database_errors import DatabaseAway
from aoii.server.db import Database, open_database
from aoii.server.dead_letters.replay import replay
from aoii.server.dead_letters.store import DeadLetters
from server.samples import a_reading, sqlite_at


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = open_database(sqlite_at(tmp_path / "aoii.db"), migrate=True)
    yield database
    database.close()


def test_what_is_stored_or_was_already_is_removed(database: Database, letters: DeadLetters) -> None:
    database.insert_reading(a_reading(1))
    letters.add([a_reading(1), a_reading(2)], "database_away", "")

    deliveries = replay(database, letters, letters.letters(9))

    assert [delivery.status for delivery in deliveries] == ["duplicate", "stored"]
    assert letters.letters(9) == []
    assert [row.counter for row in database.recent(9)] == [1, 2]


def test_what_cannot_be_stored_stays_with_its_new_reason_and_one_attempt_more(
    database: Database, letters: DeadLetters
) -> None:
    estimate = encode_estimate(Estimate("gateway", "7", "2016-01-01 10:01:00", 0.4, 21.0, 40.0, 9, None))
    database.insert_reading(a_reading(1))
    letters.add([a_reading(1, actual_t=30.0)], "database_away", "")
    letters.add_to_ring([(b"\xff", "encoding"), (estimate, "by hand")])

    deliveries = replay(database, letters, letters.letters(9))

    assert [delivery.status for delivery in deliveries] == ["mismatch", "malformed", "malformed"]
    assert [(letter.reason, letter.attempts) for letter in letters.letters(9)] == [
        ("mismatch", 2), ("malformed", 2), ("malformed", 2),
    ]  # fmt: skip
    assert database.stats().total == 1


def test_a_letter_that_fails_its_checksum_is_not_inserted(database: Database, letters: DeadLetters) -> None:
    letters.add([a_reading(1)], "database_away", "")
    letters._connection.execute("UPDATE letters SET counter = 2")

    (delivery,) = replay(database, letters, letters.letters(9))

    assert delivery.status == "corrupt"
    assert database.stats().total == 0
    assert [letter.reason for letter in letters.letters(9)] == ["corrupt"]


def test_while_the_database_is_away_no_letter_changes(letters: DeadLetters, tmp_path: Path) -> None:
    letters.add([a_reading(1)], "database_away", "")
    before = letters.letters(9)

    with pytest.raises(DatabaseAway):
        replay(open_database(sqlite_at(tmp_path / "none.db")), letters, before)

    assert letters.letters(9) == before
