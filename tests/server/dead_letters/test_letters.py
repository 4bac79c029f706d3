"""Letters of an open file: read, changed and removed."""

import sqlite3
from pathlib import Path

import pytest

from aoii.core.errors import UnavailableError
from aoii.server.dead_letters.letters import read_identities
from aoii.server.dead_letters.store import DeadLetters
from server.samples import a_reading


def test_letters_are_removed_and_changed_by_number(letters: DeadLetters) -> None:
    letters.add([a_reading(counter) for counter in range(4)], "database_away", "")
    ids = [letter.id for letter in letters.letters(10)]

    letters.remove(ids[:2])
    letters.change_reasons([(ids[2], "mismatch", "other content")])

    assert letters.counts() == {"database_away": 1, "bad_row": 0, "mismatch": 1, "malformed": 0, "corrupt": 0}
    assert [letter.counter for letter in letters.letters(10, reason="mismatch")] == [2]
    assert [letter.counter for letter in letters.letters(10, after_id=ids[2])] == [3]


def test_only_what_a_person_has_seen_is_dropped(letters: DeadLetters) -> None:
    letters.add([a_reading(1), a_reading(2)], "mismatch", "")
    seen = letters.letters(9)
    letters.add([a_reading(2)], "database_away", "")  # it came again meanwhile

    assert letters.drop(seen) == seen[:1]
    assert [letter.counter for letter in letters.letters(9)] == [2]


def test_while_another_process_holds_the_lock_the_letters_are_unavailable(letters: DeadLetters, tmp_path: Path) -> None:
    letters._connection.execute("PRAGMA busy_timeout = 50")
    other = sqlite3.connect(tmp_path / "dead_letters.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(UnavailableError, match="locked"):
        letters.add([a_reading(1)], "bad_row", "")
    other.execute("ROLLBACK")
    other.close()

    letters.add([a_reading(1)], "bad_row", "")
    assert a_reading(1).identity == next(letters.identities())


def test_a_letter_with_the_number_of_another_reading_accounts_for_nothing(letters: DeadLetters, tmp_path: Path) -> None:
    """Its row may be lost with the database; the gateway that keeps that reading must be asked all the same."""
    letters.add([a_reading(1)], "mismatch", "")
    letters.add([a_reading(2)], "bad_row", "")

    assert [who.counter for who in letters.identities()] == [1, 2]
    assert [who.counter for who in letters.accounted()] == [2]
    assert [who.counter for who in read_identities(tmp_path / "dead_letters.db")] == [2]
