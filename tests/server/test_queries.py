"""Reading, on SQLite and on a real MariaDB."""
# ruff: noqa: DTZ001 - the times of the tables have no zone

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from aoii.server import queries
from aoii.server.db import Database
from server.samples import a_reading


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
