"""The pipeline page in a real browser over real stations: gateway with a receiver, broker, server and database."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from playwright.sync_api import Locator, expect

from aoii.broker.client import Client
from aoii.broker.messages import READINGS_TOPIC
from aoii.server.dead_letters.store import DeadLetters
from aoii.server.gaps import Gap, Gaps
from browser.pages import PHONE, Visit, Visitor, loaded, serve
from server.samples import a_reading
from servers import Mosquitto, Server, free_port, pty_port, until
from web.recorded import minutes, store
from web.station import STATUS_PORTS, WebStation


class Station(Server):
    """A station of the command line; `port` is its status port."""

    def __init__(self, name: str, folder: Path, values: dict[str, object], port: int) -> None:
        super().__init__(folder / name, port)
        self._name = name
        self._values = values

    def command(self) -> list[str]:
        """The command line."""
        values = (f"{name}={value}" for name, value in self._values.items())
        return ["env", *values, sys.executable, "-m", "aoii.cli", self._name]


@dataclass
class World:
    """Everything from the receiver's port to the page."""

    gateway: Station
    server: Station
    web: WebStation
    receiver: int
    said: int = 0

    def say(self, readings: int) -> None:
        """Send readings of old nodes to the receiver; the replies are read and dropped."""
        for _ in range(readings):
            self.said += 1
            os.write(self.receiver, f"Received: {20 + self.said / 10:.2f},45.00\r\n".encode())


@contextmanager
def world(folder: Path, mosquitto: Mosquitto) -> Iterator[World]:
    """The stations, running, with the first reading stored."""
    ports = dict(zip(STATUS_PORTS, (free_port(), free_port(), 0, 0), strict=True))
    folder.mkdir(exist_ok=True)
    with pty_port(folder / "receiver") as receiver:
        web = WebStation(
            folder, MQTT_PORT=mosquitto.port, MQTT_NAMESPACE=f"delivery-{free_port()}",
            SERIAL_PORT=folder / "receiver", **ports,
        )  # fmt: skip
        gateway = Station("gateway", folder, web.values, ports["GATEWAY_STATUS_PORT"])
        server = Station("server", folder, web.values, ports["SERVER_STATUS_PORT"])
        with server, gateway, web:
            yield World(gateway, server, web, receiver)


def hop(visited: Visit, name: str) -> Locator:
    return visited.page.locator(f"#hop-{name}")


def state(visited: Visit, name: str, word: str) -> None:
    """Wait until the page says this of a hop."""
    expect(hop(visited, name).locator(".hop-state")).to_have_text(word)


def waits(visited: Visit, digits: str) -> None:
    """Wait until the page shows one of these counts of readings in the outbox."""
    expect(hop(visited, "outbox").locator(".counts div").first).to_have_text(re.compile(f"^waiting[{digits}]$"))


def stored(stations: World) -> int:
    """Readings in the database."""
    return int(httpx2.get(f"{stations.web.url}/api/stats", timeout=15).json()["total"])


def test_a_server_that_is_killed_is_named_the_outbox_grows_and_empties_again(
    tmp_path: Path, mosquitto: Mosquitto, visit: Visitor
) -> None:
    with world(tmp_path / "world", mosquitto) as stations:
        visited = visit(f"{stations.web.url}/#pipeline")
        page = visited.page
        expect(page.locator("#verdict")).to_have_text("All hops are healthy.")
        stations.say(3)
        until(lambda: stored(stations) == 3)
        for name in ("radio", "gateway", "outbox", "broker", "server", "database", "commit"):
            state(visited, name, "healthy")
        expect(hop(visited, "radio")).to_contain_text("per minute")
        waits(visited, "0")
        expect(page.get_by_text("No dead letters.")).to_be_visible()
        visited.shot("well", whole=True)

        stations.server.kill()
        state(visited, "server", "not responding")
        expect(hop(visited, "server")).to_contain_text("Its status port does not answer: Connection refused")
        state(visited, "database", "healthy")
        expect(page.locator("#pipeline-badge")).to_have_text("Server: not responding")
        expect(page.locator("#verdict")).to_contain_text("Needs attention: Server (not responding)")
        stations.say(5)
        waits(visited, "5-8")  # the last acknowledgements may have gone down with the server
        expect(hop(visited, "outbox")).to_contain_text(re.compile("Grew by [5-8] in the last minute without"))
        state(visited, "outbox", "warning")
        visited.shot("killed", whole=True)

        page.get_by_role("button", name="한국어").click()
        expect(hop(visited, "server").locator(".hop-state")).to_have_text("응답 없음")
        page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
        visited.shot("killed-korean-phone", whole=True)
        page.get_by_role("button", name="English").click()

        stations.server.start()
        waits(visited, "0")
        state(visited, "server", "healthy")
        until(lambda: stored(stations) == 8)
        expect(page.locator("#pipeline-badge")).to_be_hidden()


