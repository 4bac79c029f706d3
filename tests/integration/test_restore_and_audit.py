"""A machine that is restored from its backup, with what came afterwards: every acknowledged reading is there once.

Stations are processes, with a real broker and both kinds of database; the node is the one of the board, at a simulated
radio. What came after the backup is nowhere but in the node's ring, or among the gateway's kept readings.
"""

import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from aoii.commands import main
from aoii.gateway.drivers import outbox_rows
from aoii.settings import Database as DatabaseSettings
from integration.test_audit import Site, filled, site  # noqa: F401 - `site` is a fixture
from integration.test_witness import MINUTE_MS, Air
from server.samples import mysql_at, run_sql
from servers import MariaDB, until


class SavedSite(Site):
    """A site on one machine, whose database may be a MariaDB, and whose settings are in files."""

    schema: DatabaseSettings | None = None

    @property
    def place(self) -> DatabaseSettings:
        return self.schema or super().place

    @property
    def env(self) -> Path:
        return self.folder / "etc" / "aoii.env"

    def write_settings(self) -> None:
        self.env.parent.mkdir()
        lines = [f"{name}_STATUS_PORT=0" for name in ("GATEWAY", "SERVER", "CSV", "EDGE_LOG", "EDGE")]
        lines += [f"NODE_KEYS_FILE={self.shared['NODE_KEYS_FILE']}"]
        lines += [f"{name}={value}" for name, value in self.shared.items() if name.startswith("MYSQL_")]
        self.env.write_text("\n".join(lines) + "\n")
        for name, folder in (("gateway", self.first.folder), ("server", self.server)):
            self.env.with_name(f"aoii.env.{name}").write_text(f"AOII_DATA_DIR={folder}\n")

    def rows(self) -> list[tuple[object, ...]]:
        """Every column of every row of the readings."""
        return sorted(run_sql(self.place, "SELECT * FROM readings"))

    def stored(self) -> list[int]:
        return [
            int(str(counter)) for (counter,) in run_sql(self.place, "SELECT counter FROM readings ORDER BY counter")
        ]

    def is_whole(self, air: Air) -> bool:
        counters = self.stored()
        assert len(counters) == len(set(counters))
        return set(counters) >= air.confirmed

    def lose(self, *folders: Path) -> None:
        """The stations end, and so does what is in these folders; MariaDB's tables go with the server's."""
        self.first.kill()
        self.stop_server()
        for folder in folders:
            shutil.rmtree(folder)
        if self.schema is not None and self.server in folders:
            run_sql(self.schema, f"DROP DATABASE {self.schema.name}", f"CREATE DATABASE {self.schema.name}")

    def run(self, *words: object) -> None:
        assert main.main([str(word) for word in words]) == 0

    def outbox_name(self) -> str:
        with contextlib.closing(sqlite3.connect(self.first.folder / "outbox.db")) as connection:
            return outbox_rows.file_id(connection)


@pytest.fixture(params=["sqlite", "mariadb"])
def saved(request: pytest.FixtureRequest, site: Site) -> SavedSite:  # noqa: F811
    """A site whose stations are not started."""
    site.__class__ = SavedSite
    assert isinstance(site, SavedSite)
    if request.param == "mariadb":
        server: MariaDB = request.getfixturevalue("mariadb")
        site.schema = at = mysql_at(server, server.new_schema())
        site.shared |= {
            "MYSQL_HOST": str(at.host), "MYSQL_PORT": str(at.port), "MYSQL_USER": at.user, "MYSQL_DATABASE": at.name,
        }  # fmt: skip
    site.write_settings()
    return site


def send(air: Air, *minutes: int) -> None:
    """The node sends in each of these minutes."""
    for minute in minutes:
        air.sample(minute, 20.0 + minute)
        air.sample(minute + 1, 20.0 + minute)


def test_a_machine_that_is_lost_after_its_backup_gets_every_acknowledged_reading_back_once(saved: SavedSite) -> None:
    saved.start_server()
    saved.first.start()
    air = filled(saved, 3)
    until(lambda: saved.is_whole(air), 60, "every reading")
    before = saved.rows()
    saved.broker.kill()
    send(air, 6, 8)  # these wait in the outbox

    saved.run("--env-file", saved.env, "backup", "--to", saved.folder)  # while both run
    old = saved.outbox_name()
    saved.broker.start()
    until(lambda: saved.is_whole(air), 60, "what had waited")
    send(air, 10, 12)  # these are in the database, and come after the backup
    until(lambda: saved.is_whole(air), 60, "readings after the backup")
    saved.broker.kill()
    send(air, 14)  # and this one has only the outbox that is lost
    assert not saved.is_whole(air)

    saved.lose(saved.first.folder, saved.server, saved.env.parent)
    (archive,) = saved.folder.glob("aoii-*.tar")
    saved.run("restore", archive, "--without", "database")
    saved.run("--env-file", saved.env, "restore", archive, "--only", "database")
    assert saved.rows() == before
    assert saved.outbox_name() != old

    saved.broker.start()
    saved.start_server()
    saved.first.start()
    send(air, 16)
    until(lambda: max(air.confirmed) in saved.stored(), 60, "a reading after the restore")
    audit = saved.audit(is_full=True)
    assert audit.counts["missing"] > 0
    for minute in range(18, 60, 2):  # the node answers questions when it sends
        send(air, minute)
        air.retry((minute + 2) * MINUTE_MS - 1)
        if saved.is_whole(air):
            break
    until(lambda: saved.is_whole(air), 60, "what the node saw acknowledged")

    saved.audit()
    assert saved.is_balanced()
    assert [row for row in saved.rows() if row in before] == before


@pytest.mark.parametrize("saved", ["mariadb"], indirect=True)
def test_a_database_that_comes_back_from_its_backup_is_completed_by_the_gateway(saved: SavedSite) -> None:
    saved.start_server()
    saved.first.start()
    air = filled(saved, 3)
    until(lambda: saved.is_whole(air), 60, "every reading")
    saved.run("--env-file", saved.env, "backup", "--to", saved.folder)
    send(air, 6, 8)
    until(lambda: saved.is_whole(air), 60, "readings after the backup")

    saved.lose(saved.server)
    (archive,) = saved.folder.glob("aoii-*.tar")
    saved.run("--env-file", saved.env, "restore", archive, "--only", "database", "--only", "dead-letters")
    assert not saved.is_whole(air)
    saved.start_server()
    saved.first.start()
    audit = saved.audit(is_full=True)

    assert saved.is_whole(air)
    assert audit.counts["missing"] == audit.counts["mended"] > 0
    assert saved.is_balanced()
