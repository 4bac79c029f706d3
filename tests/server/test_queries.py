"""Reading, on SQLite and on a real MariaDB."""
# ruff: noqa: DTZ001 - the times of the tables have no zone

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from aoii.server import db, local_time, queries
from aoii.server.db import Database
from aoii.server.rows import EdgeLogRow, ReadingRow
from aoii.settings import Database as DatabaseSettings
from server.samples import a_reading, an_edge_log_row, run_sql


def test_pages_and_ends_of_the_table(database: Database) -> None:
    database.insert_readings([a_reading(counter, node=str(counter % 2)) for counter in range(10)])

    assert [row.counter for row in database.recent(3)] == [7, 8, 9]
    assert [row.counter for row in database.recent(3, node="0")] == [4, 6, 8]
    first = database.recent(10)[0].id
    assert [row.counter for row in database.readings_after(first, 4)] == [1, 2, 3, 4]
    assert database.readings_after(database.recent(1)[0].id, 4) == []


def test_stats_and_nodes(database: Database) -> None:
    database.insert_readings(
        [
            a_reading(1, actual_t=20.0, pred_t=21.0, actual_h=40.0, pred_h=40.0),
            a_reading(
                2, actual_t=22.0, pred_t=21.0, actual_h=50.0, pred_h=44.0, gateway="b", event_unix_ms=16 * 10**11
            ),
            a_reading(1, node="garden", actual_t=24.0, pred_t=24.0, actual_h=60.0, pred_h=60.0),
        ]
    )

    stats = database.stats()
    nodes = database.nodes()

    assert (stats.total, stats.avg_temp, stats.avg_humidity) == (3, 22.0, 50.0)
    assert stats.mae_temp == pytest.approx(2 / 3)
    assert stats.mae_humidity == 2.0
    assert stats.first_at is not None
    assert stats.first_at == stats.last_at
    assert [(node.node, node.gateway, node.readings) for node in nodes] == [("7", "b", 2), ("garden", "gateway", 1)]
    assert nodes[0].last_event_time == datetime(2020, 9, 13, 12, 26, 40)
    assert nodes[0].last_created_at == stats.last_at


def test_the_last_insert_of_a_node_is_that_of_its_last_row_though_another_program_made_it(
    database: Database, place: DatabaseSettings
) -> None:
    database.insert_reading(replace(a_reading(), identity=None, event_unix_ms=None))
    run_sql(
        place,
        "INSERT INTO readings (created_at, actual_temp, actual_humidity, pred_temp, pred_humidity, error_temp, "
        "error_humidity) VALUES ('2126-01-02 12:00:00', 21, 40, 21, 40, 0, 0)",
    )

    (node,) = database.nodes()

    assert (node.last_created_at, node.last_created_utc) == (datetime(2126, 1, 2, 12), None)
    assert node.last_instant == local_time.to_utc(node.last_created_at)


def test_the_summary_of_the_nodes_is_read_from_an_index_alone(database: Database, place: DatabaseSettings) -> None:
    database.insert_readings([a_reading(number) for number in range(3)])
    statements: list[str] = []
    engine = database._pool.engine
    sa.event.listen(engine, "before_cursor_execute", lambda *called: statements.append(called[2]))

    database.nodes()

    (query,) = [one for one in statements if "GROUP BY" in one]
    if place.host is None:
        explained = [str(row[3]) for row in run_sql(place, f"EXPLAIN QUERY PLAN {query}")]
        assert any("COVERING INDEX readings_node_event_time" in step for step in explained)
    else:
        (grouped,) = [row for row in run_sql(place, f"EXPLAIN {query}") if row[1] == "DERIVED"]
        assert (grouped[5], grouped[9]) == ("readings_node_event_time", "Using index")


def test_the_export_streams_by_node_and_time(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "PAGE_ROWS", 7)
    start = datetime(2016, 1, 1, tzinfo=UTC)
    at = [int((start + timedelta(hours=hour)).timestamp() * 1000) for hour in range(48)]
    database.insert_readings([a_reading(n, node=str(n % 2), event_unix_ms=ms) for n, ms in enumerate(at)])
    database.insert_reading(replace(a_reading(), identity=None, event_unix_ms=None))

    whole = list(database.export())
    day = list(database.export(start=start, end=start + timedelta(days=1)))
    odd = list(database.export(node="1", start=datetime(2016, 1, 1, 2)))
    by_insert = list(database.export(start=datetime.now(UTC) - timedelta(minutes=1)))

    assert [row.counter for row in whole] == [*range(48), None]
    assert [row.counter for row in day] == list(range(24))
    assert [row.counter for row in odd] == list(range(3, 48, 2))
    assert [row.counter for row in by_insert] == [None]
    assert len(list(database.identities())) == 48


