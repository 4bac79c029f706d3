"""What a database says about its durability: SQLite, and real MariaDB servers that sync and that do not."""

import contextlib
from pathlib import Path

import pytest

from aoii.server import durability
from aoii.server.connection import open_pool
from aoii.server.database_errors import DatabaseAway
from aoii.server.db import open_database
from aoii.settings import Database
from made_up_kernel import OTHER_PLACE, MadeUpKernel
from server.samples import mysql_at, sqlite_at
from servers import MariaDB, free_port


def shares_disk(place: Database, file: Path) -> bool | None:
    with contextlib.closing(open_pool(place, create=False)) as pool:
        return durability.shares_disk(pool, file)


def test_every_connection_of_ours_to_sqlite_is_synced(tmp_path: Path) -> None:
    place = sqlite_at(tmp_path / "aoii.db")
    open_database(place, migrate=True).close()

    facts = durability.durability_facts(place)

    assert (facts.synchronous, facts.variables, facts.files) == (2, {}, place.sqlite_path)


def test_a_sqlite_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(DatabaseAway):
        durability.durability_facts(sqlite_at(tmp_path / "none.db"))

    assert list(tmp_path.iterdir()) == []


def test_mariadb_says_how_it_syncs_and_which_engine_the_readings_have(
    mariadb: MariaDB, synced_mariadb: MariaDB
) -> None:
    loose, synced = (mysql_at(server, server.new_schema()) for server in (mariadb, synced_mariadb))
    empty = durability.durability_facts(synced)
    open_database(synced, migrate=True).close()

    facts, unsynced = durability.durability_facts(synced), durability.durability_facts(loose)

    assert empty.engine is None
    assert facts.engine == "InnoDB"
    assert facts.synchronous is None
    assert facts.variables.keys() == set(durability.VARIABLES)
    assert facts.variables["innodb_flush_log_at_trx_commit"] == "1"
    assert unsynced.variables["innodb_flush_method"].lower() == "nosync"


def test_the_files_of_a_server_on_this_machine_are_found(synced_mariadb: MariaDB) -> None:
    facts = durability.durability_facts(mysql_at(synced_mariadb, "aoii"))

    assert (facts.is_here, facts.files) == (True, synced_mariadb.home / "data")


def test_a_server_that_does_not_answer_is_away() -> None:
    with pytest.raises(DatabaseAway):
        durability.durability_facts(Database(host="127.0.0.1", port=free_port()))


@pytest.mark.parametrize("engine", ["sqlite", "mysql"])
def test_whether_a_file_is_on_the_disk_of_a_database_is_seen_where_it_can_be(
    engine: str, tmp_path: Path, synced_mariadb: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = MadeUpKernel(tmp_path, monkeypatch)
    home = tmp_path if engine == "sqlite" else synced_mariadb.home
    place = sqlite_at(home / "aoii.db") if engine == "sqlite" else mysql_at(synced_mariadb, "aoii")
    unknown = shares_disk(place, OTHER_PLACE / "outbox.db")
    kernel.put(home, "sda")
    kernel.put(OTHER_PLACE, "sdb")

    found = [shares_disk(place, folder / "outbox.db") for folder in (home, OTHER_PLACE)]

    assert unknown is None
    assert found == [True, False]


def test_a_database_on_another_machine_is_on_another_disk(
    tmp_path: Path, synced_mariadb: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durability, "_is_own_address", lambda host: False)

    assert shares_disk(mysql_at(synced_mariadb, "aoii"), tmp_path) is False


@pytest.mark.parametrize(
    ("host", "is_own"), [("127.0.0.1", True), ("localhost", True), ("192.0.2.1", False), ("no such host", False)]
)
def test_only_an_address_of_this_machine_is_its_own(host: str, is_own: bool) -> None:
    assert durability._is_own_address(host) is is_own
