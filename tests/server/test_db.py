"""The writer, on SQLite and on a real MariaDB."""
# ruff: noqa: DTZ001, DTZ005 - the times of the tables have no zone

import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from aoii.broker.messages import DeliveryStatus, Identity, Reading
from aoii.server.db import BadRow, Database, DatabaseAway, open_database
from aoii.server.rows import Stats
from aoii.settings import Database as DatabaseSettings
from server.samples import a_reading, an_edge_log_row, mysql_at, run_sql
from servers import MariaDB


def tried(database: Database, rows: list[Reading]) -> list[DeliveryStatus] | None:
    """What became of the rows; None when another writer was in the way."""
    try:
        return database.insert_readings(rows)
    except DatabaseAway as error:
        if error.reason != "conflict":
            raise
        return None


def test_a_reading_comes_back_as_it_went_in_with_signed_errors(database: Database) -> None:
    before = datetime.now()

    outcome = database.insert_reading(a_reading(counter=2**63 - 1, transmission_delay_ms=-250))

    assert outcome == "stored"
    (row,) = database.recent(10)
    assert (row.actual_temp, row.actual_humidity, row.pred_temp, row.pred_humidity) == (21.5, 40.25, 20.75, 43.5)
    assert (row.error_temp, row.error_humidity) == (0.75, -3.25)
    assert (row.gateway, row.node, row.epoch, row.counter, row.kind) == ("gateway", "7", 1, 2**63 - 1, "event")
    assert row.event_time == datetime(2016, 1, 1, 0, 0, 0, 123000)
    assert (row.clock_synced, row.transmission_delay_ms) == (True, -250)
    assert before <= row.created_at <= datetime.now()


def test_each_row_of_a_batch_has_its_own_outcome(database: Database) -> None:
    assert database.insert_readings([a_reading(1), a_reading(2)]) == ["stored", "stored"]

    outcomes = database.insert_readings(
        [
            a_reading(2),  # known
            a_reading(3),  # new
            a_reading(1, actual_t=99.0),  # known with another content
            a_reading(3),  # twice in this batch
            a_reading(3, actual_h=1.0),  # the same key in this batch with another content
            a_reading(1),
            a_reading(4, gateway="other"),
            a_reading(4),  # two gateways accepted it: one row
        ]
    )

    assert outcomes == ["duplicate", "stored", "mismatch", "duplicate", "mismatch", "duplicate", "stored", "duplicate"]
    assert [row.counter for row in database.recent(10)] == [1, 2, 3, 4]
    assert list(database.identities()) == [Identity("7", 1, counter) for counter in (1, 2, 3, 4)]


def test_node_names_are_compared_byte_by_byte(database: Database) -> None:
    names = ["gw/ttyUSB0", "gw/TTYUSB0", "gw/ttyÜSB0", "gw/ttyusb0", "거실"]

    outcomes = database.insert_readings([a_reading(1, node=name) for name in names])

    assert outcomes == ["stored"] * len(names)
    assert {row.node for row in database.recent(10)} == set(names)
    assert database.insert_readings([a_reading(1, node=name) for name in names]) == ["duplicate"] * len(names)


def test_rows_without_identity_are_always_stored(database: Database) -> None:
    reference = replace(a_reading(), identity=None, gateway=None, kind="legacy", event_unix_ms=None)

    outcomes = database.insert_readings([reference, a_reading(1), reference])
    again = database.insert_readings([reference, a_reading(1)])

    assert (outcomes, again) == (["stored"] * 3, ["stored", "duplicate"])
    row = database.recent(1)[0]
    assert (row.node, row.epoch, row.event_time, row.clock_synced) == (None, None, None, None)
    assert database.stats().total == 4
    assert len(list(database.identities())) == 1


def test_an_empty_batch_is_nothing(database: Database) -> None:
    assert database.insert_readings([]) == []
    database.insert_edge_log([])

    assert database.stats() == Stats(0, None, None, None, None, None, None)
    assert database.nodes() == []