class Zone:
    """The zone of this machine, and a clock for the inserts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch

    def move(self, name: str) -> None:
        """Be in another zone."""
        self._patch.setenv("TZ", name)
        time.tzset()

    def stop_clock(self, at: datetime) -> None:
        """Let rows be inserted at this instant, UTC."""
        self._patch.setattr(db, "_utc_now", lambda: at)


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Zone]:
    yield Zone(monkeypatch)
    monkeypatch.undo()
    time.tzset()


NEW_YORK, SEOUL = "America/New_York", "Asia/Seoul"
CHANGES = [datetime(2026, 11, 1, 6), datetime(2026, 3, 8, 7)]  # back by an hour, and forward, in UTC
QUARTER = timedelta(minutes=15)


def insert_every_quarter(database: Database, zone: Zone, change: datetime) -> list[datetime]:
    """Rows without event time in both tables from 2 h before the change to 2 h after it; their instants."""
    instants = [change + number * QUARTER for number in range(-8, 8)]
    for at in instants:
        zone.stop_clock(at)
        database.insert_reading(replace(a_reading(), identity=None, event_unix_ms=None, actual_t=at.minute / 60))
        database.insert_edge_log([an_edge_log_row(event_time=None)])
    return instants


@pytest.mark.parametrize("change", CHANGES)
def test_over_a_clock_change_every_row_is_in_the_window_of_its_instant(
    database: Database, zone: Zone, change: datetime
) -> None:
    zone.move(NEW_YORK)
    instants = insert_every_quarter(database, zone, change)

    for start in instants:
        end = start + QUARTER
        (row,) = database.export(start=start, end=end)
        (reading,) = database.between(ReadingRow, None, start, end, 9)
        (logged,) = database.between(EdgeLogRow, None, start, end, 9)
        (column,) = database.chart_columns(ReadingRow, None, start, end, 60)
        assert (row.instant, reading, logged.instant, column.first) == (start, row, start, start)
    assert database.stats().last_utc == instants[-1]
    assert database.nodes()[0].last_instant == instants[-1]


@pytest.mark.parametrize("change", CHANGES)
def test_rows_of_another_program_are_each_in_one_window_in_the_order_of_their_local_times(
    database: Database, place: DatabaseSettings, zone: Zone, change: datetime
) -> None:
    zone.move(NEW_YORK)
    instants = insert_every_quarter(database, zone, change)
    run_sql(place, "UPDATE readings SET created_utc = NULL", "UPDATE edge_log SET created_utc = NULL")

    windows = [(start, start + QUARTER) for start in instants]

    exported = [row for start, end in windows for row in database.export(start=start, end=end)]
    shown = [row for start, end in windows for row in database.between(ReadingRow, None, start, end, 99)]
    logged = [row.id for start, end in windows for row in database.between(EdgeLogRow, None, start, end, 99)]
    drawn = [column for start, end in windows for column in database.chart_columns(ReadingRow, None, start, end, 900)]
    assert sorted(row.id for row in exported) == [row.id for row in database.recent(99)]
    assert sorted(row.id for row in shown) == sorted(row.id for row in exported)
    assert set(logged) == {row.id for row in database.recent_edge_log(99)}
    assert len(logged) == len(instants)
    assert sum(column.rows for column in drawn) == len(instants)
    assert {at for column in drawn for at in (column.first, column.last)} == {row.instant for row in shown}
    assert [row.created_at for row in exported] == sorted(row.created_at for row in exported)


@pytest.mark.parametrize(("before", "after"), [(NEW_YORK, SEOUL), (SEOUL, NEW_YORK)])
def test_a_machine_that_moves_to_another_zone_keeps_the_instants_of_its_rows(
    database: Database, zone: Zone, before: str, after: str
) -> None:
    zone.move(before)
    instants = insert_every_quarter(database, zone, CHANGES[0])

    zone.move(after)

    assert [row.instant for row in database.export(start=instants[3], end=instants[6])] == instants[3:6]
    assert database.stats().last_utc == instants[-1]


def test_a_range_shows_rows_with_and_without_event_time(database: Database, zone: Zone) -> None:
    at = datetime(2026, 6, 1, 12)
    zone.stop_clock(at)
    database.insert_readings([a_reading(1, event_unix_ms=None), a_reading(2, event_unix_ms=1_780_315_140_000)])

    found = database.between(ReadingRow, "7", at - timedelta(hours=1), at + timedelta(hours=1), 9)

    assert [(row.counter, row.instant) for row in found] == [(2, at - timedelta(minutes=1)), (1, at)]
    assert [row.counter for row in database.between(ReadingRow, "7", at - QUARTER, at + QUARTER, 1)] == [2]


def test_a_line_that_arrived_in_the_second_of_two_equal_hours_keeps_its_instant(database: Database, zone: Zone) -> None:
    zone.move(NEW_YORK)
    arrived = datetime.fromtimestamp(datetime(2026, 11, 1, 6, 30, tzinfo=UTC).timestamp())  # noqa: DTZ006 - local
    database.insert_edge_log([an_edge_log_row(created_at=arrived)])

    (row,) = database.recent_edge_log(1)

    assert (row.created_at, row.instant) == (datetime(2026, 11, 1, 1, 30), datetime(2026, 11, 1, 6, 30))
