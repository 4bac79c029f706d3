"""The account of a campaign: it finds what it is there to find, and waits for what is under way."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults import old_node
from faults.audit import Audit
from faults.recorder import Content, Key, Recorder
from servers import MariaDB

TABLE = """
CREATE TABLE readings (
    id INT PRIMARY KEY AUTO_INCREMENT, node VARCHAR(128), epoch BIGINT, counter BIGINT,
    actual_temp DOUBLE NOT NULL, actual_humidity DOUBLE NOT NULL
)
"""
LETTERS = """
CREATE TABLE letters (
    id INTEGER PRIMARY KEY, reason TEXT, node TEXT, epoch INTEGER, counter INTEGER, payload BLOB
)
"""
OUTBOX = """
CREATE TABLE events (seq INTEGER PRIMARY KEY, node TEXT);
CREATE TABLE corrupt (id INTEGER PRIMARY KEY, node BLOB, epoch INTEGER, counter INTEGER, payload BLOB);
"""
KEYS = [Key("7", 1, counter) for counter in range(1, 5)]
SAID = Content(2150, 4000)


class World:
    """A database, dead letters and an outbox that hold what a test puts there."""

    def __init__(self, folder: Path, mariadb: MariaDB) -> None:
        self._mariadb = mariadb
        self._schema = mariadb.new_schema()
        mariadb.execute(TABLE, database=self._schema)
        self._letters, self._outbox = folder / "letters.db", folder / "outbox.db"
        self._execute(self._letters, LETTERS)
        self._execute(self._outbox, OUTBOX)
        self.recorder = Recorder()
        self.audit = Audit(self.recorder, mariadb.port, self._schema, self._letters, [self._outbox])

    @staticmethod
    def _execute(path: Path, script: str) -> None:
        with sqlite3.connect(path) as connection:
            connection.executescript(script)

    def accept(self, *keys: Key) -> None:
        for key in keys:
            self.recorder.note_sent(key, SAID)
            self.recorder.note_accepted(key)

    def store(self, *keys: Key, said: Content = SAID, row_id: str = "NULL") -> None:
        for node, epoch, counter in keys:
            values = f"{row_id}, '{node}', {epoch}, {counter}, {said.temperature_c / 100}, {said.humidity_c / 100}"
            self._mariadb.execute(f"INSERT INTO readings VALUES ({values})", database=self._schema)  # noqa: S608 - ours

    def remove(self, key: Key) -> None:
        self._mariadb.execute(f"DELETE FROM readings WHERE counter = {key.counter}", database=self._schema)  # noqa: S608 - ours

    def dead_letter(self, key: Key, reason: str, said: Content = SAID) -> None:
        payload = json.dumps({"actual_t": said.temperature_c / 100, "actual_h": said.humidity_c / 100})
        with sqlite3.connect(self._letters) as connection:
            connection.execute("INSERT INTO letters VALUES (NULL, ?, ?, ?, ?, ?)", (reason, *key, payload))

    def wait_in_outbox(self) -> None:
        self._execute(self._outbox, "INSERT INTO events (node) VALUES ('7')")

    def set_aside(self, key: Key, payload: bytes = b"") -> None:
        with sqlite3.connect(self._outbox) as connection:
            row = (key.node.encode(), *key[1:], payload)
            connection.execute("INSERT INTO corrupt VALUES (NULL, ?, ?, ?, ?)", row)


@pytest.fixture
def world(tmp_path: Path, mariadb: MariaDB) -> Iterator[World]:
    world = World(tmp_path, mariadb)
    yield world
    world.audit.close()


def test_what_was_accepted_and_is_stored_once_is_well(world: World) -> None:
    world.accept(*KEYS)
    world.store(*KEYS)

    count = world.audit.count()

    assert (count.accepted, count.stored, count.dead_letters) == (4, 4, 0)
    assert (count.missing, count.duplicates, count.spurious, count.corrupt) == (0, 0, 0, 0)
    assert world.audit.unfinished() == ""


def test_a_reading_set_aside_under_a_damaged_name_is_known_by_its_payload(world: World) -> None:
    world.accept(*KEYS)
    world.store(*KEYS[1:])
    world.set_aside(Key("7", 1, 1 << 20), json.dumps({"node": "7", "epoch": 1, "counter": 1}).encode())

    assert world.audit.count().missing == 0
    assert world.audit.nameless == 0


def test_a_reading_set_aside_without_a_name_stands_for_one_that_is_gone_until_it_is_written_off(world: World) -> None:
    world.accept(*KEYS)
    world.store(*KEYS[2:])
    world.set_aside(Key("7", 1, 1 << 20), b'{"node": "7", ')

    assert (world.audit.count().missing, world.audit.nameless) == (2, 1)
    assert "2 accepted readings are neither" in world.audit.unfinished()
    assert not world.audit.unfinished(lost=1)
    world.audit.write_off()
    assert world.audit.nameless == 0


def test_a_reading_that_is_nowhere_is_missing_until_it_is_written_off(world: World) -> None:
    world.accept(*KEYS)
    world.store(*KEYS[1:])

    assert world.audit.count().missing == 1
    assert "1 accepted readings" in world.audit.unfinished()
    assert world.audit.unfinished(lost=1) == ""

    world.audit.write_off()
    assert world.audit.count().missing == 0


def test_a_row_that_vanishes_after_it_was_seen_is_missing(world: World) -> None:
    world.accept(*KEYS)
    world.store(*KEYS)
    world.audit.count()

    world.remove(KEYS[0])

    assert world.audit.count().missing == 1


@pytest.mark.parametrize("reason", ["mismatch", "bad_row", "malformed"])
def test_a_dead_letter_is_not_missing(world: World, reason: str) -> None:
    world.accept(KEYS[0])
    world.dead_letter(KEYS[0], reason)

    count = world.audit.count()

    assert (count.missing, count.dead_letters, count.duplicates) == (0, 1, 0)
    assert world.audit.unfinished() == ""


def test_a_reading_that_a_damaged_outbox_lists_is_not_missing(world: World) -> None:
    world.accept(KEYS[0])
    world.set_aside(KEYS[0])

    count = world.audit.count()

    assert (count.missing, count.dead_letters) == (0, 1)


def test_a_second_row_of_one_reading_is_a_duplicate(world: World) -> None:
    world.accept(*KEYS)
    world.store(*KEYS, KEYS[2])

    assert world.audit.count().duplicates == 1


def test_a_reading_that_is_a_row_and_a_dead_letter_is_a_duplicate(world: World) -> None:
    world.accept(KEYS[0])
    world.store(KEYS[0])
    world.dead_letter(KEYS[0], "bad_row")

    assert world.audit.count().duplicates == 1


def test_a_reading_of_an_old_node_is_known_by_what_it_says_and_not_by_its_counter(world: World) -> None:
    said = [old_node.content_of(number) for number in (1, 2, 9000)]
    keys = [old_node.key_of(content) for content in said]
    for key, content in zip(keys, said, strict=True):
        world.recorder.note_sent(key, content)
        world.recorder.note_accepted(key)

    world.store(Key("gateway/ttyUSB1", 77777, 1), said=said[0])
    world.store(Key("gateway/ttyUSB1", 88888, 1), said=said[0])  # the same once more, under another identity
    world.store(Key("gateway/ttyUSB1", 77777, 2), said=Content(5, 5))  # nobody said that

    count = world.audit.count()
    assert (count.missing, count.duplicates, count.spurious) == (2, 1, 1)


def test_every_reading_of_an_old_node_says_something_of_its_own() -> None:
    numbers = [*range(1, 20_000), 1_000_000]

    assert [old_node.key_of(old_node.content_of(number)).counter for number in numbers] == numbers
    assert len({old_node.content_of(number) for number in numbers}) == len(numbers)


def test_what_nobody_sent_is_spurious_in_the_table_and_among_the_letters(world: World) -> None:
    world.store(KEYS[0])
    world.dead_letter(KEYS[1], "bad_row")

    assert world.audit.count().spurious == 2


def test_another_content_than_was_sent_is_corrupt_in_the_table_and_among_the_letters(world: World) -> None:
    world.accept(KEYS[0], KEYS[1])
    world.store(KEYS[0], said=Content(2151, 4000))
    world.dead_letter(KEYS[1], "bad_row", said=Content(2150, 4001))

    assert world.audit.count().corrupt == 2


def test_a_reading_sent_with_two_contents_may_be_either(world: World) -> None:
    world.accept(KEYS[0])
    world.recorder.note_sent(KEYS[0], Content(1, 1))
    world.store(KEYS[0])
    world.dead_letter(KEYS[0], "mismatch", said=Content(1, 1))

    count = world.audit.count()

    assert (count.corrupt, count.duplicates) == (0, 0)


def test_a_row_that_appears_behind_the_last_one_read_is_seen(world: World) -> None:
    world.accept(*KEYS[:2])
    world.store(KEYS[0], row_id="10")
    assert world.audit.count().missing == 1

    world.store(KEYS[1], row_id="5")  # a transaction that began early and committed late

    assert (world.audit.count().stored, world.audit.count().missing) == (2, 0)


def test_a_stack_is_not_drained_while_the_outbox_or_the_letters_hold_something(world: World) -> None:
    world.accept(KEYS[0])
    world.store(KEYS[0])
    world.wait_in_outbox()

    assert world.audit.unfinished() == "1 readings wait in the outbox"


def test_a_stack_is_not_drained_while_letters_wait_for_the_database(world: World) -> None:
    world.accept(KEYS[0])
    world.dead_letter(KEYS[0], "database_away")

    assert world.audit.unfinished() == "1 dead letters wait to be replayed"