def test_a_row_that_never_fits_is_a_bad_row_and_nothing_is_stored(database: Database, place: DatabaseSettings) -> None:
    if place.host is None:
        run_sql(place, "CREATE TRIGGER hot BEFORE INSERT ON readings WHEN NEW.actual_temp > 60 "
                       "BEGIN SELECT RAISE(ABORT, 'too hot'); END")  # fmt: skip
    else:
        run_sql(place, "ALTER TABLE readings ADD CONSTRAINT too_hot CHECK (actual_temp <= 60)")

    with pytest.raises(BadRow, match="hot"):
        database.insert_readings([a_reading(1), a_reading(2, actual_t=61.0)])

    assert database.stats().total == 0


def test_a_text_that_is_too_long_is_refused_and_not_cut_off(mariadb: MariaDB) -> None:
    database = open_database(mysql_at(mariadb, mariadb.new_schema()), migrate=True)

    with pytest.raises(BadRow):
        database.insert_reading(a_reading(node="n" * 129))

    assert database.stats().total == 0
    database.close()


def test_concurrent_writers_of_the_same_readings_store_each_once(place: DatabaseSettings) -> None:
    databases = [open_database(place, migrate=True) for _ in range(4)]
    stored: list[str] = []

    def insert(database: Database) -> None:
        for start in range(0, 200, 20):
            rows = [a_reading(counter) for counter in range(start, start + 30)]
            while (outcomes := tried(database, rows)) is None:
                pass  # a deadlock between two of them
            stored.extend(outcome for outcome in outcomes if outcome != "duplicate")

    threads = [threading.Thread(target=insert, args=[database]) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert stored == ["stored"] * 210
    assert sorted(who.counter for who in databases[0].identities()) == list(range(210))
    for database in databases:
        database.close()


def test_the_nodes_log_goes_in_and_out(database: Database) -> None:
    arrived = datetime(2026, 1, 2, 3, 4, 5, 678000)
    database.insert_edge_log(
        [
            an_edge_log_row(created_at=arrived),
            an_edge_log_row(node="7", event_time=datetime(2016, 1, 1, 0, 0, 0, 1000), triggered=False, status="SKIP"),
            an_edge_log_row(node="8", inference_time_us=None, free_heap=None, total_heap=None),
        ]
    )

    first, second, third = database.recent_edge_log(10)

    utc = arrived.astimezone(UTC).replace(tzinfo=None)
    assert first == replace(an_edge_log_row(created_at=arrived, created_utc=utc), id=first.id)
    assert (second.node, second.event_time, second.triggered) == ("7", datetime(2016, 1, 1, 0, 0, 0, 1000), False)
    assert second.created_at is not None
    assert third.total_heap is None
    assert database.recent_edge_log(10, node="7") == [second]
    assert first.id is not None
    assert database.edge_log_after(first.id, 1) == [second]


def test_the_ping_tells_whether_a_row_would_be_taken(database: Database, place: DatabaseSettings) -> None:
    database.ping()
    database.check_writable()

    run_sql(place, "DROP TABLE readings")

    with pytest.raises(DatabaseAway) as caught:
        database.ping()
    assert caught.value.reason == "schema"


def test_a_read_only_server_and_a_user_without_rights_are_told_apart(mariadb: MariaDB) -> None:
    schema = mariadb.new_schema()
    open_database(mysql_at(mariadb, schema), migrate=True).close()
    mariadb.execute("CREATE OR REPLACE USER clerk IDENTIFIED BY 'secret-word'")
    mariadb.execute(f"GRANT SELECT, INSERT, UPDATE ON {schema}.* TO clerk")
    clerk = replace(mysql_at(mariadb, schema), user="clerk", password="secret-word")  # noqa: S106 - of this test only
    writer = open_database(clerk)
    stranger = open_database(replace(clerk, password="another-word"))  # noqa: S106 - wrong on purpose
    mariadb.execute("SET GLOBAL read_only = 1")
    try:
        with pytest.raises(DatabaseAway) as read_only:
            writer.insert_reading(a_reading())
        with pytest.raises(DatabaseAway):
            writer.check_writable()
        writer.ping()
    finally:
        mariadb.execute("SET GLOBAL read_only = 0")
    with pytest.raises(DatabaseAway, match="MYSQL_PASSWORD") as refused:
        stranger.ping()

    assert read_only.value.reason == "read_only"
    assert refused.value.reason == "refused"
    assert "another-word" not in str(refused.value)
    assert writer.insert_reading(a_reading()) == "stored"
    writer.close()
    stranger.close()
