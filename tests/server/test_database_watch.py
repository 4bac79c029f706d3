"""The database watch, with a database that answers as it is told to."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from aoii.runtime import metrics
from aoii.server.database_errors import DatabaseAway
from aoii.server.database_watch import DatabaseWatch
from aoii.server.db import Database
from servers import until


class ToldDatabase(Database):
    """Is away while `problem` is set, and counts its migrations."""

    def __init__(self, problem: str | None = None) -> None:
        self.problem = problem
        self.migrations = 0
        self.is_probed = False
        self.gate = threading.Event()  # a probe passes only while it is set
        self.gate.set()

    def migrate(self) -> None:
        self._check()
        self.migrations += 1

    def check_writable(self) -> None:
        self.is_probed = True
        self.gate.wait(30)
        self._check()

    def _check(self) -> None:
        if self.problem is not None:
            raise DatabaseAway("unreachable", self.problem)


@contextmanager
def watching(database: ToldDatabase, on_answer: Callable[[], None] = lambda: None) -> Iterator[DatabaseWatch]:
    watch = DatabaseWatch(database, 0.01, on_answer)
    watch.start()
    try:
        yield watch
    finally:
        database.gate.set()
        watch.stop()
        until(lambda: not watch.part.is_running)


def test_a_database_that_answers_is_up_and_its_tables_are_made() -> None:
    answered = threading.Event()

    with watching(ToldDatabase(), answered.set) as watch:
        assert watch.wait_answer(10)
        assert answered.wait(10)

        assert watch.is_up
        assert metrics.value(metrics.DATABASE_UP) == 1


def test_one_that_is_away_is_probed_until_it_is_back_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    database = ToldDatabase("gone")

    with watching(database) as watch:
        until(lambda: any(record.message == "database away" for record in caplog.records))
        assert not watch.wait_answer(0.1)
        assert not watch.is_up
        database.problem = None

        assert watch.wait_answer(10)
        until(lambda: watch.is_up)

    assert [record.message for record in caplog.records].count("database away") == 1


def test_a_failed_insert_has_the_tables_checked_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    database = ToldDatabase()

    with watching(database) as watch:
        until(lambda: watch.is_up)
        watch.record_failure("table is full")
        until(lambda: database.migrations == 2)
        until(lambda: watch.is_up)
        back = [record.message for record in caplog.records].count("database takes rows again")
        watch.record_success()
        watch.record_success()

    assert back == 0, "an answer is not an insert"
    assert [record.message for record in caplog.records].count("database takes rows again") == 1


def test_a_probe_without_an_answer_is_no_progress() -> None:
    database = ToldDatabase()
    database.gate.clear()

    with watching(database) as watch:
        until(lambda: database.is_probed)
        first, second = watch.part, watch.part

        assert first.is_running
        assert first.last_progress_s == second.last_progress_s < time.monotonic()


def test_an_error_of_ours_ends_the_watch(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(ToldDatabase):
        def migrate(self) -> None:
            raise ZeroDivisionError

    with watching(Broken()) as watch:
        until(lambda: not watch.part.is_running)

    assert any(record.message == "a thread was ended by an error" for record in caplog.records)


def test_causes_that_take_turns_are_logged_once_each(caplog: pytest.LogCaptureFixture) -> None:
    watch = DatabaseWatch(ToldDatabase(), 10)

    for number in range(10):
        watch.record_failure("refused" if number % 2 else "timed out")

    assert [vars(one)["reason"] for one in caplog.records] == ["timed out", "refused"]
