"""The tables: made, taken over from the older installation, and brought up to date, on both engines."""
# ruff: noqa: DTZ001 - the times of the tables have no zone

import subprocess
import sys
from dataclasses import fields, replace
from datetime import datetime

import pytest

from aoii.server.db import DatabaseAway, open_database
from aoii.server.rows import EdgeLogRow, ReadingRow
from aoii.server.tables import NEWEST
from aoii.settings import Database as DatabaseSettings
from server.samples import a_reading, an_edge_log_row, mysql_at, run_sql
from servers import MariaDB

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


def test_a_database_of_the_older_installation_is_taken_over_with_its_rows(place: DatabaseSettings) -> None:
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


OLDEST_EDGE_LOG = {
    "sqlite": "CREATE TABLE edge_log (id INTEGER PRIMARY KEY AUTOINCREMENT, created_at DATETIME NOT NULL, {}, "
    "triggered INTEGER NOT NULL)",
    "mysql": "CREATE TABLE edge_log (id INT AUTO_INCREMENT PRIMARY KEY, created_at DATETIME(6) NOT NULL, {}, "
    "triggered TINYINT NOT NULL, INDEX idx_created_at (created_at), INDEX idx_triggered (triggered)) "
    "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4",
}
OLDEST_ROW = (
    f"INSERT INTO edge_log (created_at, {', '.join(MEASURED[:-1])}, triggered) "  # noqa: S608 - constants
    "VALUES ('2025-02-01 12:00:00', 21.5, 40.25, 21.0, 41.25, 0.5, 1)"
)


def test_what_the_oldest_log_never_held_stays_unknown(place: DatabaseSettings) -> None:
    measured = ", ".join(f"{name} DOUBLE NOT NULL" for name in MEASURED[:-1])
    run_sql(place, OLDEST_EDGE_LOG["mysql" if place.host else "sqlite"].format(measured), OLDEST_ROW)

    database = open_database(place, migrate=True)

    database.insert_edge_log([an_edge_log_row()])
    oldest, new = database.recent_edge_log(10)
    assert (oldest.actual_temp, oldest.error_temp, oldest.triggered) == (21.5, 0.5, True)
    unknown = ("error_humidity", "status", "inference_time_us", "free_heap", "total_heap", "node", "event_time")
    assert [getattr(oldest, name) for name in unknown] == [None] * 7
    assert (new.status, new.error_humidity) == ("SEND & TRAIN", -1.0)
    start = datetime(2025, 1, 1)
    assert database.between(EdgeLogRow, None, start, datetime(2026, 1, 1), 9) == [oldest]
    database.close()


@pytest.mark.parametrize("table", ["readings", "edge_log"])
def test_whatever_an_older_table_lacks_is_unknown_in_its_rows(place: DatabaseSettings, table: str) -> None:
    keyed = "INT AUTO_INCREMENT PRIMARY KEY" if place.host else "INTEGER PRIMARY KEY AUTOINCREMENT"
    run_sql(
        place,
        f"CREATE TABLE {table} (id {keyed}, created_at DATETIME NOT NULL)",
        f"INSERT INTO {table} (created_at) VALUES ('2025-02-01 12:00:00')",  # noqa: S608 - constants
    )

    open_database(place, migrate=True).close()

    others = sorted({field.name for field in fields(ReadingRow if table == "readings" else EdgeLogRow)})
    others = [name for name in others if name not in ("id", "created_at")]
    assert run_sql(place, f"SELECT {', '.join(others)} FROM {table}") == [(None,) * len(others)]  # noqa: S608 - names


def test_what_version_2_made_of_the_oldest_log_is_unknown_again(place: DatabaseSettings) -> None:
    if place.host is None:
        pytest.skip("SQLite rejected such a table in version 2")
    measured = ", ".join(f"{name} DOUBLE NOT NULL" for name in MEASURED[:-1])
    run_sql(place, OLDEST_EDGE_LOG["mysql"].format(measured), OLDEST_ROW)
    run_sql(place, "ALTER TABLE edge_log ADD error_humidity DOUBLE NOT NULL, ADD status VARCHAR(20) NOT NULL")

    database = open_database(place, migrate=True)

    (oldest,) = database.recent_edge_log(10)
    assert (oldest.error_humidity, oldest.status) == (None, None)
    database.close()


def test_a_column_that_may_be_null_from_now_on_keeps_its_type_and_values(mariadb: MariaDB) -> None:
    place = mysql_at(mariadb, mariadb.new_schema())
    run_sql(place, OLDEST_EDGE_LOG["mysql"].format(FLOATS.rpartition(", ")[0]), OLDEST_ROW)
    types = "ADD error_humidity FLOAT NOT NULL DEFAULT 0.35, ADD status VARCHAR(20) COLLATE utf8mb4_bin NOT NULL"
    run_sql(place, f"ALTER TABLE edge_log {types}")

    open_database(place, migrate=True).close()

    columns = {name: rest[:3] for name, *rest in run_sql(place, "SHOW FULL COLUMNS FROM edge_log")}
    assert columns["error_humidity"] == ["float", None, "YES"]
    assert columns["status"] == ["varchar(20)", "utf8mb4_bin", "YES"]
    assert run_sql(place, "SELECT error_humidity FROM edge_log") == [(0.35,)]


