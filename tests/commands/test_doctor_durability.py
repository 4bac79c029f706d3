"""Whether an acknowledgement means disk: each weakness of real databases and files is named, and its cure works."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event

from aoii import settings
from aoii.commands import doctor_durability, doctor_installation
from aoii.commands.container import Started
from aoii.commands.doctor_installation import Installation
from aoii.commands.findings import Finding
from aoii.gateway.drivers import outbox_recovery
from aoii.server import durability
from aoii.server.connection import ConnectionPool, open_pool
from aoii.server.db import open_database
from aoii.server.dead_letters import file as dead_letters
from made_up_kernel import MadeUpKernel
from servers import MariaDB, free_port


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MadeUpKernel:
    monkeypatch.setattr(doctor_installation, "UNITS", tmp_path / "units")
    return MadeUpKernel(tmp_path, monkeypatch)


class Examined:
    """An installation, and what is found of it."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir

    def found(self, own: Started | None = None, /, **values: object) -> list[Finding]:
        environ = {"AOII_DATA_DIR": str(self.data_dir)} | {name: str(value) for name, value in values.items()}
        everywhere = dict.fromkeys(settings.STATIONS, settings.load(environ))
        return list(doctor_durability.examine(Installation(None, everywhere, own)))

    def of(self, what: str, **values: object) -> list[Finding]:
        """The findings of one file or hop."""
        return [one for one in self.found(**values) if one.state.startswith(f"{what}: ")]


@pytest.fixture
def examined(data_dir: Path, kernel: MadeUpKernel) -> Examined:
    return Examined(data_dir)


def at(server: MariaDB, schema: str = "aoii") -> dict[str, object]:
    return {"MYSQL_HOST": "127.0.0.1", "MYSQL_PORT": server.port, "MYSQL_DATABASE": schema}


def test_the_installation_as_it_comes_acknowledges_what_is_on_disk(examined: Examined, data_dir: Path) -> None:
    open_database(settings.load({"AOII_DATA_DIR": str(data_dir)}).database, migrate=True).close()

    found = examined.found()

    assert [one.state.partition(":")[0] for one in found] == ["outbox", "broker", "dead letters", "database"]
    assert [one.remedy for one in found] == [None] * 4
    assert all("synchronous=FULL, ext4" in one.state for one in found if one.state[:6] != "broker")
    assert "need not remember" in found[1].state


def test_nothing_is_made_and_nothing_is_left(examined: Examined, data_dir: Path) -> None:
    examined.found()
    data_dir.rmdir()

    assert [one.remedy for one in examined.found()] == [None] * 3
    assert not data_dir.exists()


# --- SQLite -----------------------------------------------------------------------------------------------------------


