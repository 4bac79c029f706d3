"""Machines are lost, and the server's audit gets everything back: from the gateway, and from the rings of the nodes.

Stations are processes, with a real broker; the node is the one of the board, at a simulated radio.
"""

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from aoii.security import node_keys
from aoii.security.node_keys import NodeKey
from aoii.server.audits import Audit, Audits
from aoii.server.db import Database, open_database
from aoii.server.ledger import account
from aoii.server.ledger_facts import open_facts
from aoii.settings import Database as DatabaseSettings
from integration.test_two_gateways import EPOCH, KEY, NODE, SETTINGS, station
from integration.test_witness import FIRST, MINUTE_MS, WITNESS, Air, GatewayProcess, stored
from server.samples import sqlite_at
from servers import Mosquitto, pty_port, until


@dataclass
class Site:
    """Two gateways that are not started, and a server that may be replaced with its files."""

    folder: Path
    shared: dict[str, str]
    first: GatewayProcess
    second: GatewayProcess
    broker: Mosquitto
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def server(self) -> Path:
        return self.folder / "server"

    def start_server(self) -> None:
        self.stack.enter_context(station("server", self.server, self.shared))

    def stop_server(self) -> None:
        self.stack.close()

    @property
    def place(self) -> DatabaseSettings:
        return sqlite_at(self.server / "aoii.db")

    @contextlib.contextmanager
    def database(self) -> Iterator[Database]:
        database = open_database(self.place)
        try:
            yield database
        finally:
            database.close()

    def audit(self, is_full: bool = False) -> Audit:
        """Ask for an audit and wait for its end."""
        with self.database() as database:
            audits = Audits(database.pool)
            id_ = audits.request(is_full)
            until(lambda: (found := audits.find(id_)) is not None and found.finished_at, 120, "the end of the audit")
            found = audits.find(id_)
            assert found is not None
            return found

    def sql(self, statement: str) -> None:
        with contextlib.closing(sqlite3.connect(self.server / "aoii.db", timeout=30)) as database:
            database.execute(statement)
            database.commit()

    def is_balanced(self) -> bool:
        with self.database() as database, open_facts(database.pool, []) as facts:
            return all(account(facts.facts(key)).is_balanced for key in facts.keys)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    keys = tmp_path / "node_keys"
    node_keys.write_key_file(keys, {NODE: NodeKey(EPOCH, KEY)})
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(tmp_path / "broker"))
        shared = SETTINGS | {
            "MQTT_BROKER": "127.0.0.1", "MQTT_PORT": str(broker.port), "NODE_KEYS_FILE": str(keys),
            "RADIO_SPREADING": "7",
        }  # fmt: skip
        gateways = []
        for rank, name in enumerate((FIRST, WITNESS)):
            link = tmp_path / f"receiver-{name}"
            far = stack.enter_context(pty_port(link))
            environ = shared | {"GATEWAY_ID": name, "SERIAL_PORT": str(link), "GATEWAY_RANK": str(rank)}
            gateways.append(GatewayProcess(name, tmp_path / name, environ, far))
            stack.callback(gateways[-1].kill)
        site = Site(tmp_path, shared, gateways[0], gateways[1], broker)
        with site.stack:
            yield site


def filled(site: Site, steps: int) -> Air:
    """A node that the first gateway has heard so often; every second sample is sent."""
    air = Air([one for one in (site.first, site.second) if one.process is not None])
    for minute in range(0, 2 * steps, 2):
        air.sample(minute, 20.0 + minute)
        air.sample(minute + 1, 20.0 + minute)
    assert len(air.confirmed) >= steps
    return air


def is_whole(site: Site, air: Air) -> bool:
    rows = stored(site.server)
    assert len(rows) == len(set(rows))
    return set(rows) >= air.confirmed


def test_commits_that_the_database_has_lost_come_back(site: Site) -> None:
    site.start_server()
    site.first.start()
    air = filled(site, 12)
    until(lambda: is_whole(site, air), 60, "every reading")
    before = stored(site.server)

    site.sql("DELETE FROM readings WHERE id > (SELECT max(id) - 5 FROM readings)")
    site.sql("DELETE FROM readings WHERE counter = 3")
    audit = site.audit()

    assert stored(site.server) == before
    assert audit.counts["missing"] == audit.counts["mended"] == 6
    assert audit.counts["open"] == audit.counts["lost"] == audit.counts["unknown"] == 0
    assert site.is_balanced()


def test_a_database_that_is_replaced_is_filled_again(site: Site) -> None:
    site.start_server()
    site.first.start()
    air = filled(site, 6)
    until(lambda: is_whole(site, air), 60, "every reading")
    before = stored(site.server)

    site.stop_server()
    for path in site.server.glob("aoii.db*"):
        path.unlink()
    site.start_server()  # it learns of the gateway from its estimates, once a minute

    until(lambda: stored(site.server) == before, 150, "every reading again")
    until(site.is_balanced, 30, "a balanced ledger")


def test_what_a_gateway_took_with_its_disk_comes_back_from_the_ring_of_the_node(site: Site) -> None:
    site.start_server()
    site.first.start()
    site.second.start()
    air = filled(site, 3)
    until(lambda: is_whole(site, air), 60, "every reading")
    site.broker.kill()
    air.reaching = {FIRST}
    for minute in range(6, 14, 2):
        air.sample(minute, 20.0 + minute)
        air.sample(minute + 1, 20.0 + minute)
    assert not is_whole(site, air)

    site.first.kill()
    shutil.rmtree(site.first.folder)
    site.broker.start()
    site.first.start()
    air.reaching = {FIRST, WITNESS}
    minute = 14
    air.sample(minute, 50.0)
    air.sample(minute + 1, 50.0)
    until(lambda: max(air.confirmed) in stored(site.server), 60, "the newest reading")
    audit = site.audit()
    assert audit.counts["open"] == audit.counts["asked_nodes"] > 0

    for minute in range(16, 40, 2):
        air.sample(minute, 20.0 + minute)
        air.sample(minute + 1, 20.0 + minute)
        air.retry((minute + 2) * MINUTE_MS - 1)
        if is_whole(site, air):
            break
    until(lambda: is_whole(site, air), 60, "what the node saw acknowledged")
    site.audit()
    assert site.is_balanced()
