"""The server's dead letters: durable, unique, capped."""

import contextlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from aoii.broker.messages import Identity, decode_message
from aoii.core.errors import UnavailableError
from aoii.server.dead_letters.file import PAGE_BYTES
from aoii.server.dead_letters.store import DeadLetters, DeadLettersFull
from server.samples import a_reading, damage, fill, filled


def test_an_added_reading_can_be_read_back(letters: DeadLetters) -> None:
    reading = a_reading(5, node="gw/ttyUSB0", transmission_delay_ms=12)

    letters.add([reading], "database_away", "connection refused")

    (letter,) = letters.waiting(10)
    assert decode_message(letter.payload) == reading
    assert (letter.node, letter.epoch, letter.counter, letter.digest) == ("gw/ttyUSB0", 1, 5, reading.digest())
    assert (letter.reason, letter.detail, letter.attempts) == ("database_away", "connection refused", 1)
    assert letter.first_unix_ms == letter.last_unix_ms > 1_600_000_000_000


def test_adding_twice_makes_one_letter_with_the_latest_reason(letters: DeadLetters) -> None:
    letters.add([a_reading(1), a_reading(2)], "database_away", "away")

    letters.add([a_reading(1)], "bad_row", "too hot")

    first, second = letters.letters(10)
    assert (first.counter, first.reason, first.detail, first.attempts) == (1, "bad_row", "too hot", 2)
    assert (second.counter, second.reason, second.attempts) == (2, "database_away", 1)
    assert [letter.counter for letter in letters.waiting(10)] == [2]


def test_the_same_identity_with_another_content_is_another_letter(letters: DeadLetters) -> None:
    letters.add([a_reading(1), a_reading(1, actual_t=30.0)], "mismatch", "")

    assert letters.counts()["mismatch"] == 2
    assert list(letters.identities()) == [Identity("7", 1, 1)] * 2


def test_readings_without_identity_are_letters_of_their_own(letters: DeadLetters) -> None:
    nobody = replace(a_reading(), identity=None)

    letters.add([nobody, nobody, a_reading(3)], "database_away", "")

    assert letters.counts()["database_away"] == 3
    assert list(letters.identities()) == [Identity("7", 1, 3)]


def test_at_the_cap_nothing_more_is_taken_and_nothing_is_lost(letters: DeadLetters, tmp_path: Path) -> None:
    kept = fill(letters)

    assert kept > 500
    assert sorted(who.counter for who in letters.identities()) == list(range(kept))
    assert not letters.has_room()
    assert (tmp_path / "dead_letters.db").stat().st_size <= 2**20


def test_room_that_is_made_can_be_used_again(letters: DeadLetters) -> None:
    kept = fill(letters)

    letters.remove(letter.id for letter in letters.letters(kept))

    assert letters.has_room()
    assert fill(letters) > 0.99 * kept  # higher numbers take a little more room


def test_malformed_payloads_are_a_ring(letters: DeadLetters) -> None:
    limit = 2**20 // 4096 // 4

    assert letters.add_to_ring([(b"%d" % number, "json: no JSON") for number in range(limit)]) == 0
    assert letters.add_to_ring([(b"new", "json: no JSON"), (b"newer", "json: no JSON")]) == 2
    assert letters.add_to_ring([(b"%d" % number, "json: no JSON") for number in range(limit + 5)]) == limit + 5

    kept = letters.letters(1000)
    assert [letter.payload for letter in kept] == [b"%d" % number for number in range(5, limit + 5)]
    assert list(letters.identities()) == []


def test_a_huge_payload_is_cut_and_a_full_file_drops_the_malformed_first(letters: DeadLetters) -> None:
    letters.add_to_ring([(b"x" * 1_000_000, "size: too long")])

    assert len(letters.letters(1)[0].payload) == PAGE_BYTES

    fill(letters)
    assert letters.add_to_ring([(b"y" * 5000, "size: too long")] * 100) == 100


def test_a_malformed_payload_of_a_known_sender_is_kept_like_a_reading(letters: DeadLetters) -> None:
    limit = 2**20 // 4096 // 4

    letters.add_malformed_readings(
        [(Identity("7", 1, 5), b"{}", "range: hot"), (Identity("7", 1, 6), b"{}", "range: hot")]
    )
    letters.add_malformed_readings([(Identity("7", 1, 5), b"{}", "range: hot")])
    dropped = letters.add_to_ring([(b"%d" % number, "json: no JSON") for number in range(limit + 5)])

    assert dropped == 5
    assert list(letters.identities()) == [Identity("7", 1, 5), Identity("7", 1, 6)]
    first, second = letters.letters(2)
    assert (first.reason, first.detail, first.payload, first.attempts) == ("malformed", "range: hot", b"{}", 2)
    assert second.attempts == 1
    fill(letters)
    with pytest.raises(DeadLettersFull):
        letters.add_malformed_readings([(Identity("7", 1, n), b"x" * 4000, "range: hot") for n in range(9)])


def test_what_was_added_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "dead_letters.db"
    script = (
        "import os, pathlib, sys; from server.samples import a_reading, damage, filled; "
        "from aoii.server.dead_letters.store import DeadLetters; "
        "DeadLetters(pathlib.Path(sys.argv[1]), 1).add([a_reading(9)], 'database_away', ''); os.kill(os.getpid(), 9)"
    )
    environ = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}

    ended = subprocess.run([sys.executable, "-c", script, str(path)], env=environ, check=False)

    assert ended.returncode == -9

    assert list(DeadLetters(path, 1).identities()) == [Identity("7", 1, 9)]


def test_damage_that_appears_while_running_is_healed_without_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "dead_letters.db"
    filled(path)
    with contextlib.closing(DeadLetters(path, 4)) as letters:
        damage(path, b'"counter":100,')

        with pytest.raises(UnavailableError, match="salvages what it can"):
            letters.letters(1000)

        assert len(letters.letters(1000)) == letters.recoveries[0].salvaged > 150
