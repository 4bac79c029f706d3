"""The poller: every row once into the fleet, also of a database that is replaced or put back."""

import threading
from pathlib import Path

import pytest

from aoii.broker.node_liveness import UNKNOWN
from aoii.broker.node_status import Label
from aoii.server.db import Database, open_database
from aoii.web import database_poller
from aoii.web.database_poller import DatabasePoller
from aoii.web.shared_fleet import SharedFleet
from aoii.web.source import Source
from servers import until
from web.conftest import Load
from web.recorded import FLEET_SETTINGS, START_MS, minutes, packets_of, store

DAY_S = 86400
STORY = list(minutes("7", count=300))


class Polled:
    """A poller whose polls the test makes itself."""

    def __init__(self, load: Load) -> None:
        self.source = Source(load().database)
        self.shared = SharedFleet(FLEET_SETTINGS, [], lambda: START_MS, dict, lambda _: UNKNOWN, lambda _: Label())
        self.stopping = threading.Event()
        self.outbox = Path("outbox.db")
        self.poller = DatabasePoller(self.source, self.shared, self.stopping, self.outbox)

    def poll(self) -> None:
        self.poller._poll()

    def counts(self) -> tuple[int, int]:
        """Samples and packets held of node 7."""
        points = self.shared.fleet.points("7", DAY_S)
        return len(points.samples), len(points.packets)


@pytest.fixture
def polled(load: Load, database: Database, monkeypatch: pytest.MonkeyPatch) -> Polled:
    monkeypatch.setattr(database_poller, "PAGE_ROWS", 40)  # several pages
    return Polled(load)


def test_rows_are_added_page_by_page_and_then_only_new_ones(polled: Polled, database: Database) -> None:
    store(database, STORY[:200])
    polled.poll()
    first = polled.counts()
    store(database, STORY[200:])
    polled.poll()

    assert first == (200, packets_of(STORY[:200]))
    assert polled.counts() == (300, packets_of(STORY))


def test_of_a_large_database_only_the_newest_rows_are_read(
    polled: Polled, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_poller, "START_ROWS", 10)
    monkeypatch.setattr(database_poller, "REREAD_ROWS", 0)
    store(database, STORY)

    polled.poll()

    assert polled.counts() == (10, 10)


def test_a_row_that_was_committed_out_of_order_is_found_by_reading_again(
    polled: Polled, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(database, STORY)
    polled.poll()
    polled.poller._last_reading_id += 5  # as if ids up to here had been seen before their rows
    more = list(minutes("7", count=400))[300:]
    store(database, more, logs=False)
    polled.poll()
    missed = polled.counts()[1]

    monkeypatch.setattr(database_poller, "REREAD_S", -1.0)
    polled.poll()

    assert missed < packets_of(STORY + more)
    assert polled.counts()[1] == packets_of(STORY + more)


def test_another_database_starts_another_fleet(polled: Polled, database: Database, load: Load) -> None:
    store(database, STORY)
    polled.poll()
    path = load().database.sqlite_path
    database.close()
    for file in path.parent.glob("aoii.db*"):
        file.unlink()
    other = open_database(load().database, migrate=True)
    store(other, list(minutes("8", count=10)))
    other.close()

    polled.poll()

    assert polled.shared.names() == ["8"]


def test_the_thread_ends_when_it_is_asked_and_is_ready_after_the_first_read(polled: Polled) -> None:
    assert not polled.poller.has_begun

    polled.poller.start()
    until(lambda: polled.poller.has_begun)
    assert polled.poller.part.is_running
    polled.stopping.set()
    polled.poller.join(2)

    assert not polled.poller.part.is_running
