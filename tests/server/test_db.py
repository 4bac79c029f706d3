"""The database layer on SQLite and on a real MariaDB."""
# ruff: noqa: DTZ001, DTZ005 - the times of the tables have no zone

import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pymysql
import pytest

from aoii.broker.messages import Reading
from aoii.server import db
from aoii.server.db import BadRow, Database, DatabaseAway, EdgeLogRow, open_database
from aoii.settings import Database as DatabaseSettings
from server.samples import a_reading, mysql_at, sqlite_at
from servers import MariaDB, free_port


def run_sql(place: DatabaseSettings, *statements: str) -> list[tuple[object, ...]]:
    """Statements with the engine's own client library, as the reference system would."""
    if place.host is None:
        connection = sqlite3.connect(place.sqlite_path)
        rows = [tuple(row) for statement in statements for row in connection.execute(statement)]
        connection.commit()
        connection.close()
        return rows
    with (
        pymysql.connect(
            host=place.host, port=place.port, user=place.user, database=place.name, autocommit=True
        ) as remote,
        remote.cursor() as cursor,
    ):
        for statement in statements:
            cursor.execute(statement)
        return list(cursor.fetchall())


def an_edge_log_row(**changes: object) -> EdgeLogRow:
    row = EdgeLogRow(
        actual_temp=21.5, actual_humidity=40.0, pred_temp=21.0, pred_humidity=41.0, error_temp=0.5, error_humidity=-1.0,
        triggered=True, status="SEND & TRAIN", inference_time_us=512, free_heap=100_000, total_heap=200_000,
    )  # fmt: skip
    return replace(row, **changes)  # type: ignore[arg-type]  # by name


def tried(database: Database, rows: list[Reading]) -> list[db.Outcome] | None:
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
            a_reading(4),  # two gateways heard it: one row
        ]
    )

    assert outcomes == ["duplicate", "stored", "mismatch", "duplicate", "mismatch", "duplicate", "stored", "duplicate"]
    assert [row.counter for row in database.recent(10)] == [1, 2, 3, 4]
    assert sorted(database.identities()) == [("7", 1, counter) for counter in (1, 2, 3, 4)]


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

    assert database.stats() == db.Stats(0, None, None, None, None, None, None)
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
    assert sorted(counter for _, _, counter in databases[0].identities()) == list(range(210))
    for database in databases:
        database.close()


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
    monkeypatch.setattr(db, "PAGE_ROWS", 7)
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

    assert first == replace(an_edge_log_row(created_at=arrived), id=first.id)
    assert (second.node, second.event_time, second.triggered) == ("7", datetime(2016, 1, 1, 0, 0, 0, 1000), False)
    assert second.created_at is not None
    assert third.total_heap is None
    assert database.recent_edge_log(10, node="7") == [second]
    assert first.id is not None
    assert database.edge_log_after(first.id, 1) == [second]


def test_the_ping_tells_whether_a_row_would_be_taken(database: Database, place: DatabaseSettings) -> None:
    database.ping()
    database.ping(write=True)

    run_sql(place, "DROP TABLE readings")

    with pytest.raises(DatabaseAway) as caught:
        database.ping()
    assert caught.value.reason == "schema"


def test_a_missing_sqlite_file_is_reported_and_not_made_by_a_reader(tmp_path: Path) -> None:
    database = open_database(sqlite_at(tmp_path / "none.db"))

    with pytest.raises(DatabaseAway, match=r"none\.db"):
        database.ping()

    assert list(tmp_path.iterdir()) == []