def test_errors_in_the_log_lose_the_sign_that_versions_0_1_and_0_2_gave_them(place: DatabaseSettings) -> None:
    database = open_database(place, migrate=True)
    signed = an_edge_log_row(error_temp=-0.5, error_humidity=-1.25)
    database.insert_edge_log([signed, replace(signed, error_temp=0.25, error_humidity=2.0)])
    database.insert_readings([a_reading(1)])
    before = database.recent(1)
    database.close()
    run_sql(place, "UPDATE alembic_version SET version_num = '0002'")

    database = open_database(place, migrate=True)

    errors = [(row.error_temp, row.error_humidity) for row in database.recent_edge_log(10)]
    assert errors == [(0.5, 1.25), (0.25, 2.0)]
    assert database.recent(1) == before
    database.close()


INDEXES = {
    "sqlite": "SELECT m.tbl_name, i.name FROM sqlite_master m, pragma_index_info(m.name) i WHERE m.type = 'index'",
    "mysql": "SELECT table_name, column_name FROM information_schema.statistics WHERE table_schema = database()",
}


def test_tables_that_we_make_have_the_older_installations_indexes(place: DatabaseSettings) -> None:
    open_database(place, migrate=True).close()

    found = run_sql(place, INDEXES["mysql" if place.host else "sqlite"])

    assert {
        ("readings", "created_at"),
        ("edge_log", "created_at"),
        ("edge_log", "triggered"),
        ("edge_log", "status"),
    } <= {(str(table), str(column)) for table, column in found}
    if place.host:
        names = run_sql(place, "SELECT DISTINCT index_name FROM information_schema.statistics "
                               "WHERE table_schema = database()")  # fmt: skip
        assert {"idx_created_at", "idx_triggered", "idx_status"} <= {name for (name,) in names}


def test_an_index_that_is_there_is_not_made_again(place: DatabaseSettings) -> None:
    if place.host is None:
        pytest.skip("the older installation has no SQLite")
    measured = ", ".join(f"{name} DOUBLE NOT NULL" for name in MEASURED[:-1])
    run_sql(place, OLDEST_EDGE_LOG["mysql"].format(measured))

    open_database(place, migrate=True).close()

    on_created_at = run_sql(place, "SELECT count(*) FROM information_schema.statistics WHERE table_schema = database() "
                                   "AND table_name = 'edge_log' AND column_name = 'created_at'")  # fmt: skip
    assert on_created_at == [(1,)]


@pytest.mark.parametrize("done", [1, 2, 6, 9, 10, 12, 15, 17, 19, 21, 23])
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
        for name in ("create_table", "add_column", "create_index", "alter_column"):
            patch.setattr(op, name, interrupted(getattr(op, name)))
        with pytest.raises(KeyboardInterrupt):
            open_database(place, migrate=True)

    database = open_database(place, migrate=True)

    assert database.insert_readings([a_reading(1), a_reading(1)]) == ["stored", "duplicate"]
    assert database.stats().total == 2
    database.close()


def test_rows_from_before_the_audit_are_marked_once(place: DatabaseSettings) -> None:
    database = open_database(place, migrate=True)
    assert run_sql(place, "SELECT value FROM marks WHERE name = 'rows_before_audit'") == [(0,)]
    database.insert_readings([a_reading(1), a_reading(2)])
    run_sql(place, "DROP TABLE marks", "UPDATE alembic_version SET version_num = '0003'")
    highest = run_sql(place, "SELECT max(id) FROM readings")

    for _ in range(2):
        database.migrate()
        run_sql(place, "UPDATE alembic_version SET version_num = '0003'")
        assert run_sql(place, "SELECT value FROM marks WHERE name = 'rows_before_audit'") == highest
        database.insert_readings([a_reading(3)])
    database.close()


def test_the_tables_have_a_column_for_each_field_of_their_rows(place: DatabaseSettings) -> None:
    open_database(place, migrate=True).close()
    names = {
        "sqlite": "SELECT name FROM pragma_table_info('{}')",
        "mysql": "SELECT column_name FROM information_schema.columns "
        "WHERE table_schema = database() AND table_name = '{}'",
    }["mysql" if place.host else "sqlite"]

    columns = {table: {name for (name,) in run_sql(place, names.format(table))} for table in ("readings", "edge_log")}

    assert columns["readings"] == {field.name for field in fields(ReadingRow)} | {"digest"}
    assert columns["edge_log"] == {field.name for field in fields(EdgeLogRow)}


def start_of(place: DatabaseSettings, then: str = "") -> list[str]:
    """The command that opens the database as a station does at its start, in a process of its own."""
    script = (
        "import sys, pathlib; from aoii.settings import Database; from aoii.server.db import open_database; "
        "path, host, port, name = sys.argv[1:]; "
        "open_database(Database(pathlib.Path(path), host or None, int(port), 'root', '', name), migrate=True).ping()"
    )
    return [sys.executable, "-c", script + then, str(place.sqlite_path), place.host or "", str(place.port), place.name]


def test_stations_that_start_together_migrate_once(place: DatabaseSettings) -> None:
    starts = [subprocess.Popen(start_of(place), stderr=subprocess.PIPE, text=True) for _ in range(4)]

    assert [(start.communicate()[1], start.returncode) for start in starts] == [("", 0)] * 4
    assert run_sql(place, "SELECT version_num FROM alembic_version") == [(NEWEST,)]


def test_a_start_with_tables_of_the_newest_version_imports_no_migrations(place: DatabaseSettings) -> None:
    open_database(place, migrate=True).close()

    start = subprocess.run(start_of(place, "; sys.exit('alembic' in sys.modules)"), check=False)

    assert start.returncode == 0


def test_the_last_migration_makes_the_newest_version(place: DatabaseSettings) -> None:
    open_database(place, migrate=True).close()
    run_sql(place, "DELETE FROM alembic_version")  # now all migrations run

    open_database(place, migrate=True).close()

    assert run_sql(place, "SELECT version_num FROM alembic_version") == [(NEWEST,)]


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
