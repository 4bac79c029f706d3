"""Every order of moving from the older installation, at a real broker and a real database: which rows there are then.

`make moving` runs them all, with both firmwares and more readings. No two readings say the same, so they are told
apart by what they say.
"""

import contextlib
import itertools
import os
import select
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from faults.stations import Station
from half_moved.older_gateway import OlderGateway
from half_moved.older_subscriber import OlderSubscriber
from servers import MariaDB, Mosquitto, free_port, pty_port, until

WHOLE = os.environ.get("HALF_MOVED_READINGS")  # set by `make moving`; otherwise the short form
READINGS = int(WHOLE or "4")  # in each phase
Firmware = Literal["two fields", "three fields"]
OLDER_ROWS: dict[Firmware, int] = {
    "two fields": 2,
    "three fields": 1,
}  # of a reading, with its own gateway and subscriber


class Site:
    """One installation: broker, database, a node with the older firmware, and whatever stations run at the time."""

    def __init__(self, folder: Path, broker: Mosquitto, database: MariaDB, far_port: int, firmware: Firmware) -> None:
        self.schema = database.new_schema()
        self._folder, self._broker, self._database = folder, broker, database
        self._far_port, self._firmware = far_port, firmware
        self._numbers = itertools.count()
        self._settings = {
            "AOII_DATA_DIR": str(folder / "data"), "MQTT_BROKER": "127.0.0.1", "MQTT_PORT": str(broker.port),
            "MYSQL_HOST": "127.0.0.1", "MYSQL_PORT": str(database.port), "MYSQL_DATABASE": self.schema,
            "GATEWAY_ID": "attic", "SERIAL_PORT": str(folder / "receiver"), "INSERT_BASE_DELAY": "0.1",
        }  # fmt: skip

    def older_gateway(self) -> OlderGateway:
        return OlderGateway(self._folder / "receiver", self._broker.port)

    def older_subscriber(self) -> OlderSubscriber:
        return OlderSubscriber(self._database, self.schema, self._broker.port)

    @contextlib.contextmanager
    def ours(self, name: Literal["gateway", "server"], **others: str) -> Iterator[Station]:
        """A station of ours, ready to take its part, from its start to a graceful stop."""
        port = free_port()
        station = Station(
            name, self._folder, self._settings | {f"{name.upper()}_STATUS_PORT": str(port)} | others, port
        )
        station.start()
        try:
            until(station.takes_part, 60, f"{name} takes its part")
            yield station
        finally:
            station.stop()
        assert station.faults == []

    def speak(self, count: int = READINGS) -> list[float]:
        """The node sends readings, each answered with the time before the next; their temperatures."""
        return [self._say(next(self._numbers)) for _ in range(count)]

    def end_session_of_server(self) -> None:
        """As the moving guide does with `mosquitto_sub`: take the server's name, with a session that does not last."""
        came = threading.Event()
        client = paho.Client(CallbackAPIVersion.VERSION2, "aoii-server", protocol=paho.MQTTv5)
        client.on_connect = lambda *_: came.set()
        client.connect("127.0.0.1", self._broker.port)
        client.loop_start()
        until(came.is_set, what="the server's session is ended")
        client.disconnect()
        client.loop_stop()

    def letters(self) -> int:
        """Number of dead letters."""
        with contextlib.closing(sqlite3.connect(self._folder / "data" / "dead_letters.db")) as database:
            return int(database.execute("SELECT count(*) FROM letters").fetchone()[0])

    def rows(self) -> Counter[float]:
        """How often the table has each temperature."""
        return Counter(float(str(row[0])) for row in self.select("SELECT actual_temp FROM readings"))

    def select(self, query: str) -> list[tuple[object, ...]]:
        return self._database.execute(query, database=self.schema)

    def _say(self, number: int) -> float:
        temperature = round(number / 100, 2)
        edge = f"{time.time_ns() // 1_000_000 % 2**32}," if self._firmware == "three fields" else ""
        os.write(self._far_port, f"Received: {edge}{temperature:.2f},{40 + number % 2:.2f}\r\n".encode())
        answer = b""
        while not answer.endswith(b"\n"):
            assert select.select([self._far_port], [], [], 60)[0], f"reading {number} is not answered"
            answer += os.read(self._far_port, 100)
        assert abs(int(answer) - time.time()) < 60
        return temperature


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker of its own, because the older programs know one topic only."""
    with Mosquitto(tmp_path / "broker") as server:
        yield server


whole_only = pytest.mark.skipif(not WHOLE, reason="`make moving` runs it")


@pytest.fixture(params=["two fields", "three fields"] if WHOLE else ["three fields"])
def firmware(request: pytest.FixtureRequest) -> Firmware:
    found: Firmware = request.param
    return found


@pytest.fixture
def site(tmp_path: Path, broker: Mosquitto, mariadb: MariaDB, firmware: Firmware) -> Iterator[Site]:
    with pty_port(tmp_path / "receiver") as far_port:
        yield Site(tmp_path, broker, mariadb, far_port, firmware)


def expect_rows(site: Site, expected: dict[float, int]) -> None:
    """Wait for exactly these rows."""
    with contextlib.suppress(AssertionError):
        until(lambda: site.rows() == expected, 60)
    found = site.rows()
    assert {temperature: (found[temperature], wanted) for temperature, wanted in expected.items()} == {
        temperature: (wanted, wanted) for temperature, wanted in expected.items()
    }
    assert set(found) == set(expected)


def times(rows: int, readings: list[float]) -> dict[float, int]:
    """Each of these readings so often."""
    return dict.fromkeys(readings, rows)


def is_empty(gateway: Station) -> bool:
    """Whether its outbox holds nothing, so that nothing is published again."""
    return gateway.gauge("aoii_outbox_events") == 0


def older_phase(site: Site, firmware: Firmware) -> dict[float, int]:
    """The older installation as it was; the rows that it leaves."""
    with site.older_subscriber(), site.older_gateway():
        rows = times(OLDER_ROWS[firmware], site.speak())
        expect_rows(site, rows)
    return rows


def test_the_server_first(site: Site, firmware: Firmware) -> None:
    """Their gateway with our server: one row each; then our gateway too."""
    rows = older_phase(site, firmware)

    with site.ours("server"):
        until(lambda: site.select("SHOW TABLES LIKE 'alembic_version'"), 60, "the tables are brought up to date")
        with site.older_gateway():
            older = site.speak()
            expect_rows(site, rows := rows | times(1, older))
        with site.ours("gateway") as gateway:
            ours = site.speak()
            expect_rows(site, rows | times(1, ours))
            until(lambda: is_empty(gateway), 60, "an empty outbox")

    found = site.select("SELECT node, transmission_delay_ms FROM readings ORDER BY id")
    assert found[-2 * READINGS : -READINGS] == [(None, None)] * READINGS
    assert all(str(node).startswith("attic/") for node, _ in found[-READINGS:])
    assert site.letters() == 0


def test_the_gateway_first(site: Site, firmware: Firmware) -> None:
    """Our gateway with only their subscriber: two rows each, as their subscriber makes them, and no third."""
    rows = older_phase(site, firmware)

    with site.older_subscriber(), site.ours("gateway", OUTBOX_KEEP_UNTIL="published") as gateway:
        rows |= times(2, site.speak())
        expect_rows(site, rows)
        until(lambda: is_empty(gateway), 60, "an outbox that keeps nothing until a consumer acknowledges it")
    with site.ours("server"), site.ours("gateway") as gateway:
        rows |= times(1, site.speak())
        expect_rows(site, rows)
        until(lambda: is_empty(gateway), 60, "an empty outbox")

    expect_rows(site, rows)


def test_a_reading_that_no_subscriber_was_there_for_is_kept(site: Site, firmware: Firmware) -> None:
    """Between their subscriber's end and our server's start, nothing is lost, also while `published` is enough."""
    rows = older_phase(site, firmware)

    with site.ours("gateway", OUTBOX_KEEP_UNTIL="published") as gateway:
        kept = site.speak()
        with site.ours("server"):
            expect_rows(site, rows | times(1, kept))
            until(lambda: is_empty(gateway), 60, "an empty outbox")


@whole_only
def test_both_at_once(site: Site, firmware: Firmware) -> None:
    rows = older_phase(site, firmware)

    with site.ours("server"), site.ours("gateway") as gateway:
        rows |= times(1, site.speak())
        expect_rows(site, rows)
        until(lambda: is_empty(gateway), 60, "an empty outbox")


@whole_only
def test_both_servers_side_by_side(site: Site, firmware: Firmware) -> None:
    """A trial run of our server beside their subscriber, in one table: its two rows, and ours."""
    rows = older_phase(site, firmware)

    with site.older_subscriber(), site.ours("server"), site.ours("gateway") as gateway:
        rows |= times(3, site.speak())
        expect_rows(site, rows)
        until(lambda: is_empty(gateway), 60, "an empty outbox")


@whole_only
@pytest.mark.parametrize("ends_session", [False, True])
def test_back_to_the_older_installation_and_forth(site: Site, firmware: Firmware, ends_session: bool) -> None:
    """What the older gateway sends with QoS 1 meanwhile comes once more, unless our server's session is ended."""
    with site.ours("server"), site.ours("gateway") as gateway:
        rows = times(1, site.speak())
        expect_rows(site, rows)
        until(lambda: is_empty(gateway), 60, "an empty outbox")

    if ends_session:
        site.end_session_of_server()
    with site.older_subscriber(), site.older_gateway():
        between = site.speak()
        rows |= times(OLDER_ROWS[firmware], between)
        expect_rows(site, rows)

    if not ends_session:  # the only one with QoS 1: the broker has kept it for our server
        rows[between[0]] += 1
    with site.ours("server"), site.ours("gateway") as gateway:
        rows |= times(1, site.speak())
        expect_rows(site, rows)
        until(lambda: is_empty(gateway), 60, "an empty outbox")