def test_a_locked_sqlite_file_is_a_conflict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = sqlite_at(tmp_path / "aoii.db")
    monkeypatch.setattr(db, "LOCK_TIMEOUT_S", 0.05)
    open_database(place, migrate=True).close()
    database = open_database(place)
    other = sqlite3.connect(place.sqlite_path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(DatabaseAway) as caught:
        database.insert_reading(a_reading())
    other.execute("ROLLBACK")

    assert caught.value.reason == "conflict"
    assert database.insert_reading(a_reading()) == "stored"
    other.close()
    database.close()


def test_a_full_sqlite_file_is_the_worlds_fault(tmp_path: Path) -> None:
    place = sqlite_at(tmp_path / "aoii.db")
    database = open_database(place, migrate=True)
    with database._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")

    with pytest.raises(DatabaseAway) as caught:
        database.insert_readings([a_reading(counter) for counter in range(1000)])
    database.close()

    assert caught.value.reason == "full"


@pytest.mark.parametrize(
    ("code", "expected"),
    [(1205, "conflict"), (1213, "conflict"), (1040, "refused"), (1053, "refused"), (1114, "full"), (1290, "read_only"),
     (1364, "schema"), (9999, "other")],
)  # fmt: skip
def test_errors_of_the_server_have_a_class(mariadb: MariaDB, code: int, expected: str) -> None:
    schema = mariadb.new_schema()
    database = open_database(mysql_at(mariadb, schema), migrate=True)
    mariadb.execute(
        "CREATE TRIGGER refusal BEFORE INSERT ON readings FOR EACH ROW "
        f"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = 'as told'", database=schema
    )  # fmt: skip

    with pytest.raises(DatabaseAway) as caught:
        database.insert_reading(a_reading())

    assert caught.value.reason == expected
    database.close()


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
            writer.ping(write=True)
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


def test_a_killed_connection_is_replaced(mariadb: MariaDB) -> None:
    database = open_database(mysql_at(mariadb, mariadb.new_schema()), migrate=True)
    database.insert_reading(a_reading(1))
    (own,) = [row[0] for row in mariadb.execute("SHOW PROCESSLIST") if row[3] == database._settings.name]

    mariadb.execute(f"KILL {own}")

    assert database.insert_reading(a_reading(2)) == "stored"
    database.close()


def test_a_login_that_the_driver_cannot_do_is_a_refusal_and_not_a_crash(
    mariadb: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(connection: object) -> None:
        raise RuntimeError("'cryptography' package is required for caching_sha2_password")

    monkeypatch.setattr(pymysql.connections.Connection, "_request_authentication", fail)

    with pytest.raises(DatabaseAway, match="cryptography"):
        open_database(mysql_at(mariadb, "aoii")).ping()


def test_a_frozen_server_does_not_hang_its_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "IO_TIMEOUT_S", 1)
    with MariaDB(tmp_path / "own") as server:
        database = open_database(mysql_at(server, "aoii"), migrate=True)
        database.insert_reading(a_reading(1))
        server.freeze()

        with pytest.raises(DatabaseAway) as caught:
            database.insert_reading(a_reading(2))
        server.thaw()

        assert caught.value.reason == "unreachable"
        assert database.insert_reading(a_reading(2)) in ("stored", "duplicate")
        assert database.stats().total == 2
        database.close()


def test_an_absent_server_says_what_to_check() -> None:
    nowhere = DatabaseSettings(Path("unused"), "127.0.0.1", free_port(), "root", "", "aoii")

    with pytest.raises(DatabaseAway, match="MYSQL_HOST and MYSQL_PORT") as caught:
        open_database(nowhere, migrate=True)

    assert caught.value.reason == "unreachable"


def test_a_host_that_is_no_name_is_away_like_any_other() -> None:
    nowhere = DatabaseSettings(Path("unused"), "db..example", 3306, "root", "", "aoii")

    with pytest.raises(DatabaseAway, match="MYSQL_HOST and MYSQL_PORT") as caught:
        open_database(nowhere, migrate=True)

    assert caught.value.reason == "unreachable"


MEASURED = ("actual_temp", "actual_humidity", "pred_temp", "pred_humidity", "error_temp", "error_humidity")
FLOATS = ", ".join(f"{name} FLOAT NOT NULL" for name in MEASURED)
REFERENCE_SQL = {
    "sqlite": f"CREATE TABLE readings (id INTEGER PRIMARY KEY AUTOINCREMENT, created_at DATETIME NOT NULL, {FLOATS})",
    "mysql": "CREATE TABLE readings (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, "
    f"created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, {FLOATS}) DEFAULT CHARSET=latin1",
}
REFERENCE_ROW = (
    f"INSERT INTO readings (created_at, {', '.join(MEASURED)}) "  # noqa: S608 - constants
    "VALUES ('2025-05-01 12:00:00', 21.5, 40.25, 21.0, 41.25, 0.5, -1.0)"
)


def test_a_database_of_the_reference_system_is_taken_over_with_its_rows(place: DatabaseSettings) -> None:
    run_sql(place, REFERENCE_SQL["mysql" if place.host else "sqlite"], REFERENCE_ROW, REFERENCE_ROW)

    database = open_database(place, migrate=True)

    assert database.insert_readings([a_reading(1), a_reading(1)]) == ["stored", "duplicate"]
    old, same, new = database.recent(10)
    assert (old.actual_temp, old.error_humidity, old.created_at) == (21.5, -1.0, datetime(2025, 5, 1, 12))
    assert (old.node, old.event_time, old.transmission_delay_ms) == (None, None, None)
    assert replace(same, id=old.id) == old
    assert (new.node, new.actual_temp) == ("7", 21.5)
    assert [row.id for row in database.export(start=datetime(2025, 4, 30), end=datetime(2025, 5, 3))] == [1, 2]
    assert [summary.node for summary in database.nodes()] == [None, "7"]
    database.insert_edge_log([an_edge_log_row(node="7")])
    database.close()


@pytest.mark.parametrize("done", [1, 2, 6, 9, 10, 12])
def test_an_interrupted_migration_is_finished_by_the_next(
    place: DatabaseSettings, monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    from alembic import op

    run_sql(place, REFERENCE_SQL["mysql" if place.host else "sqlite"], REFERENCE_ROW)
    steps = 0

    def interrupted(step: object) -> object:
        def call(*args: object, **options: object) -> object:
            nonlocal steps
            steps += 1
            if steps > done:
                raise KeyboardInterrupt
            return step(*args, **options)  # type: ignore[operator]  # one of Alembic's functions

        return call

    with monkeypatch.context() as patch:
        for name in ("create_table", "add_column", "create_index"):
            patch.setattr(op, name, interrupted(getattr(op, name)))
        with pytest.raises(KeyboardInterrupt):
            open_database(place, migrate=True)

    database = open_database(place, migrate=True)

    assert database.insert_readings([a_reading(1), a_reading(1)]) == ["stored", "duplicate"]
    assert database.stats().total == 2
    database.close()


def test_stations_that_start_together_migrate_once(place: DatabaseSettings) -> None:
    script = (
        "import sys, pathlib; from aoii.settings import Database; from aoii.server.db import open_database; "
        "path, host, port, name = sys.argv[1:]; "
        "open_database(Database(pathlib.Path(path), host or None, int(port), 'root', '', name), migrate=True).ping()"
    )
    arguments = [str(place.sqlite_path), place.host or "", str(place.port), place.name]

    starts = [
        subprocess.Popen([sys.executable, "-c", script, *arguments], stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]

    assert [(start.communicate()[1], start.returncode) for start in starts] == [("", 0)] * 4
    assert run_sql(place, "SELECT version_num FROM alembic_version") == [("0002",)]


def test_tables_of_a_newer_version_are_left_alone(place: DatabaseSettings) -> None:
    open_database(place, migrate=True).close()
    run_sql(place, "UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(DatabaseAway, match="newer aoii"):
        open_database(place, migrate=True)


def test_a_missing_schema_is_created(mariadb: MariaDB) -> None:
    schema = f"{mariadb.new_schema()}_too"

    database = open_database(mysql_at(mariadb, schema), migrate=True)

    assert database.insert_reading(a_reading()) == "stored"
    database.close()