def test_a_file_of_ours_that_is_not_synced_is_named(examined: Examined, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, mode in ((outbox_recovery, "OFF"), (dead_letters, "NORMAL")):
        opened = module.open_file

        def loosely(path: Path, limit: int, opened=opened, mode=mode) -> tuple[sqlite3.Connection, object]:  # type: ignore[no-untyped-def]  # bound to this turn
            connection, recovery = opened(path, limit)
            connection.execute(f"PRAGMA synchronous = {mode}")
            return connection, recovery

        monkeypatch.setattr(module, "open_file", loosely)

    (outbox,), (letters,) = examined.of("outbox"), examined.of("dead letters")

    assert (outbox.remedy is not None, letters.remedy is not None) == (True, True)
    assert "with OFF: a power cut loses what was acknowledged" in outbox.state
    assert "with NORMAL" in letters.state


def test_a_sqlite_database_that_is_not_synced_is_named(
    examined: Examined, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_database(settings.load({"AOII_DATA_DIR": str(data_dir)}).database, migrate=True).close()

    def loosely(place: settings.Database, *, create: bool) -> ConnectionPool:
        pool = open_pool(place, create=create)
        event.listen(pool.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = NORMAL"))
        return pool

    monkeypatch.setattr(durability, "open_pool", loosely)

    (found,) = examined.of("database")

    assert "with NORMAL" in found.state
    assert found.remedy


@pytest.mark.parametrize(
    ("kind", "options", "effect", "remedy"),
    [
        ("tmpfs", "rw", "a restart forgets it", "AOII_DATA_DIR: name a folder on a disk"),
        ("ext4", "rw,nobarrier", "without barriers", "remove nobarrier"),
    ],
)
def test_a_file_on_what_a_restart_or_a_power_cut_takes_is_named(
    examined: Examined, data_dir: Path, kernel: MadeUpKernel, kind: str, options: str, effect: str, remedy: str
) -> None:
    open_database(settings.load({"AOII_DATA_DIR": str(data_dir)}).database, migrate=True).close()
    kernel.mount(data_dir, kind, options=options)

    for what in ("outbox", "dead letters", "database"):
        (found,) = examined.of(what)
        assert effect in found.state
        assert remedy in str(found.remedy)


def test_a_file_in_the_layer_of_a_container_is_named(examined: Examined, kernel: MadeUpKernel) -> None:
    kernel.mount("/", "overlay", options="rw,upperdir=/no/such/folder")

    (found,) = examined.of("outbox")

    assert "goes with the container" in found.state
    assert found.remedy == "AOII_DATA_DIR: mount a folder of the machine, or a volume, there"


def test_a_folder_that_cannot_be_used_is_a_finding_and_no_traceback(examined: Examined) -> None:
    (found,) = {one.remedy for one in examined.found(AOII_DATA_DIR="/proc/x") if one.remedy}

    assert found == "run this as the user that runs the stations"


# --- MariaDB ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def given(server: MariaDB, variable: str, value: int) -> Iterator[None]:
    ((before,),) = server.execute(f"SELECT @@GLOBAL.{variable}")
    server.execute(f"SET GLOBAL {variable} = {value}")
    try:
        yield
    finally:
        server.execute(f"SET GLOBAL {variable} = {before}")


def test_a_mariadb_as_it_comes_is_well(examined: Examined, synced_mariadb: MariaDB) -> None:
    (found,) = examined.of("database", **at(synced_mariadb))

    assert found.remedy is None
    assert "innodb_flush_log_at_trx_commit=1" in found.state


@pytest.mark.parametrize(
    ("value", "when"), [(0, "when the machine or the server stops"), (2, "when the machine stops"), (3, None)]
)
def test_commits_that_are_not_flushed_are_named(
    examined: Examined, synced_mariadb: MariaDB, value: int, when: str | None
) -> None:
    with given(synced_mariadb, "innodb_flush_log_at_trx_commit", value):
        (found,) = examined.of("database", **at(synced_mariadb))

    assert (found.remedy is None) == (when is None)
    if when is not None:
        assert f"innodb_flush_log_at_trx_commit is {value}: the last second of commits is lost {when}" in found.state
        assert "innodb_flush_log_at_trx_commit = 1 below [mysqld]" in str(found.remedy)


def test_a_server_that_leaves_its_writes_to_the_kernel_is_named(examined: Examined, mariadb: MariaDB) -> None:
    (found,) = examined.of("database", **at(mariadb))

    assert "innodb_flush_method is nosync" in found.state
    assert "innodb_flush_method = fsync" in str(found.remedy)


def test_an_unsynced_binary_log_and_no_doublewrite_are_named_each(examined: Examined, tmp_path: Path) -> None:
    options = ("--log-bin={home}/data/log", "--sync-binlog=0", "--skip-innodb-doublewrite")
    with MariaDB(tmp_path / "mariadb", options=options) as server:
        log, doublewrite = examined.of("database", **at(server))
        with given(server, "sync_binlog", 1):
            (left,) = examined.of("database", **at(server))

    assert "sync_binlog is 0 and the binary log is on" in log.state
    assert "sync_binlog = 1" in str(log.remedy)
    assert "torn pages" in doublewrite.state
    assert left == doublewrite


def test_a_table_of_an_engine_that_does_not_sync_is_named_until_it_is_altered(
    examined: Examined, synced_mariadb: MariaDB
) -> None:
    schema = synced_mariadb.new_schema()
    values = at(synced_mariadb, schema)
    place = settings.load({name: str(value) for name, value in values.items()}).database
    open_database(place, migrate=True).close()
    synced_mariadb.execute("ALTER TABLE readings ENGINE=MyISAM", database=schema)
    (loose,) = examined.of("database", **values)
    assert loose.remedy is not None

    synced_mariadb.execute(loose.remedy.removeprefix("run ").partition(" as ")[0], database=schema)

    assert "the engine MyISAM" in loose.state
    assert [one.remedy for one in examined.of("database", **values)] == [None]


def test_a_datadir_in_memory_is_named(examined: Examined, kernel: MadeUpKernel, synced_mariadb: MariaDB) -> None:
    kernel.mount(synced_mariadb.home, "tmpfs")

    (found,) = examined.of("database", **at(synced_mariadb))

    assert "which is in memory" in found.state
    assert "its datadir" in str(found.remedy)


def test_of_a_database_that_is_away_nothing_is_said_here(examined: Examined) -> None:
    found = examined.found(MYSQL_HOST="127.0.0.1", MYSQL_PORT=free_port())

    assert [one.state.partition(":")[0] for one in found] == ["outbox", "broker", "dead letters"]


# --- what concerns whom -----------------------------------------------------------------------------------------------


def test_a_broker_must_remember_only_where_nobody_else_does(examined: Examined) -> None:
    (found,) = examined.of("broker", OUTBOX_KEEP_UNTIL="published")

    assert "may lose what it has taken" in found.state
    assert not found.is_checked


@pytest.mark.parametrize(
    ("station", "subjects"), [("gateway", ["outbox", "broker"]), ("server", ["dead letters"]), ("csv", [])]
)
def test_in_a_container_only_what_concerns_its_station_is_said(
    examined: Examined, station: str, subjects: list[str]
) -> None:
    found = examined.found(Started(station, None))

    assert [one.state.partition(":")[0] for one in found] == subjects