def test_dead_letters_are_counted_by_reason_with_what_to_do(
    tmp_path: Path, mosquitto: Mosquitto, visit: Visitor
) -> None:
    with world(tmp_path / "world", mosquitto) as stations:
        sender = Client(loaded(stations.web).mqtt, "stranger")
        sender.start()
        until(lambda: sender.is_ready)
        visited = visit(f"{stations.web.url}/#pipeline")
        state(visited, "server", "healthy")

        for payload in (b"no JSON", b"{}"):
            sender.publish(READINGS_TOPIC, payload, 1)

        row = visited.page.locator("#letters-rows tr")
        expect(row).to_have_count(1)
        expect(row).to_contain_text("malformed2")
        expect(row).to_contain_text("aoii dlq list --reason malformed")
        expect(hop(visited, "server")).to_contain_text("2 invalid messages in the last minute.")
        visited.shot("letters", whole=True)
        sender.stop()

        stations.gateway.freeze()
        state(visited, "gateway", "not responding")
        expect(hop(visited, "gateway")).to_contain_text("no answer within 2 s")
        state(visited, "radio", "unknown")
        expect(hop(visited, "outbox")).to_contain_text("reported")
        stations.gateway.thaw()
        state(visited, "gateway", "healthy")


def test_a_page_without_stations_shows_that_none_responds(tmp_path: Path, mosquitto: Mosquitto, visit: Visitor) -> None:
    nobody = free_port()
    with WebStation(tmp_path, MQTT_PORT=mosquitto.port, WEB_STATIONS=f"gateway=127.0.0.1:{nobody}") as station:
        visited = visit(f"{station.url}/#pipeline")

        state(visited, "gateway", "not responding")
        expect(hop(visited, "gateway")).to_contain_text("No answer since this page started")
        state(visited, "outbox", "unknown")
        expect(visited.page.get_by_text("No server has reported its dead letters yet.")).to_be_visible()
        state(visited, "database", "down")
        visited.shot("alone", whole=True)


def test_the_ledger_is_one_line_for_a_healthy_node_and_names_what_is_missing(
    tmp_path: Path, mosquitto: Mosquitto, visit: Visitor
) -> None:
    with serve(tmp_path, mosquitto) as (station, database):
        store(database, list(minutes("1", count=60)), logs=False)
        stored_rows = database.stats().total
        database.insert_readings([a_reading(counter, node="2") for counter in (1, 4)])
        Gaps(database.pool).record([Gap("2", 1, 2, 2, "lost")])

        visited = visit(f"{station.url}/#pipeline")

        rows = visited.page.locator("#ledger-rows tr")
        expect(rows).to_have_count(2)
        expect(visited.page.locator("#ledger-note")).to_have_text(f"2 of {stored_rows + 4} readings not accounted for.")
        expect(rows.nth(0)).to_have_text("2, epoch 1lost 1, waiting 1stored 2")
        expect(rows.nth(1)).to_have_text(f"1, epoch 1all {stored_rows} readings accounted forstored {stored_rows}")
        expect(visited.page.get_by_text("Dead letters cannot be read from here")).to_be_visible()
        visited.page.get_by_role("button", name="한국어").click()
        expect(rows.nth(0)).to_have_text("2, 에포크 1유실 1, 대기 1저장됨 2")
        visited.page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
        assert visited.page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
        visited.shot("ledger", whole=True)


def test_a_ledger_of_which_nothing_is_missing_says_so(tmp_path: Path, mosquitto: Mosquitto, visit: Visitor) -> None:
    with serve(tmp_path, mosquitto) as (station, database):
        database.insert_readings([a_reading(counter, node="2") for counter in (1, 2)])
        DeadLetters(loaded(station).server.dead_letter_path, 4).close()

        visited = visit(f"{station.url}/#pipeline")

        expect(visited.page.locator("#ledger-note")).to_have_text("All 2 readings accounted for.")
        expect(visited.page.locator("#ledger-age")).to_have_text(re.compile(r"^Counted .+\.$"))
        expect(visited.page.locator("#ledger-letters")).to_be_hidden()
